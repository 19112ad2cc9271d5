"""Was the comparison fair? Each claim is checked on the files themselves, and its evidence says what was compared."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from cface_basicsr.benchmark.plan import Plan, first_phases
from cface_basicsr.data.audit.audit import equal_pictures
from cface_basicsr.data.audit.identity_names import shared_people
from cface_basicsr.data.audit.picture_set import Distinct, fingerprint_pictures, open_pictures
from cface_basicsr.files.manifest import manifest_crop, read_manifest
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.measuring.results import Check, Run
from cface_basicsr.options import count_images
from cface_basicsr.recognizers.load import crop_note, load_recognizer


def check_fairness(plan: Plan, runs: list[Run], recognizers: Mapping[str, str],
                   aligned: Collection[str] = ()) -> list[Check]:
    """All checks of a benchmark whose rows have been measured.

    Args:
        recognizers: name -> SHA-256 of the file that measured.
        aligned: names of the test sets whose centre crops are aligned for dlib's recognizer.
    """
    train = plan.runs[0].recipe.train_folder
    tests = {name: plan.test_folder(name) for name in plan.file.tests}
    checks = [check for name, folder in tests.items() for check in (
        disjoint_by_key(name, train, folder), disjoint_by_picture(name, train, folder))]
    return [*checks, same_setting('crop', train, tests), same_setting('kernel', train, tests),
            crop_of_recognizers(plan, tests, aligned), same_recognizers(plan, runs, recognizers),
            same_images(plan, runs), same_training_set(plan), same_seeds(plan, runs)]


def _check(what: str, holds: bool | None, evidence: str) -> Check:
    return Check(what, 'unknown' if holds is None else 'holds' if holds else 'broken', evidence)


def disjoint_by_key(name: str, train: Path, test: Path) -> Check:
    """No identity of the test set is trained on: their names are compared, however they are written."""
    people = [open_pictures(folder).identities for folder in (train, test)]
    both = [person.name for person in shared_people(*people)]
    return _check(f'identities of training and {name} are disjoint (by key)', not both,
                  f'{len(people[0])} and {len(people[1])} identities, {len(both)} in both{_example(both)}')


def disjoint_by_picture(name: str, train: Path, test: Path) -> Check:
    """No HR picture of the test set is trained on, under any name: none has equal pixels."""
    sides = [Distinct(pictures, fingerprint_pictures(pictures, hashed=False))
             for pictures in (open_pictures(train), open_pictures(test))]
    both = [f'{match.test[0]} = {match.train[0]} of the training set' for match in equal_pictures(*sides)]
    return _check(f'pictures of training and {name} are disjoint (by image hash)', not both,
                  f'{len(sides[0].fingerprints)} and {len(sides[1].fingerprints)} different pictures, '
                  f'{len(both)} in both{_example(both)}')


def _example(names: Iterable[str]) -> str:
    names = sorted(names)
    return f', for example {names[0]}' if names else ''


def same_setting(key: str, train: Path, tests: Mapping[str, Path]) -> Check:
    """Training and test faces were made in one way, by their manifests. `key`: 'crop' or 'kernel'."""
    read = {'crop': manifest_crop, 'kernel': lambda folder: read_manifest(folder).get('kernel')}[key]
    found = {name: read(folder) for name, folder in {'training': train, **tests}.items()}
    what = {'crop': 'training and test faces have the same crop',
            'kernel': 'low-resolution faces were made by the same kernel'}[key]
    if None in found.values():
        without = [name for name, value in found.items() if value is None]
        return _check(what, None, f"no manifest says how {', '.join(without)} was made")
    texts = {name: _describe_setting(value) for name, value in found.items()}
    same = len(set(texts.values())) == 1
    return _check(what, same, next(iter(texts.values())) if same else
                  '; '.join(f'{name}: {text}' for name, text in texts.items()))


def _describe_setting(value: Any) -> str:
    return value if isinstance(value, str) else ', '.join(f'{key} {each}' for key, each in value.items() if each)


def crop_of_recognizers(plan: Plan, tests: Mapping[str, Path], aligned: Collection[str] = ()) -> Check:
    """The recognizers learnt from faces that were cropped as those that they judge are; see `check_fairness`."""
    networks = {name: load_recognizer(Path(plan.recognizer_file(who))) for name, who in plan.file.recognizers.items()}
    notes = [note for test, folder in tests.items() for name, network in networks.items()
             if not (test in aligned and network.input_spec.template == 'dlib')
             and (note := crop_note(folder, name, network))]
    unknown = [f'no manifest says how {name} was cut' for name, folder in tests.items() if not manifest_crop(folder)]
    texts = [f"{name}: '{network.input_spec.template}'" for name, network in networks.items()]
    holds = False if notes else None if unknown else True
    return _check('recognizers learnt the crop that they judge', holds, '; '.join(notes or unknown or texts))


def same_recognizers(plan: Plan, runs: Iterable[Run], recognizers: Mapping[str, str]) -> Check:
    """Every row was measured by the same recognizer files, which have not changed since the first row."""
    now = {name: recognizer_hash(plan.recognizer_file(who), 64) for name, who in plan.file.recognizers.items()}
    wanted = set(recognizers)
    lacking = sorted({run.system for run in runs if run.status == 'done' for measured in run.measured.values()
                      if {key.rpartition('/')[0] for key in measured.per_fold} != wanted})
    evidence = ', '.join(f'{name} {mark[:12]}' for name, mark in recognizers.items())
    return _check('all rows were measured by the same recognizer files', now == dict(recognizers) and not lacking,
                  evidence + (f"; others measured {', '.join(lacking)}" if lacking else ''))


def same_images(plan: Plan, runs: Iterable[Run]) -> Check:
    """Every finished row had the budget, except rows of a phase that another one follows (ESRGAN's first)."""
    partial = {row.title for run in plan.runs for row in first_phases(run)}
    trained = [run for run in runs if run.status == 'done' and run.images_g is not None]
    counts = {run.images_g for run in trained if run.system not in partial}
    early = {run.system: run.images_g for run in trained if run.system in partial}
    evidence = ', '.join(f'{count:,}' for count in sorted(counts)) + ' images through each generator'
    if early:
        evidence += '; first phases of later rows: ' + ', '.join(f'{name} {count:,}' for name, count in early.items())
    holds = len(counts) == 1 if counts else None
    return _check('all generators were trained on the same number of images', holds, evidence)


def same_training_set(plan: Plan) -> Check:
    """Every training of a generator reads the same HR images."""
    found = {}
    for run in plan.runs:
        for name in run.recipe.trainings:
            opt = run.recipe.compose(name)
            if 'network_g' in opt:
                found[opt['datasets']['train']['dataroot_gt']] = count_images(opt['datasets']['train'])
    return _check('all generators were trained on the same training set', len(found) == 1,
                  ', '.join(f'{count:,} images of {Path(root).parent.name}/{Path(root).name}'
                            for root, count in found.items()))


def same_seeds(plan: Plan, runs: Iterable[Run]) -> Check:
    """Every system was trained with every seed."""
    wanted = {(scale, seed) for scale in plan.file.scales for seed in plan.file.seeds}
    trained = [run for run in runs if run.seed is not None]
    done = {(run.system, run.scale, run.seed) for run in trained if run.status == 'done'}
    lacking = sorted(name for name in {run.system for run in trained}
                     if any((name, scale, seed) not in done for scale, seed in wanted))
    seeds = ', '.join(map(str, plan.file.seeds))
    return _check('all systems were trained with the same seeds', not lacking,
                  f'seeds {seeds}' + (f"; not all of them finished: {', '.join(lacking)}" if lacking else ''))

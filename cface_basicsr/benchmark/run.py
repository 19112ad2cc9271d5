"""A whole benchmark: recognizers, every system at every scale with every seed, measuring, report.

A finished training is skipped, a killed one is continued, one with other options is refused. A training that fails
costs only its own rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cface_basicsr.benchmark.collect import collect, open_measuring
from cface_basicsr.benchmark.file import BenchmarkFile
from cface_basicsr.benchmark.kept_rows import KeptRows
from cface_basicsr.benchmark.plan import Plan, PlannedRow, PlannedRun, make_plan, out_folder
from cface_basicsr.benchmark.throughput import FILE as THROUGHPUT_FILE
from cface_basicsr.benchmark.throughput import Eta, SecondsPerImage, find_throughput, kept_throughput, trainings
from cface_basicsr.data.images.align import find_detector
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.perceptual import perceptual_distances
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import manifest_settings
from cface_basicsr.files.network_file import build_network
from cface_basicsr.measuring.default_judge import check_judge, default_judge
from cface_basicsr.measuring.landmarks import align_by_landmarks
from cface_basicsr.measuring.measure import FaceSet, check_stores
from cface_basicsr.measuring.protocols import protocols_of
from cface_basicsr.measuring.results import Results
from cface_basicsr.report.page import render
from cface_basicsr.report.write import write_report
from cface_basicsr.runtime import Progress
from cface_basicsr.training.steps import check_same_run, exclusive_run, run_steps

BUDGET = 'budget.json'
_REFERENCE = 10_000_000
"""Budget of a plan that only serves to see how the time of a row divides among its phases."""


@dataclass
class Finished:
    """A benchmark that has been run.

    Attributes:
        files: of the report.
        failed: title, scale and seed -> reason.
        broken: fairness checks that do not hold.
    """

    results: Results
    files: list[Path]
    failed: dict[str, str]
    broken: list[str]

    @property
    def code(self) -> int:
        """Exit code: 0, or 1 where a row failed or a fairness check does not hold."""
        return int(bool(self.failed or self.broken))


def plan_benchmark(file: BenchmarkFile, out: Path | None, throughput: Path | None, show: Progress,
                   measure: bool = True) -> Plan:
    """The plan of a file; a budget in minutes becomes images by measured throughput, once for a run folder.

    Raises:
        UserError: the budget is in minutes, and the throughput of a training is not known, or could not be measured.
    """
    if file.budget.images:
        return make_plan(file, out, file.budget.images)
    kept = out_folder(file, out) / BUDGET
    wanted = file.budget.minutes
    if kept.is_file():
        content = read_json(kept, dict[str, float])
        if content.get('minutes') == wanted and 'images' in content:
            return make_plan(file, out, content['images'])
    reference = make_plan(file, out, _REFERENCE)
    found, unknown, _ = find_throughput(reference, throughput, show, measure)
    images = images_in(wanted, reference, found, unknown)
    write_json(kept, {'minutes': wanted, 'images': images})
    return make_plan(file, out, images)


def images_in(minutes: float, reference: Plan, throughput: SecondsPerImage, unknown: Mapping[str, str]) -> int:
    """How many images every row may take, if all trainings of systems together are to take this many minutes.

    Raises:
        UserError: the throughput of a training is unknown, or the time is too short for a batch.
    """
    systems = [each for each in trainings(reference) if each.recipe is not reference.recognizers]
    for key, _, _ in systems:
        if key not in throughput:
            why = f'could not be measured: {unknown[key]}' if key in unknown else 'is not measured yet.'
            raise UserError(f"benchmark: a budget in minutes needs the throughput of '{key}', which {why}\n"
                            'Add --measure, give it by --throughput FILE, or set budget: {images: N}.')
    seconds = sum(throughput[each.key] * each.images for each in systems) / reference.images
    images = int(60 * minutes / seconds) // reference.file.batch * reference.file.batch
    if not images:
        raise UserError(f'benchmark: {minutes:g} minutes are less than one batch of every system takes '
                        f'({seconds * reference.file.batch / 60:.1f} minutes). Raise the budget.')
    return images


def run_benchmark(plan: Plan, show: Progress, processes: int = 1, strict: bool = False,
                  rows: Path | None = None, train: bool = True) -> Finished:
    """Train what is not trained, measure what is not measured, write the report.

    Where the file names one recognizer, dlib's is the judge, if the test sets are aligned.

    Args:
        strict: refuse a judge that led a loss of a row.
        rows: folder of `KeptRows`: each row is measured when its training is done and kept there, and the trainings of
            a row that is there already are left out.
        train: False: report the rows that are in `rows`; the others are failed rows, not trained yet.

    Raises:
        UserError: data are missing, a recognizer cannot be trained, a run folder was begun with other options, or the
            pairs or lists of a test set do not fit it.
    """
    if not train and not rows:
        raise UserError('--no-train reports the rows of a folder; name it by --rows.')
    preflight(plan)
    plan = with_judge(plan, show)
    check_judge(plan.led(), plan.file.recognizers, strict)
    plan.out.mkdir(parents=True, exist_ok=True)
    with exclusive_run(plan.out):
        eta = Eta(plan, kept_throughput(plan), show)
        if plan.recognizers and rows:
            measure = plan.recognizers.with_only(plan.file.recognizers.values())
            run_steps(measure, eta.follow(measure), processes)
        measuring = open_measuring(plan, show) if rows else None
        kept = KeptRows(rows, measuring) if rows else None
        if plan.recognizers and train and not (kept and kept.all_known()):
            run_steps(plan.recognizers, eta.follow(plan.recognizers), processes)
        for run in plan.runs:
            recipe = kept.without_known(run) if kept else run.recipe
            if not train:
                run.failed |= dict.fromkeys(recipe.file.steps, 'not trained yet')
                continue
            run_steps(recipe, eta.follow(recipe), processes, failed=run.failed,
                      after=partial(kept.measure, run) if kept else None)
        results = collect(plan, measuring or open_measuring(plan, show))
        files = [results.save(plan.out), *write_report(results, plan.out)]
    reasons = {f'{run.system} x{run.scale} seed {run.seed}': run.reason for run in results.failed()}
    broken = [f'{check.what}: {check.evidence}' for check in results.facts.checks if check.outcome == 'broken']
    return Finished(results, files, reasons, broken)


def preflight(plan: Plan) -> None:
    """Look for what is missing or does not fit, before anything is trained.

    Raises:
        UserError: a store, or the file of a recognizer or of a perceptual distance is missing, an option does not fit
            the data, the pairs or lists of a test set do not fit it, or a run folder was begun with other options or
            data.
    """
    for recipe in plan.recipes:
        check_stores(recipe.train_folder, recipe.file.scale)
        recipe.check_options()
        check_same_run(recipe)
    for run in plan.runs:
        for row in run.rows:
            _check_backbone(plan, run, row)
    for name, who in plan.file.recognizers.items():
        if who not in plan.file.steps and not Path(plan.recognizer_file(who)).is_file():
            raise UserError(f"benchmark, recognizer '{name}': the file '{who}' is missing.")
    for run in plan.runs:
        run.recipe.check_leaders(plan.out)
    perceptual_distances(plan.file.perceptual)
    for name, options in plan.file.tests.items():
        folder = plan.test_folder(name)
        for scale in plan.file.scales:
            check_stores(folder, scale)
        protocols_of(options, *read_identities(folder), f'tests.{name}')


def _check_backbone(plan: Plan, run: PlannedRun, row: PlannedRow) -> None:
    """Check by one small image that a network that a variant brings along enlarges by the scale."""
    variant = plan.file.variants.get(row.system)
    if not (variant and isinstance(variant.backbone, Mapping)):
        return
    network, where = build_network(run.recipe.compose(row.step)['network_g']), f"benchmark, variant '{row.title}':"
    if (found := scale_of(network, f'{where} the backbone')) != run.scale:
        raise UserError(f'{where} {type(network).__name__} with these arguments enlarges {found} times, and the scale '
                        f'is {run.scale}. Take a network that has it.')


def with_judge(plan: Plan, show: Progress) -> Plan:
    """The plan with dlib's recognizer as its judge where it names only one recognizer, or a note that says why not.

    Centre crops are aligned for it by the landmarks that are found on HR, where they are.
    """
    named = {name: plan.recognizer_file(who) for name, who in plan.file.recognizers.items()}
    folders = [plan.test_folder(name) for name in plan.file.tests]
    added, notes = default_judge(named, folders)
    for folder in folders if added else ():
        if manifest_settings(folder).get('crop') == 'center':
            faces = FaceSet.open(folder, plan.file.scales[0])
            show.start('landmarks', len(faces.keys))
            aligned, note = align_by_landmarks(faces, find_detector(None), folder / 'features', show.advance)
            show.end('landmarks', note)
            added, notes = (added, notes) if aligned else ({}, [note])
    changes = {'recognizers': {**plan.file.recognizers, **added}, 'notes': [*plan.file.notes, *notes]}
    return replace(plan, file=plan.file.model_copy(update=changes))


# ----------------------------------------------------------------------------------------------------------- the plan

def describe_plan(plan: Plan, throughput: SecondsPerImage, unknown: Mapping[str, str], device: str) -> dict[str, Any]:
    """Every training with its images and expected hours, for `--plan`; hours are None where they are not known."""
    planned = list(trainings(plan))
    seconds = {(each.recipe.out, each.step): throughput[each.key] * each.images if each.key in throughput else None
               for each in planned}
    rows = [{'run': str(each.recipe.out.relative_to(plan.out)), 'step': each.step, 'images': each.images,
             'iterations': each.iterations, 'hours': _hours(seconds[each.recipe.out, each.step]),
             'unknown': unknown.get(each.key, '')} for each in planned]
    titles = [{'row': row.title, 'scale': run.scale, 'seed': run.seed, 'images': run.recipe.images(row.step),
               'hours': _hours(*(seconds.get((run.recipe.out, step), 0.0) for step in row.steps))}
              for run in plan.runs for row in run.rows]
    return {'name': plan.file.name, 'out': str(plan.out), 'images_a_row': plan.images, 'batch': plan.file.batch,
            'device': device, 'trainings': rows, 'rows': titles,
            'hours': _hours(*(row['hours'] and row['hours'] * 3600 for row in rows))}


def _hours(*seconds: float | None) -> float | None:
    """Their sum in hours; None where one is unknown."""
    return None if None in seconds else sum(seconds) / 3600


def plan_as_text(described: Mapping[str, Any]) -> str:
    """The plan as text for a terminal."""
    return render('plan.txt.j2', plan=described, file=THROUGHPUT_FILE).removesuffix('\n')

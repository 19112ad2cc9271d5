"""Measures the rows of a benchmark and collects all that its report needs; what was measured once is read again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.benchmark.costs import measure_costs
from cface_basicsr.benchmark.fairness import check_fairness
from cface_basicsr.benchmark.plan import Plan, PlannedRow, PlannedRun, first_phases
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import manifest_hash
from cface_basicsr.files.network_file import build_network_from_file, file_hash
from cface_basicsr.measuring.results import (
    REFERENCES,
    CurvePoint,
    DataSet,
    Faces,
    Facts,
    Results,
    Run,
    facts_of_this_run,
    step_name,
)
from cface_basicsr.measuring.test_set import OpenTestSet, Recognizer
from cface_basicsr.options import read_option_file
from cface_basicsr.runtime import Progress, describe_device, pick_device
from cface_basicsr.training.logs import losses_over_iterations, seconds_an_iteration, training_logs
from cface_basicsr.training.recipe import Recipe, iterations

NOT_CONVERGED = 'not converged'

Failures = Mapping[tuple[int, int], Mapping[str, str]]
"""(scale, seed) -> step -> why it failed."""

_RUN = TypeAdapter(Run)


def collect(plan: Plan, failures: Failures, show: Progress) -> Results:
    """Measure every row of a plan whose trainings have been run, and collect its results.

    Args:
        failures: of the trainings; a row that needs one of them says failed, with the reason.
    """
    recognizers = {name: Recognizer.load(Path(plan.recognizer_file(who))) for name, who in
                   plan.file.recognizers.items()}
    runs: list[Run] = []
    faces: dict[str, Faces] = {name: Faces(name, []) for name in plan.file.tests}
    tests: list[OpenTestSet] = []
    for scale in plan.file.scales:
        tests = [OpenTestSet(name, options, folder_of_test(plan, options.data), scale, recognizers)
                 for name, options in plan.file.tests.items()]
        measuring = _Measuring(plan, scale, tests, show)
        runs += measuring.references()
        for run in (run for run in plan.runs if run.scale == scale):
            failed = failures.get((run.scale, run.seed), {})
            runs += [measuring.row(run, row, failed) for row in run.rows]
        add_footnotes([run for run in runs if run.scale == scale and run.status == 'done'], plan, tests[0].name)
        for test in tests:
            test.save_low(faces[test.name], plan.out)
    titles = dict.fromkeys([*REFERENCES, *(row.title for run in plan.runs for row in run.rows)])
    return Results('benchmark', plan.file.title or plan.file.name, _facts(plan, runs, tests, recognizers), list(titles),
                   plan.file.scales, runs, [entry for entry in faces.values() if entry.keys],
                   show_published=plan.file.published)


def folder_of_test(plan: Plan, data: str | None) -> Path:
    """The folder of a test set; without a name the held-out part of the benchmark's data."""
    return Path(data) if data else plan.runs[0].recipe.test_folder


def add_footnotes(runs: list[Run], plan: Plan, test: str) -> None:
    """Note what a reader must know: a row of a first phase had a part of the budget; one that learns only pixels and
    has a PSNR below Bicubic's has not converged.

    Args:
        runs: finished ones of one scale, Bicubic among them.
        test: the test set whose PSNR counts.
    """
    first = {row.title for planned in plan.runs for row in first_phases(planned)}
    pixel = {row.title for planned in plan.runs for row in planned.rows if row.pixel}
    bicubic = next(run for run in runs if run.system == 'Bicubic').measured[test].numbers['psnr']
    for run in runs:
        if run.system in first:
            run.footnotes.append(f'only a first phase: {run.images_g:,} of {plan.images:,} images')
        if run.system in pixel and run.measured[test].numbers['psnr'] < bicubic:
            run.footnotes.append(NOT_CONVERGED)


# --------------------------------------------------------------------------------------------------------------- a row

class _Measuring:
    """The rows of one scale; each is measured once and kept in the run folder."""

    def __init__(self, plan: Plan, scale: int, tests: list[OpenTestSet], show: Progress) -> None:
        self.plan, self.scale, self.tests, self.show = plan, scale, tests, show
        self.fingerprint = [test.fingerprint() for test in tests]

    def references(self) -> list[Run]:
        """HR and Bicubic."""
        folder = self.plan.out / f'x{self.scale}'
        return [self._kept(folder / f'{system}.json', self.fingerprint, lambda system=system: self._reference(system))
                for system in REFERENCES]

    def _reference(self, system: str) -> Run:
        title, run = f'measuring {system} x{self.scale}', Run(system, self.scale)
        self.show.start(title, len(self.tests))
        self._measure(run, system)
        if system == 'Bicubic':
            run.costs = measure_costs(BicubicUpsampler(scale=self.scale), self.scale, device=pick_device())
        self.show.end(title, _describe(run, self.tests[0]))
        return run

    def row(self, planned: PlannedRun, row: PlannedRow, failed: Mapping[str, str]) -> Run:
        """A trained row; a failed one where a step that it needs failed, or its network cannot be measured."""
        reason = next((failed[step] for step in row.steps if step in failed), None)
        if reason is None:
            try:
                return self._trained(planned, row)
            except (UserError, RuntimeError, MemoryError) as error:  # also of torch: out of memory costs its row alone
                reason = f'measuring: {error}' if str(error) else f'measuring: {type(error).__name__}'
        run = self._frame(planned, row)
        run.status, run.reason = 'failed', reason.splitlines()[0]
        return run

    def _trained(self, planned: PlannedRun, row: PlannedRow) -> Run:
        weights = planned.recipe.weights_of(row.step, 'g')
        fingerprint = [self.fingerprint, file_hash(weights, 64), self.plan.file.curve_points]
        path = planned.recipe.out / 'measured' / f'{step_name(row.title)}.json'  # two rows may share their last step
        return self._kept(path, fingerprint, lambda: self._measured(planned, row, weights))

    def _kept(self, path: Path, fingerprint: Any, make: Callable[[], Run]) -> Run:
        """A run as it was measured before from the same files and settings, else measured now."""
        if path.is_file():
            content = json.loads(path.read_text(encoding='utf-8'))
            if content.get('fingerprint') == fingerprint:
                return _RUN.validate_json(json.dumps(content['run']))
        run = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {'fingerprint': fingerprint, 'run': json.loads(_RUN.dump_json(run))})
        return run

    def _frame(self, planned: PlannedRun, row: PlannedRow) -> Run:
        """What is known of a row without measuring."""
        recipe = planned.recipe
        opt = recipe.compose(row.step)
        return Run(row.title, planned.scale, planned.seed, network=opt['network_g'],
                   width=describe_width(recipe, row.step), images_g=recipe.images(row.step),
                   images_r=recognizer_images(self.plan, recipe, row.step))

    def _measured(self, planned: PlannedRun, row: PlannedRow, weights: Path) -> Run:
        title = f'measuring {row.title} x{planned.scale} seed {planned.seed}'
        run, network = self._frame(planned, row), build_network_from_file(weights)
        run.weights_sha256 = file_hash(weights, 64)
        self.show.start(title, len(self.tests) + 1)
        self._measure(run, network)
        run.costs = measure_costs(network, self.scale, device=pick_device())
        run.costs.images_a_second = images_a_second(planned.recipe, row)
        run.curve = training_curve(planned.recipe, row, self.tests[0] if self.plan.file.curve_points else None)
        self.show.end(title, _describe(run, self.tests[0]))
        return run

    def _measure(self, run: Run, system: str | nn.Module) -> None:
        for number, test in enumerate(self.tests, 1):
            test.measure(run, test.embed(system), self.plan.out)
            self.show.advance(number)


def _describe(run: Run, test: OpenTestSet) -> str:
    numbers = run.measured[test.name].numbers
    psnr = '' if numbers['psnr'] is None else f"PSNR {numbers['psnr']:.2f} dB, "
    return psnr + ', '.join(f"{name} {100 * numbers[f'{name}/accuracy']:.1f} %" for name in test.recognizers)


def describe_width(recipe: Recipe, step: str) -> str:
    """How a row's generator differs from its option file, in words.

    >>> # 'num_feat 16 instead of 64, num_block 4 instead of 16', or 'full'
    """
    now = recipe.compose(step)['network_g']
    published = read_option_file(recipe.file.steps[step].options)['network_g']
    changed = [f'{key} {value} instead of {published.get(key, "the default")}' for key, value in now.items()
               if key not in ('type', 'scale', 'upscale') and value != published.get(key)]
    return ', '.join(changed) or 'full'


def recognizer_images(plan: Plan, recipe: Recipe, step: str) -> int:
    """Images that trained the recognizers behind a row: in its own recipe, and the loss's recognizer before it."""
    own = recipe.recognizer_images(step)
    root = str(plan.recognizers.out.absolute()) if plan.recognizers else None
    trainings = recipe.trainings
    sources = {who for name in _chain(recipe, step) if name in trainings
               for network, who in trainings[name].weights.items()
               if network == 'network_r' and root and who.startswith(root)}
    return own + sum(plan.recognizers.recognizer_images(Path(who).parents[1].name) for who in sources)


def _chain(recipe: Recipe, step: str) -> list[str]:
    """A step and those that it starts from."""
    if step not in recipe.file.steps:
        return []
    before = [name for who in recipe.file.steps[step].sources for name in _chain(recipe, who)]
    return list(dict.fromkeys([*before, step]))


# -------------------------------------------------------------------------------------------------- curves and costs

def generator_steps(recipe: Recipe, row: PlannedRow) -> list[str]:
    """The trainings of a row's generator, first to last: those that hand it over to one another."""
    steps, name = [], row.step
    while name in recipe.file.steps:
        steps.insert(0, name)
        name = recipe.file.steps[name].weights.get('network_g', '')
    return steps


def images_a_second(recipe: Recipe, row: PlannedRow) -> float | None:
    """Training speed of a row over all trainings of its generator, from their logs; None where a log is too short."""
    images, seconds = 0, 0.0
    for step in generator_steps(recipe, row):
        opt = recipe.compose(step)
        each = seconds_an_iteration(training_logs(recipe.out / step))
        if each is None:
            return None
        images += iterations(opt) * opt['datasets']['train']['batch_size']
        seconds += iterations(opt) * each
    return images / seconds if seconds else None


def training_curve(recipe: Recipe, row: PlannedRow, test: OpenTestSet | None) -> list[CurvePoint]:
    """Losses from the logs, and accuracy and PSNR from the networks saved along the way, in order of images."""
    points: list[CurvePoint] = []
    before = 0
    for step in generator_steps(recipe, row):
        opt = recipe.compose(step)
        batch, total = opt['datasets']['train']['batch_size'], iterations(opt)
        phase = row.phases.get(step, '')
        points += [CurvePoint(before + iteration * batch, phase, losses) for iteration, losses in
                   losses_over_iterations(training_logs(recipe.out / step))]
        for iteration, path in checkpoints(recipe.out / step / 'models', total) if test else ():
            points.append(CurvePoint(before + iteration * batch, phase, {},
                                     test.along_the_way(build_network_from_file(path))))
        before += total * batch
    return sorted(points, key=lambda point: point.images)


def checkpoints(folder: Path, total: int) -> list[tuple[int, Path]]:
    """(iteration, file) of the generators saved along the way, the finished one at the end."""
    saved = {int(number): path for path in folder.glob('net_g_*.pth')
             if (number := path.stem.removeprefix('net_g_')).isdigit() and int(number) < total}
    return [*sorted(saved.items()), (total, folder / 'net_g_latest.pth')]


# --------------------------------------------------------------------------------------------------------------- facts

def _training_set(plan: Plan) -> DataSet:
    folder = plan.runs[0].recipe.train_folder
    keys, labels = read_identities(folder)
    return DataSet(Path(plan.file.data).name or 'train', 'train', manifest_hash(folder), len(set(labels.tolist())),
                   len(keys))


def _facts(plan: Plan, runs: list[Run], tests: list[OpenTestSet], recognizers: Mapping[str, Recognizer]) -> Facts:
    hashes = {name: recognizer.sha256 for name, recognizer in recognizers.items()}
    notes = [note for test in tests for note in test.notes()]
    return facts_of_this_run(
        [_training_set(plan), *(test.data_set() for test in tests)], hashes, describe_device(), seeds=plan.file.seeds,
        budget=f'{plan.images:,} images through each generator, all phases, in batches of {plan.file.batch}',
        checks=check_fairness(plan, runs, hashes), options=plan.file.model_dump(exclude_none=True),
        notes=[*plan.file.notes, *notes])

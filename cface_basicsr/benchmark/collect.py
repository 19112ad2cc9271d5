"""Measures the rows of a benchmark and collects all that its report needs; what was measured before is read again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.benchmark.costs import measure_costs
from cface_basicsr.benchmark.fairness import check_fairness
from cface_basicsr.benchmark.file import published_generator
from cface_basicsr.benchmark.plan import Plan, PlannedRow, PlannedRun, first_phases
from cface_basicsr.benchmark.systems import SYSTEMS
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.perceptual import perceptual_distances
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.measuring.held_out import OpenTestSet, Recognizer
from cface_basicsr.measuring.results import REFERENCES, CurvePoint, Faces, Results, Run, step_name
from cface_basicsr.options import read_option_file
from cface_basicsr.runtime import Progress, pick_device
from cface_basicsr.training.logs import losses_over_iterations, seconds_an_iteration, training_logs
from cface_basicsr.training.recipe import Recipe, iterations
from cface_basicsr.training.report import facts_of_training, row_of

NOT_CONVERGED = 'not converged'

_RUN = TypeAdapter(Run)


def open_measuring(plan: Plan, show: Progress) -> dict[int, 'Measuring']:
    """For each scale what measures its rows; the recognizers are trained by now."""
    recognizers = {name: Recognizer.load(plan.recognizer_file(who)) for name, who in plan.file.recognizers.items()}
    looks = perceptual_distances(plan.file.perceptual)
    return {scale: Measuring(plan, scale, [OpenTestSet(name, options, plan.test_folder(name), scale, recognizers, looks)
                                           for name, options in plan.file.tests.items()], show)
            for scale in plan.file.scales}


def collect(plan: Plan, measuring: Mapping[int, 'Measuring']) -> Results:
    """Measure every row of a plan whose trainings have been run; a row that needs one that failed says so."""
    runs, faces = [], {name: Faces(name, []) for name in plan.file.tests}
    for scale, measures in measuring.items():
        tests = measures.tests
        runs += measures.references()
        for run in (run for run in plan.runs if run.scale == scale):
            runs += [measures.row(run, row) for row in run.rows]
        add_footnotes([run for run in runs if run.scale == scale and run.status == 'done'], plan, tests[0].name)
        for test in tests:
            test.save_low(faces[test.name], plan.out)
    recognizers = tests[0].recognizers
    facts = facts_of_training(
        plan.runs[0].recipe, tests, plan.file.notes, seeds=plan.file.seeds,
        budget=f'{plan.images:,} images through each generator, all phases, in batches of {plan.file.batch}',
        checks=check_fairness(plan, runs, {name: recognizer.sha256 for name, recognizer in recognizers.items()},
                              [test.name for test in tests if test.aligned]),
        options=plan.file.model_dump(exclude_none=True), led=plan.led())
    titles = dict.fromkeys([*REFERENCES, *(row.title for run in plan.runs for row in run.rows)])
    return Results('benchmark', plan.file.title or plan.file.name, facts, list(titles), plan.file.scales, runs,
                   [entry for entry in faces.values() if entry.keys], show_published=plan.file.published)


def add_footnotes(runs: list[Run], plan: Plan, test: str) -> None:
    """Note what a reader must know.

    A row of a first phase had only a part of the budget. One that learns only from pixels and has a PSNR below
    Bicubic's has not converged.

    Args:
        runs: the finished ones of one scale, with Bicubic's.
        plan: where the rows come from.
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

class Measuring:
    """The rows of one scale; each is measured once and kept in the run folder."""

    def __init__(self, plan: Plan, scale: int, tests: list[OpenTestSet], show: Progress) -> None:
        self.plan, self.scale, self.tests, self.show = plan, scale, tests, show
        self.fingerprint = [test.fingerprint() for test in tests]

    def references(self) -> list[Run]:
        """HR and Bicubic."""
        networks = dict(zip(REFERENCES, (None, BicubicUpsampler(scale=self.scale)), strict=True))
        return [self._kept(self.plan.out / f'x{self.scale}' / f'{system}.json', self.fingerprint,
                           lambda system=system: self._measured(Run(system, self.scale), networks[system]))
                for system in REFERENCES]

    def row(self, planned: PlannedRun, row: PlannedRow) -> Run:
        """A trained row; it says failed where a step that it needs failed, or its network cannot be measured."""
        if row.title in planned.known:
            return planned.known[row.title]
        reason = next((planned.failed[step] for step in row.steps if step in planned.failed), None)
        if reason is None:
            try:
                return self._trained(planned, row)
            except (UserError, RuntimeError, MemoryError) as error:  # also of torch: out of memory costs only this row
                reason = f'measuring: {error}' if str(error) else f'measuring: {type(error).__name__}'
        run = self._frame(planned, row)
        run.status, run.reason = 'failed', reason.splitlines()[0]
        return run

    def _trained(self, planned: PlannedRun, row: PlannedRow) -> Run:
        recipe, points = planned.recipe, self.plan.file.curve_points
        weights = recipe.weights_of(row.step, 'g')
        sha256 = file_hash(weights, 64)

        def make() -> Run:
            run = self._measured(self._frame(planned, row), build_network_from_file(weights))
            run.weights_sha256, run.costs.images_a_second = sha256, images_a_second(recipe, row)
            run.curve = training_curve(recipe, row, self.tests[0] if points else None)
            return run
        path = recipe.out / 'measured' / f'{step_name(row.title)}.json'  # two rows may share their last step
        return self._kept(path, [self.fingerprint, sha256, points], make)

    def _kept(self, path: Path, fingerprint: Any, make: Callable[[], Run]) -> Run:
        """A run as it was measured before from the same files and settings, else measured now."""
        if path.is_file():
            content = read_json(path)
            if content.get('fingerprint') == fingerprint:
                run = _RUN.validate_json(json.dumps(content['run']))
                if all((self.plan.out / file).is_file() for file in run.files()):
                    return run
        run = make()
        write_json(path, {'fingerprint': fingerprint, 'run': json.loads(_RUN.dump_json(run))})
        return run

    def _frame(self, planned: PlannedRun, row: PlannedRow) -> Run:
        """What is known of a row without measuring."""
        run = row_of(planned.recipe, row.title, row.step)
        run.width = describe_width(planned.recipe, row.step)
        run.images_r = recognizer_images(self.plan, planned.recipe, row)
        return run

    def _measured(self, run: Run, network: nn.Module | None) -> Run:
        """Numbers and costs of a system in its run; HR has no network."""
        title = f'measuring {run.system} x{self.scale}' + ('' if run.seed is None else f' seed {run.seed}')
        self.show.start(title, len(self.tests))
        for number, test in enumerate(self.tests, 1):
            test.measure(run, test.embed('HR' if network is None else network), self.plan.out)
            self.show.advance(number)
        if network is not None:
            run.costs = measure_costs(network, self.scale, device=pick_device())
        numbers = run.measured[self.tests[0].name].numbers
        psnr = '' if numbers['psnr'] is None else f"PSNR {numbers['psnr']:.2f} dB, "
        self.show.end(title, psnr + ', '.join(f"{name} {100 * numbers[f'{name}/accuracy']:.1f} %"
                                              for name in self.plan.file.recognizers))
        return run


def describe_width(recipe: Recipe, step: str) -> str:
    """How a row's generator differs from that of its option file, as text.

    >>> # 'num_feat 16 instead of 64, num_block 4 instead of 16', or 'full'
    """
    now = recipe.compose(step)['network_g']
    published = read_option_file(recipe.file.steps[step].options)['network_g']
    if published['type'] != now['type']:  # a backbone of another system, or of none
        known = (published_generator(name) for name in SYSTEMS)
        published = next((each for each in known if each['type'] == now['type']), {})
    changed = [f'{key} {value} instead of {published.get(key, "the default")}' for key, value in now.items()
               if key not in ('type', 'scale', 'upscale') and value != published.get(key)]
    return ', '.join(changed) or 'full'


def recognizer_images(plan: Plan, recipe: Recipe, row: PlannedRow) -> int:
    """How many images trained the recognizers that a row depends on: in its own recipe, and the losses' before it."""
    own, trained = recipe.recognizer_images(row.step), plan.recognizers
    if trained is None:
        return own
    files = {who for step, content in recipe.trainings.items() if step in row.steps
             for network, who in content.weights.items() if network == 'network_r'}
    return own + sum(trained.recognizer_images(name) for name in trained.trainings
                     if str(trained.weights_of(name, 'r').absolute()) in files)


# -------------------------------------------------------------------------------------------------- curves and costs

def generator_steps(recipe: Recipe, row: PlannedRow) -> list[str]:
    """The trainings of a row's generator, first to last: those that hand it over to each other."""
    steps, name = [], row.step
    while name in recipe.file.steps:
        steps.insert(0, name)
        name = recipe.file.steps[name].weights.get('network_g', '')
    return steps


def images_a_second(recipe: Recipe, row: PlannedRow) -> float | None:
    """Training speed of a row over all trainings of its generator, from their logs; None where a log is too short."""
    images, seconds = 0, 0.0
    for step in generator_steps(recipe, row):
        each = seconds_an_iteration(training_logs(recipe.out / step))
        if each is None:
            return None
        images += recipe.own_images(step)
        seconds += iterations(recipe.compose(step)) * each
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

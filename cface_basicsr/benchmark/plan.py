"""A benchmark file as recipes: one for the recognizers, and one for each scale and seed.

They are run like any other recipe. This module decides how long each phase is (its share of the one budget), what it
starts from, and which step gives which row. All counts of iterations become the same fraction of the new length: a
phase that is cut to a tenth of its published length reaches its milestones at a tenth, too.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cface_basicsr.benchmark.file import BenchmarkFile, check_recognizer, chosen_systems, loss_recognizer
from cface_basicsr.benchmark.systems import HEAD, LOSS, Phase, System
from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import named_recognizer
from cface_basicsr.measuring.results import Run, step_name
from cface_basicsr.options import check_frame, check_training_options, merge, read_option_file
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.training.recipe import Recipe, RecipeFile, errors_of, only_existing
from cface_basicsr.training.report import led_rows
from cface_basicsr.training.scale import set_scale

RECOGNIZERS = 'recognizers'
"""Folder of the run in which the recognizers are trained, once for all scales and seeds."""


@dataclass(frozen=True)
class PlannedRow:
    """A row of the tables.

    Attributes:
        title: its name there.
        step: the step whose generator it is.
        steps: all steps that must be done for it, in order.
        pixel: it learns only from pixels.
        phases: step -> name of the phase, where the system has several.
    """

    title: str
    system: str
    step: str
    steps: tuple[str, ...]
    pixel: bool
    phases: Mapping[str, str] = field(default_factory=dict)


@dataclass
class PlannedRun:
    """One scale and seed.

    Attributes:
        recipe: its trainings.
        rows: what it gives to the tables.
        failed: step -> why it failed, when it has been run.
        known: title of a row -> what was measured of it before, so that its trainings are not needed.
    """

    scale: int
    seed: int
    recipe: Recipe
    rows: list[PlannedRow] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    known: dict[str, Run] = field(default_factory=dict)


def first_phases(run: PlannedRun) -> list[PlannedRow]:
    """Rows of a phase that another one follows (ESRGAN's first): they have seen only a part of the budget."""
    followed = {step.weights.get('network_g') for step in run.recipe.trainings.values()}
    return [row for row in run.rows if row.step in followed]


@dataclass
class Plan:
    """All runs of a benchmark.

    Attributes:
        images: how many go through the generator of each row.
        recognizers: the recipe that trains the recognizers; None where all come from files.
    """

    file: BenchmarkFile
    out: Path
    images: int
    recognizers: Recipe | None
    runs: list[PlannedRun]

    @property
    def recipes(self) -> list[Recipe]:
        """All of them, in the order in which they are run."""
        return [*([self.recognizers] if self.recognizers else []), *(run.recipe for run in self.runs)]

    def test_folder(self, name: str) -> Path:
        """The folder of a test set; where the file names none, the held-out part of the benchmark's data."""
        return Path(self.file.tests[name].data or self.runs[0].recipe.test_folder)

    def led(self) -> dict[str, list[str]]:
        """See `training.report.led_rows`."""
        led: dict[str, list[str]] = {}
        files = {name: self.recognizer_file(who) for name, who in self.file.recognizers.items()}
        for run in self.runs:
            for name, titles in led_rows(run.recipe, {row.title: row.step for row in run.rows}, files,
                                         [self.recognizers] if self.recognizers else []).items():
                led[name] = list(dict.fromkeys([*led.get(name, ()), *titles]))
        return led

    def recognizer_file(self, who: str) -> str:
        """The path of a recognizer: a step of `recognizers`, or a file."""
        return str(_recognizer_path(self.out, self.file, who, 'r'))


def out_folder(file: BenchmarkFile, out: Path | None = None) -> Path:
    """Where a benchmark's runs and report lie."""
    return Path(out or file.out or Path('experiments') / file.name)


def make_plan(file: BenchmarkFile, out: Path | None, images: int) -> Plan:
    """The recipes of a benchmark.

    Args:
        file: as read.
        out: the run folder, instead of the file's.
        images: the budget of every row.

    Raises:
        UserError: an option file is missing, an option is wrong, or the budget leaves a phase no iteration.
    """
    import cface_basicsr.register  # noqa: F401  an option file names classes of BasicSR
    out = out_folder(file, out)
    runs = [_plan_run(file, out, images, scale, seed) for scale in file.scales for seed in file.seeds]
    recognizers = _recognizer_recipe(file, out)
    if recognizers:
        recognizers.check_options()
    return Plan(file, out, images, recognizers, runs)


def _recognizer_recipe(file: BenchmarkFile, out: Path) -> Recipe | None:
    if not file.steps:
        return None
    steps = {name: step.model_dump(exclude_defaults=True) for name, step in file.steps.items()}
    return _recipe(file, {'name': RECOGNIZERS, 'scale': file.scales[0], 'steps': steps}, out / RECOGNIZERS)


def _recipe(file: BenchmarkFile, content: Mapping[str, Any], out: Path) -> Recipe:
    content = {'data': file.data, 'common': file.common, **content}
    return Recipe(RecipeFile.model_validate(content), Path(file.data), out)


def _recognizer_path(out: Path, file: BenchmarkFile, who: str, label: str) -> Path:
    if who not in file.steps:
        return named_recognizer(who)
    return out.absolute() / RECOGNIZERS / who / 'models' / f'net_{label}_latest.pth'


# ------------------------------------------------------------------------------------------------- one scale, one seed

def _plan_run(file: BenchmarkFile, out: Path, images: int, scale: int, seed: int) -> PlannedRun:
    composer = _Composer(file, out, images, seed)
    rows = [row for system in chosen_systems(file) for row in composer.add(system)]
    content = {'name': f'x{scale}_seed{seed}', 'scale': scale, 'steps': composer.steps}
    return PlannedRun(scale, seed, _recipe(file, content, out / f'x{scale}' / f'seed{seed}'), rows)


class _Composer:
    """Collects the steps of one recipe, system by system."""

    def __init__(self, file: BenchmarkFile, out: Path, images: int, seed: int) -> None:
        self.file, self.out, self.images, self.seed = file, out, images, seed
        self.steps: dict[str, dict[str, Any]] = {}
        self._equal: dict[str, str] = {}

    def add(self, system: System) -> Iterator[PlannedRow]:
        """Add a system's steps; yields its rows."""
        if system.compares and 'index' not in self.steps:
            self.steps['index'] = {'index': self._recognizer('r')}
        active = active_phases(system)
        lengths = phase_iterations(active, self.images, self.file.batch, system.name)
        named: dict[str, str] = {}  # phase -> step
        for phase in active:
            named[phase.name] = self._add_step(system, phase, lengths.get(phase.name, 0), named)
        for title, name in system.rows.items():
            if name not in named:
                raise UserError(f"benchmark: row '{title}' needs the phase '{name}', whose share is 0.")
            phases = {step: phase for phase, step in named.items()} if len(active) > 1 else {}
            needed = self._chain(named[name], *(['index'] if system.compares else []))
            yield PlannedRow(title, system.name, named[name], needed, title in system.pixel, phases)

    def _recognizer(self, label: str) -> str:
        """The file of the recognizer that leads the losses ('r'), or of its classifier ('c')."""
        return str(_recognizer_path(self.out, self.file, loss_recognizer(self.file), label))

    def _add_step(self, system: System, phase: Phase, iterations: int, named: Mapping[str, str]) -> str:
        if phase.generate and phase.generate not in named:
            raise UserError(f"benchmark: phase '{phase.name}' of {system.name} needs '{phase.generate}', of share 0.")
        step = {'generate': named[phase.generate]} if phase.generate else \
            self._training(system, phase, iterations, named)
        key = json.dumps(step, sort_keys=True)
        if self.file.share_equal_phases and key in self._equal:
            return self._equal[key]
        name = '_'.join([step_name(system.name), *([phase.name] if len(system.phases) > 1 else [])])
        if name in self.steps:
            raise UserError(f"benchmark: two systems would be trained in a folder '{name}'; rename '{system.name}'.")
        self.steps[name] = step
        self._equal[key] = name
        return name

    def _training(self, system: System, phase: Phase, iterations: int, named: Mapping[str, str]) -> dict[str, Any]:
        options = find_option_file(phase.options)
        base = read_option_file(options)
        changed = merge(merge(base, only_existing(self.file.common, base)), phase.set)
        with errors_of(f"benchmark, {system.name}, phase '{phase.name}'"):
            check_frame(changed)
            check_training_options(set_scale(changed, changed.get('scale')))  # a backbone comes from a file of x8
        fixed = {'manual_seed': self.seed, 'train': cut_to(changed['train'], iterations),
                 'datasets': {'train': {'batch_size': self.file.batch}, 'val': None}, 'val': None}
        more = changed['train'].get('more_recognizers')
        if more:  # steps of the file, or files
            for who in more:
                check_recognizer(self.file, who, f"{system.name}, phase '{phase.name}', more_recognizers")
            fixed['train']['more_recognizers'] = [
                str(_recognizer_path(self.out, self.file, who, 'r')) if who in self.file.steps else who for who in more]
        of_generator = self._of_every_generator(iterations) if phase.learner == 'g' else {}
        step = {'options': str(options), 'weights': self._weights(phase, named, changed),
                'set': merge(merge(phase.set, of_generator, keep_null=True), fixed, keep_null=True)}
        return step | ({'d_sr': named[phase.d_sr]} if named.get(phase.d_sr) else {})

    def _of_every_generator(self, iterations: int) -> dict[str, Any]:
        """Averaging, the same for all rows, and the networks saved along the way, for the curves of accuracy."""
        points, decay = self.file.curve_points, self.file.ema_decay
        checkpoints = {'logger': {'save_checkpoint_freq': max(1, iterations // points)}} if points else {}
        return checkpoints | ({'train': {'ema_decay': decay}} if decay else {})

    def _weights(self, phase: Phase, named: Mapping[str, str], opt: Mapping[str, Any]) -> dict[str, str]:
        return {network: source for network, who in phase.weights.items()
                if who and network in opt and (source := self._source(network, who, named))}

    def _source(self, network: str, who: str, named: Mapping[str, str]) -> str | None:
        if who in named:
            return named[who]
        if who in (LOSS, HEAD) or network in ('network_r', 'network_c'):  # a phase left out hands on what it got
            loss, label = loss_recognizer(self.file), network[-1]
            if loss in self.file.steps or (label == 'r' and Path(loss).suffix != '.onnx'):
                return self._recognizer(label)  # an ONNX recognizer reads its own file, and has no classifier
        return None

    def _chain(self, *steps: str) -> tuple[str, ...]:
        """These steps and all that they need, in the order of the recipe."""
        needed, todo = set(), [*steps]
        while todo:
            name = todo.pop()
            if name in needed or name not in self.steps:
                continue
            needed.add(name)
            content = self.steps[name]
            todo += [*content.get('weights', {}).values(), content.get('generate', ''), content.get('d_sr', '')]
        return tuple(name for name in self.steps if name in needed)


# --------------------------------------------------------------------------------------------------------- the budget

def active_phases(system: System) -> list[Phase]:
    """The phases of a system that have a share, in order; stage 2 is among them where one of them reads its D_SR."""
    active = [phase for phase in system.phases if phase.share > 0]
    read = {phase.d_sr for phase in active}
    return [phase for phase in active if not phase.generate or phase.name in read]


def phase_iterations(phases: Sequence[Phase], images: int, batch: int, system: str) -> dict[str, int]:
    """How many iterations each phase gets; those of the generator add up to floor(images / batch).

    Args:
        phases: the shares of the generator's phases are taken in proportion to each other.
        images: the budget.
        batch: images in a batch.
        system: its name, for the message.

    Raises:
        UserError: the budget leaves a phase no iteration.
    """
    total = images // batch
    whole = sum(phase.share for phase in phases if phase.learner == 'g' and phase.options)
    lengths, seen, given = {}, 0.0, 0
    for phase in (phase for phase in phases if phase.options):
        if phase.learner == 'r':
            lengths[phase.name] = round(total * phase.share)
        else:
            seen += phase.share
            lengths[phase.name] = round(total * seen / whole) - given
            given += lengths[phase.name]
        if lengths[phase.name] < 1:
            raise UserError(f"benchmark: {images} images in batches of {batch} leave no step for phase '{phase.name}' "
                            f'of {system}. Raise the budget.')
    return lengths


_COUNTS = ('head_only_iter', 'net_d_init_iters')
"""Keys of `train:` that count iterations, besides the schedules."""


def cut_to(train: Mapping[str, Any], iterations: int) -> dict[str, Any]:
    """Changes to a `train:` section so that it runs `iterations` with its schedules at the same fractions.

    A schedule that falls each epoch gets milestones at the borders of as many equal parts as there were epochs, since
    a small budget may hold no whole epoch.

    Raises:
        UserError: the section has no length of its own.

    >>> cut_to({'total_iter': 100, 'scheduler': {'milestones': [50, 75]}}, 20)
    {'total_iter': 20, 'total_epoch': None, 'scheduler': {'milestones': [10, 15]}}
    """
    published = train.get('total_iter') or train.get('total_epoch')
    if not published:
        raise UserError("benchmark: a training names neither 'total_iter' nor 'total_epoch'; expected one of them.")
    epochs = None if train.get('total_iter') else train['total_epoch']
    changes: dict[str, Any] = {'total_iter': iterations, 'total_epoch': None}
    for key, values in train.items():
        if key.startswith('optim_') and isinstance(values, Mapping) and values.get('schedule'):
            changes[key] = {'schedule': _schedule(values['schedule'], published, epochs, iterations)}
    if isinstance(train.get('scheduler'), Mapping):
        changes['scheduler'] = _scheduler(train['scheduler'], published, iterations)
    return changes | {key: _cut(train[key], published, iterations) for key in _COUNTS
                      if train.get(key) and epochs is None}


def _cut(count: int, published: int, iterations: int) -> int:
    return max(1, round(count * iterations / published))


def _schedule(schedule: Mapping[str, Any], published: int, epochs: int | None, iterations: int) -> dict[str, Any]:
    """One of our schedules (options.Schedule)."""
    kind = schedule.get('type', 'constant')
    if kind == 'epoch' and epochs:
        borders = [_cut(epoch, epochs, iterations) for epoch in range(1, epochs)]
        return {'type': 'steps', 'gamma': schedule['gamma'], 'milestones': borders} if borders else {'type': 'constant'}
    if kind == 'steps' and epochs is None:
        return {'milestones': [_cut(milestone, published, iterations) for milestone in schedule['milestones']]}
    if kind == 'cosine' and epochs is None:
        return {'period': _cut(schedule['period'], published, iterations)}
    if kind == 'constant':
        return {}
    raise UserError(f"benchmark: a schedule of type '{kind}' goes with "
                    f"{'total_epoch' if kind == 'epoch' else 'total_iter'}, so that it can be cut to the budget.")


def _scheduler(scheduler: Mapping[str, Any], published: int, iterations: int) -> dict[str, Any]:
    """BasicSR's own `scheduler:` section. Periods are rounded up: together they must cover the whole training."""
    cut = {key: [_cut(count, published, iterations) for count in scheduler[key]]
           for key in ('milestones',) if key in scheduler}
    if 'periods' in scheduler:
        cut['periods'] = [math.ceil(count * iterations / published) for count in scheduler['periods']]
    return cut

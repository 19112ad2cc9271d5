"""The file of `cface benchmark`: which systems, at which scales, on which data, with which budget."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from cface_basicsr.benchmark.systems import SYSTEMS, System, find_systems
from cface_basicsr.errors import UserError, nearest
from cface_basicsr.options import Section, merge, open_section, read_option_file
from cface_basicsr.training.recipe import Step, fill_variables

SCALES = (2, 4, 8)


class Budget(Section):
    """The same for every row; one of the two.

    Attributes:
        images: through a row's generator, all its phases together.
        minutes: of all trainings of systems together; measured rates turn it into one number of images for all.
    """

    images: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode='after')
    def _one_of_two(self) -> 'Budget':
        if (self.images is None) == (self.minutes is None):
            raise ValueError('expected images or minutes, one of them')
        return self


class HeldOut(Section):
    """Faces that are measured on, and how.

    Attributes:
        data: folder of `cface prepare`; left out: the held-out part of the benchmark's data.
        like: the paper's set whose tables it fills.
        pairs: a file in the layout of LFW's pairs.txt; left out: pairs are drawn, with seed 0.
        folds, pairs_per_fold: of drawn pairs; the file has its own.
        far: false accept rate of the verification rate.
        blufr: BLUFR's `blufr_lfw_config.mat`, or its folder of lists, for a set that holds all of its images: VR and
            DIR are then BLUFR's. Left out: VR is that of the pairs, DIR of drawn galleries.
        far_identification: false alarms allowed in DIR, a share.
        faces: so many people stand in the grid of faces; 0: none.
    """

    data: str | None = None
    like: Literal['lfw', 'celeba'] | None = None
    pairs: str | None = None
    folds: int = Field(default=10, ge=2)
    pairs_per_fold: int = Field(default=300, ge=2)
    far: float = Field(default=0.01, gt=0, lt=1)
    blufr: str | None = None
    far_identification: float = Field(default=0.01, gt=0, lt=1)
    faces: int = Field(default=6, ge=0)


class Generated(Section):
    """Drawn faces, for a benchmark without photographs; made where the data folder is not there yet."""

    identities: int = Field(default=240, ge=2)
    images: int = Field(default=8, ge=2)
    holdout: int = Field(default=60, ge=1)


class Variant(Section):
    """A row of an ablation: a system with other options.

    Attributes:
        of: the system that it is, but for what follows.
        set: phase -> changes of its options, over those that the file sets for the system.
        shares: phase -> share of the budget.
        weights: phase -> network -> phase; ~ hands nothing over.
    """

    of: str
    set: dict[str, dict[str, Any]] = Field(default_factory=dict)
    shares: dict[str, float] = Field(default_factory=dict)
    weights: dict[str, dict[str, str | None]] = Field(default_factory=dict)


class BenchmarkFile(Section):
    """The file's content; docs/benchmark.md explains each key."""

    name: str
    title: str = ''
    systems: list[str] | str = 'all'
    variants: dict[str, Variant] = Field(default_factory=dict)
    scales: list[int] = Field(min_length=1)
    data: str
    generated: Generated | None = None
    out: str | None = None
    budget: Budget
    batch: int = Field(ge=1)
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    steps: dict[str, Step] = Field(default_factory=dict)
    recognizers: dict[str, str]
    loss: str | None = None
    tests: dict[str, HeldOut] = Field(default_factory=lambda: {'held-out': HeldOut()}, min_length=1)
    common: dict[str, Any] = Field(default_factory=dict)
    widths: dict[str, dict[str, Any]] = Field(default_factory=dict)
    set: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    shares: dict[str, dict[str, float]] = Field(default_factory=dict)
    ema_decay: float = Field(default=0, ge=0, lt=1)
    share_equal_phases: bool = False
    curve_points: int = Field(default=4, ge=0)
    published: bool = True
    notes: list[str] = Field(default_factory=list)


def read_benchmark(path: str | Path, variables: Mapping[str, str] | None = None,
                   changes: Mapping[str, Any] | None = None) -> BenchmarkFile:
    """Read a benchmark file, laid over the one that its `base:` names, or over several in their order.

    Args:
        variables: values of `$NAME`.
        changes: laid over the file (what a command line sets).

    Raises:
        UserError: an unknown key, system, scale, phase or recognizer; with the nearest name.
    """
    content = merge(_with_base(Path(path)), changes or {})
    content |= {key: _without_nulls(content[key]) for key in ('steps', 'tests', 'variants') if key in content}
    file = open_section(BenchmarkFile, fill_variables(content, variables or {}), 'benchmark')
    _check(file)
    return file


def _with_base(path: Path) -> dict[str, Any]:
    content = read_option_file(path)
    content.pop('plugin', None)
    for step in (content.get('steps') or {}).values():
        if step and step.get('options'):
            step['options'] = str(path.parent.absolute() / step['options'])  # each file names its own neighbours
    base = content.pop('base', None)
    laid: dict[str, Any] = {}
    for name in base if isinstance(base, list) else [base] if base else []:
        laid = merge(laid, _with_base(path.parent / name), keep_null=True)
    return merge(laid, content, keep_null=True)


def _without_nulls(names: Mapping[str, Any] | None) -> dict[str, Any]:
    """A null takes a step or a test set away; deeper ones take keys of an option file away, later."""
    return {name: value for name, value in (names or {}).items() if value is not None}


def known_systems(file: BenchmarkFile) -> dict[str, System]:
    """The paper's systems and the file's variants; a variant's one row has the variant's name."""
    known = dict(SYSTEMS)
    for name, variant in file.variants.items():
        if variant.of not in SYSTEMS:
            raise UserError(f"benchmark, variant '{name}': system '{variant.of}' is unknown; "
                            f'{nearest(variant.of, SYSTEMS)}')
        base = SYSTEMS[variant.of]
        title, phase = list(base.rows.items())[-1]
        pixel = (name,) if title in base.pixel else ()
        known[name] = System(name, base.phases, {name: phase}, pixel, base.compares, base.published)
    return known


def chosen_systems(file: BenchmarkFile) -> list[System]:
    """The systems of a file in order; 'all' is the paper's, or the variants where there are some."""
    known = known_systems(file)
    if file.systems == 'all':
        return [known[name] for name in file.variants or SYSTEMS]
    return find_systems(file.systems, known)


def _check(file: BenchmarkFile) -> None:
    systems = chosen_systems(file)
    if not systems:
        raise UserError("benchmark: 'systems' names none that is trained; HR and Bicubic are always there.")
    for scale in file.scales:
        if scale not in SCALES:
            raise UserError(f'benchmark: scale {scale} is unknown; nearest: '
                            f'{min(SCALES, key=lambda known: abs(known - scale))} (valid: 2, 4, 8).')
    _check_recognizers(file)
    _check_names(file)
    for name in (*file.tests, *file.recognizers):
        if not re.fullmatch(r'[\w.-]+', name):
            raise UserError(f"benchmark: '{name}' becomes a part of file names: letters, digits, '.', '-', '_' only.")
    for key in ('systems', 'scales', 'seeds'):
        values = getattr(file, key)
        if len(set(values)) < len(values) and not isinstance(values, str):
            raise UserError(f"benchmark: '{key}' names one twice: {values}.")


def _check_recognizers(file: BenchmarkFile) -> None:
    if not file.recognizers:
        raise UserError("benchmark: 'recognizers' is empty: without one no identity can be measured.")
    for name, who in (*file.recognizers.items(), *([('loss', file.loss)] if file.loss else [])):
        if who not in file.steps and Path(who).suffix not in ('.pth', '.onnx'):
            raise UserError(f"benchmark, recognizer '{name}': '{who}' is neither one of 'steps' nor a .pth or .onnx "
                            f'file; {nearest(who, file.steps) if file.steps else "there are no steps"}')


def _check_names(file: BenchmarkFile) -> None:
    """Names of systems and phases in widths, set, shares and variants."""
    known = known_systems(file)
    for section in ('widths', 'set', 'shares'):
        for name, values in getattr(file, section).items():
            if name not in known:
                raise UserError(f"benchmark, '{section}': system '{name}' is unknown; {nearest(name, known)}")
            for phase in values if section != 'widths' else ():
                known[name].phase(phase)
    for name, variant in file.variants.items():
        for phase in (*variant.set, *variant.shares, *variant.weights):
            known[name].phase(phase)


def loss_recognizer(file: BenchmarkFile) -> str:
    """The step or file whose recognizer leads the losses: `loss`, else the first of `recognizers`."""
    return file.loss or next(iter(file.recognizers.values()))

"""The file of `cface benchmark`: which systems, at which scales, on which data, with which budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from cface_basicsr.benchmark.systems import SYSTEMS, System, find_systems
from cface_basicsr.errors import UserError, nearest
from cface_basicsr.measuring.request import HELD_OUT, TestSet, check_names
from cface_basicsr.options import Section, merge, open_section
from cface_basicsr.training.recipe import TrainStep, fill_variables, read_with_base, without_nulls
from cface_basicsr.training.scale import check_scale


class Budget(Section):
    """The same for every row; one of the two."""

    images: int | None = Field(default=None, ge=1)
    """Through a row's generator, all its phases together."""
    minutes: float | None = Field(default=None, gt=0)
    """Of all trainings of systems together; by measured rates it becomes one number of images for all rows."""

    @model_validator(mode='after')
    def _one_of_two(self) -> 'Budget':
        if (self.images is None) == (self.minutes is None):
            raise ValueError('expected images or minutes, one of them')
        return self


class Generated(Section):
    """Synthetic faces, for a benchmark without photographs; made where the data folder is not there yet."""

    identities: int = Field(default=240, ge=2)
    """How many identities."""
    images: int = Field(default=8, ge=2)
    """Images of each."""
    holdout: int = Field(default=60, ge=1)
    """Identities that are held out, to measure on."""


class Variant(Section):
    """A row of an ablation: a system with other options."""

    of: str
    """The system that it is, but for what follows."""
    set: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Phase -> changes of its options, over those that the file sets for the system."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Phase -> share of the budget."""
    weights: dict[str, dict[str, str | None]] = Field(default_factory=dict)
    """Phase -> network -> phase that it starts from; `~`: from none."""


class BenchmarkFile(Section):
    """A benchmark as its file says it; `base:` names a file, or a list of files, over which it is laid."""

    name: str
    """Of the run folder."""
    title: str = ''
    """Of the report."""
    systems: list[str] | str = 'all'
    """Names of systems, or `all`: those of the paper, or the variants where there are some."""
    variants: dict[str, Variant] = Field(default_factory=dict)
    """Name -> row of an ablation."""
    scales: list[int] = Field(min_length=1)
    """Of 2, 4 and 8; each with each seed is a recipe of its own, `<out>/x8/seed0`."""
    data: str
    """The folder that `cface prepare` made, with `--holdout`; `--data` names another."""
    generated: Generated | None = None
    """Synthetic faces, where the data folder is not there."""
    out: str | None = None
    """The run folder, by default `experiments/<name>`; `--out` names another."""
    budget: Budget
    """What every row is trained with."""
    batch: int = Field(ge=1)
    """Images in a batch of every training of a system."""
    seeds: list[int] = Field(default_factory=lambda: [0], min_length=1)
    """Of weights, order and draws."""
    steps: dict[str, TrainStep] = Field(default_factory=dict)
    """Name -> training of a recognizer, as in a recipe; done once for all scales and seeds."""
    recognizers: dict[str, str]
    """Name in the tables -> one of `steps`, or a `.pth` or `.onnx` file."""
    loss: str | None = None
    """The step or file whose recognizer leads the losses of SICNN and C-Face; by default the first of `recognizers`."""
    tests: dict[str, TestSet] = Field(default_factory=lambda: {HELD_OUT: TestSet()}, min_length=1)
    """Name -> faces that are measured on; by default the held-out ones."""
    common: dict[str, Any] = Field(default_factory=dict)
    """Laid over every option file, where that has such a section."""
    widths: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """System -> changes of its generator in all phases; the tables name them."""
    set: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    """System -> phase -> changes of its options."""
    shares: dict[str, dict[str, float]] = Field(default_factory=dict)
    """System -> phase -> share of the budget; by default in the proportions of the published schedules."""
    ema_decay: float = Field(default=0, ge=0, lt=1)
    """Above 0: an averaged generator for every row, which is then the one that is measured."""
    share_equal_phases: bool = False
    """Train phases that are equal in two rows once."""
    curve_points: int = Field(default=4, ge=0)
    """Networks saved along each phase, from which the curves of accuracy and PSNR are measured; 0: none."""
    published: bool = True
    """Show the paper's numbers next to ours."""
    notes: list[str] = Field(default_factory=list)
    """Lines of the report."""


def read_benchmark(path: str | Path, variables: Mapping[str, str] | None = None,
                   changes: Mapping[str, Any] | None = None) -> BenchmarkFile:
    """Read a benchmark file, laid over the one that its `base:` names, or over several in their order.

    Args:
        variables: values of `$NAME`.
        changes: laid over the file (what a command line sets).

    Raises:
        UserError: an unknown key, system, scale, phase or recognizer; with the nearest name.
    """
    content = merge(read_with_base(Path(path)), changes or {})
    content |= {key: without_nulls(content[key]) for key in ('steps', 'tests', 'variants') if key in content}
    file = open_section(BenchmarkFile, fill_variables(content, variables or {}), 'benchmark')
    _check(file)
    return file


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
    """The systems of a file in order; 'all' is every known one, or the variants where there are some."""
    known = known_systems(file)
    if file.systems == 'all':
        return [known[name] for name in file.variants or SYSTEMS]
    return find_systems(file.systems, known)


def _check(file: BenchmarkFile) -> None:
    systems = chosen_systems(file)
    if not systems:
        raise UserError("benchmark: 'systems' names none that is trained; HR and Bicubic are always there.")
    for scale in file.scales:
        check_scale(scale)
    _check_recognizers(file)
    _check_names(file)
    check_names('benchmark', file.tests, file.recognizers)
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

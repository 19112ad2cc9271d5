"""The file of `cface benchmark`: which systems, at which scales, on which data, with which budget."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cface_basicsr.benchmark.systems import SYSTEMS, Phase, System, find_systems
from cface_basicsr.errors import UserError, check_known, nearest
from cface_basicsr.files.recognizer_file import named_recognizer
from cface_basicsr.measuring.request import HELD_OUT, Perceptual, TestSet, check_names
from cface_basicsr.options import FolderName, Section, merge, open_section, read_option_file
from cface_basicsr.options.option_file import Common, Seed
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.training.recipe import BENCHMARK, REMOVABLE, TrainStep, check_kind, fill_variables, read_with_base
from cface_basicsr.training.scale import check_scale


class Budget(Section):
    """The same for every row: either `images` or `minutes`."""

    images: int | None = Field(default=None, ge=1)
    """How many go through a row's generator, in all its phases together."""
    minutes: float | None = Field(default=None, gt=0)
    """For the trainings of all systems together; measured throughput turns it into the number of images of a row."""

    def check(self) -> None:
        """See `Section.check`."""
        if (self.images is None) == (self.minutes is None):
            raise ValueError('expected images or minutes, one of them')


class Generated(Section):
    """Synthetic faces, for a benchmark without photographs; they are made if the data folder is not there yet."""

    identities: int = Field(default=240, ge=2)
    """How many identities."""
    images: int = Field(default=8, ge=2)
    """How many images of each identity."""
    holdout: int = Field(default=60, ge=1)
    """How many of the identities are held out, to measure on."""


Share = Annotated[float, Field(ge=0)]
"""A share of the budget, in proportion to the others; 0 leaves the phase out."""


class Variant(Section):
    """A row of an ablation: a system with other options, or with the generator of another one."""

    of: str
    """The system that it changes."""
    backbone: str | dict[str, Any] | None = None
    """Whose generator it trains, as in `C-Face-v1 (EDSR)`: a system, whose `widths` count then, or a section
    `{type: NAME, …}` of any registered network that takes a scale."""
    set: Annotated[dict[str, dict[str, Any]], REMOVABLE] = Field(default_factory=dict)
    """Phase -> changes of its options, on top of those that the file sets for the system."""
    shares: Annotated[dict[str, Share], REMOVABLE] = Field(default_factory=dict)
    """Phase -> share of the budget."""
    weights: dict[str, dict[str, str | None]] = Field(default_factory=dict)
    """Phase -> network -> phase that it starts from; `~`: from none."""


class BenchmarkFile(Section):
    """A benchmark file; `base:` names another file, or a list of them, which this one changes."""

    name: FolderName
    """Name of the run folder."""
    title: str = ''
    """Title of the report."""
    systems: list[str] | str = 'all'
    """Names of systems, or `all`: those of the paper, or the variants if there are any."""
    variants: Annotated[dict[str, Variant], REMOVABLE] = Field(default_factory=dict)
    """Name -> row of an ablation, or of a system on another backbone."""
    scales: list[int] = Field(min_length=1)
    """Some of 2, 4 and 8; each scale with each seed is a recipe of its own, `<out>/x8/seed0`."""
    data: str
    """The folder that `cface prepare --holdout` made; `--data` names another."""
    generated: Generated | None = None
    """Synthetic faces, made if the data folder is not there."""
    out: str | None = None
    """The run folder, by default `experiments/<name>`; `--out` names another."""
    budget: Budget
    """What every row is trained with."""
    batch: int = Field(ge=1)
    """Images in a batch, of every training of a system."""
    seeds: list[Seed] = Field(default_factory=lambda: [0], min_length=1)
    """Seeds of the weights, of the order of images and of all draws."""
    steps: Annotated[dict[FolderName, TrainStep], REMOVABLE] = Field(default_factory=dict)
    """Name -> training of a recognizer, as in a recipe; it is done once for all scales and seeds."""
    recognizers: Annotated[dict[str, str], REMOVABLE]
    """Name in the tables -> one of `steps`, or a `.pth` or `.onnx` file."""
    loss: str | None = None
    """The step or file whose recognizer leads the losses of SICNN and C-Face; by default the first of `recognizers`."""
    tests: Annotated[dict[str, TestSet], REMOVABLE] = Field(default_factory=lambda: {HELD_OUT: TestSet()}, min_length=1)
    """Name -> faces that are measured on; by default the held-out ones."""
    perceptual: Annotated[Perceptual, REMOVABLE] = Field(default_factory=dict)
    """`lpips` or `dists` -> folder with torchvision's file of the network that it is measured by, which is never
    fetched; needs the package torchmetrics."""
    common: Common = Field(default_factory=dict)
    """Changes to every option file that has such a section; what is in `logger`, to every one."""
    widths: Annotated[dict[str, dict[str, Any]], REMOVABLE] = Field(default_factory=dict)
    """System -> changes of its generator in all phases; the tables name these changes."""
    set: Annotated[dict[str, Annotated[dict[str, dict[str, Any]], REMOVABLE]], REMOVABLE] = Field(default_factory=dict)
    """System -> phase -> changes of its options."""
    shares: Annotated[dict[str, Annotated[dict[str, Share], REMOVABLE]], REMOVABLE] = Field(default_factory=dict)
    """System -> phase -> share of the budget; by default in the proportions of the published schedules."""
    ema_decay: float = Field(default=0, ge=0, lt=1)
    """Above 0: an averaged generator for every row, which is then the one that is measured."""
    share_equal_phases: bool = False
    """Train phases only once that are equal in several rows."""
    curve_points: int = Field(default=4, ge=0)
    """How many networks are saved along each phase, for the curves of accuracy and PSNR; 0: none."""
    published: bool = True
    """Show the paper's numbers next to ours."""
    notes: list[str] = Field(default_factory=list)
    """Lines that the report shows as notes."""


def read_benchmark(path: str | Path, variables: Mapping[str, str] | None = None,
                   changes: Mapping[str, Any] | None = None) -> BenchmarkFile:
    """Read a benchmark file with its `base:`.

    Args:
        path: the file.
        variables: values of `$NAME`.
        changes: what a command line sets instead of the file.

    Raises:
        UserError: a key, system, scale, phase or recognizer is unknown; the message gives the nearest.
    """
    content = read_with_base(Path(path))
    check_kind(path, content, BENCHMARK)
    content = merge(content, changes or {})
    file = open_section(BenchmarkFile, fill_variables(content, variables or {}), 'benchmark')
    _check(file)
    return file


def known_systems(file: BenchmarkFile) -> dict[str, System]:
    """The paper's systems and the file's variants; a variant has one row, with the variant's name."""
    known = dict(SYSTEMS)
    for name, variant in file.variants.items():
        check_known(f"benchmark, variant '{name}': system", variant.of, SYSTEMS)
        _check_backbone(name, variant.backbone)
        base = SYSTEMS[variant.of]
        title, phase = list(base.rows.items())[-1]
        known[name] = replace(base, name=name, rows={name: phase}, pixel=(name,) if title in base.pixel else ())
    return known


def chosen_systems(file: BenchmarkFile) -> list[System]:
    """The systems of a file in order, with what it sets for them; 'all' is every one, or the variants if there are any.

    Each phase has the share, the weights and the changes of options that the file gives it.
    """
    names = list(file.variants or SYSTEMS) if file.systems == 'all' else file.systems
    return [replace(system, phases=tuple(_as_set(file, system, phase) for phase in system.phases))
            for system in find_systems(names, known_systems(file))]


def _as_set(file: BenchmarkFile, system: System, phase: Phase) -> Phase:
    """A phase as the file sets it: for the system that a variant is of, for the system, and in the variant itself."""
    variant = file.variants.get(system.name)
    backbone = variant.backbone if variant else None
    changes, share, weights = phase.set, phase.share, phase.weights
    for name in [variant.of, system.name] if variant else [system.name]:
        if phase.learner == 'g' and name in file.widths and not backbone:
            changes = merge(changes, {'network_g': file.widths[name]}, keep_null=True)
        changes = merge(changes, file.set.get(name, {}).get(phase.name, {}), keep_null=True)
        share = file.shares.get(name, {}).get(phase.name, share)
    if backbone and phase.learner == 'g' and phase.options:
        changes = merge(changes, {'network_g': _generator(file, backbone, system.name)}, keep_null=True)
    if variant:
        changes = merge(changes, variant.set.get(phase.name, {}), keep_null=True)
        share = variant.shares.get(phase.name, share)
        weights = {**weights, **variant.weights.get(phase.name, {})}
    return replace(phase, set=changes, share=share, weights=weights)


def _generator(file: BenchmarkFile, backbone: str | Mapping[str, Any], row: str) -> dict[str, Any]:
    """The generator of a backbone; its type replaces the one of an option file, with all of its arguments."""
    network = backbone if isinstance(backbone, Mapping) else {
        **published_generator(backbone), **file.widths.get(backbone, {})}
    return {**network, **file.widths.get(row, {})}


def published_generator(system: str) -> dict[str, Any]:
    """The `network_g` section of a system, as its own option file has it."""
    phase = next(phase for phase in SYSTEMS[system].phases if phase.learner == 'g' and phase.options)
    return dict(read_option_file(find_option_file(phase.options))['network_g'])


def _check(file: BenchmarkFile) -> None:
    if not chosen_systems(file):
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
        check_recognizer(file, who, f"recognizer '{name}'")


def check_recognizer(file: BenchmarkFile, who: str, where: str) -> None:
    """Check that a recognizer is one of the steps, or may be a file.

    Args:
        who: as it is named; where: for the message.

    Raises:
        UserError: it is neither.
    """
    if who not in file.steps and named_recognizer(who).suffix not in ('.pth', '.onnx'):
        raise UserError(f"benchmark, {where}: '{who}' is neither one of 'steps' nor a .pth or .onnx file; "
                        f'{nearest(who, file.steps) if file.steps else "there are no steps"}')


def _check_names(file: BenchmarkFile) -> None:
    """Names of systems and phases in widths, set, shares and variants."""
    known = known_systems(file)
    for section in ('widths', 'set', 'shares'):
        for name, values in getattr(file, section).items():
            check_known(f"benchmark, '{section}': system", name, known)
            for phase in values if section != 'widths' else ():
                known[name].phase(phase)
    for name, variant in file.variants.items():
        for phase in (*variant.set, *variant.shares, *variant.weights):
            known[name].phase(phase)


def loss_recognizer(file: BenchmarkFile) -> str:
    """The step or file whose recognizer leads the losses: `loss`, else the first of `recognizers`."""
    return file.loss or next(iter(file.recognizers.values()))


def _check_backbone(row: str, backbone: str | Mapping[str, Any] | None) -> None:
    """A backbone is a system or the section of a network; whether it has the scales is checked with all options."""
    if isinstance(backbone, str) and backbone not in SYSTEMS:
        raise UserError(f"benchmark, variant '{row}': backbone '{backbone}' is unknown; {nearest(backbone, SYSTEMS)}")
    if isinstance(backbone, Mapping) and not isinstance(backbone.get('type'), str):
        raise UserError(f"benchmark, variant '{row}': backbone: expected a system, or a section with 'type', the name "
                        f'of a network; got {dict(backbone)}.')

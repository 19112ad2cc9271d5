"""What a finished benchmark knows, as one JSON file: facts, numbers, scores, curves, costs, faces.

Measuring writes it and the report reads it, so a report can be made again without measuring again. Paths in it are
relative to the folder of the JSON file.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_text

RESULTS = 'results.json'
REFERENCES = ('HR', 'Bicubic')
"""Systems that are always there and are not trained."""

_STRICT = ConfigDict(extra='forbid', ser_json_inf_nan='strings')


@dataclass(config=_STRICT)
class Check:
    """One fairness check.

    Attributes:
        what: the claim, such as 'identities of training and test are disjoint (by key)'.
        outcome: holds, broken, or unknown where it could not be checked.
        evidence: what was compared: counts, hashes, names.
    """

    what: str
    outcome: Literal['holds', 'broken', 'unknown']
    evidence: str


@dataclass(config=_STRICT)
class DataSet:
    """A data set that took part.

    Attributes:
        name: short, in headings and file names.
        role: train or test.
        sha256: of its manifest.
        pairs: compared pairs of a test set (0 where there are none).
        protocol: how it is measured, in words, such as 'ten folds, 300 + 300 pairs each'.
        far: false accept rate of '<recognizer>/vr', a share; None where no rate is measured.
        like: the paper's set whose tables it fills: 'lfw' Tables 1 to 3, 'celeba' Tables 4 and 5; None: tables of its
            own, without the paper's numbers.
    """

    name: str
    role: Literal['train', 'test']
    sha256: str
    identities: int
    images: int
    pairs: int = 0
    protocol: str = ''
    far: float | None = None
    like: Literal['lfw', 'celeba'] | None = None


@dataclass(config=_STRICT)
class Facts:
    """What makes the numbers traceable.

    Attributes:
        command: as it was typed.
        recognizers: name -> SHA-256 of the file that measured.
        versions: package -> version (cface-basicsr, torch, basicsr, python).
        device: in words, of training and measuring.
        budget: in words, such as '8,000 images through each generator'.
        options: the benchmark file as it was read.
        notes: lines that a reader must know.
    """

    command: str
    seeds: list[int]
    data: list[DataSet]
    recognizers: dict[str, str]
    versions: dict[str, str]
    device: str
    budget: str
    checks: list[Check] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(config=_STRICT)
class Measured:
    """The numbers of one run on one test set.

    Attributes:
        numbers: 'psnr' (dB), 'ssim' (means over the images); for each recognizer '<name>/accuracy',
            '<name>/accuracy_std' (over the folds), '<name>/vr', '<name>/dir': shares in [0, 1]. Absent or None: not
            measured.
        per_fold: recognizer -> accuracy of each fold, the same folds for all runs.
        scores: an .npz of `save_scores`, relative; '' where none was kept.
    """

    numbers: dict[str, float | int | None] = field(default_factory=dict)
    per_fold: dict[str, list[float]] = field(default_factory=dict)
    scores: str = ''


@dataclass(config=_STRICT)
class CurvePoint:
    """One point of a training curve.

    Attributes:
        images: through the generator so far, all phases.
        phase: such as 'stage 1', 'PSNR', 'GAN'; '' where there is only one.
        losses: name -> value, as BasicSR logs them.
        accuracies: name -> share in [0, 1], or a metric of a validation (psnr in dB).
    """

    images: int
    phase: str = ''
    losses: dict[str, float] = field(default_factory=dict)
    accuracies: dict[str, float] = field(default_factory=dict)


@dataclass(config=_STRICT)
class Costs:
    """What a network costs (`benchmark.costs`).

    Attributes:
        parameters: of the generator.
        macs: multiply-accumulates of one face at this scale.
        ms_a_face: median milliseconds of one face on `device`.
        images_a_second: of training, one image once through all that its step does; None where it was not trained.
        device: where the last two were measured.
    """

    parameters: int
    macs: int
    ms_a_face: float | None = None
    images_a_second: float | None = None
    device: str = ''


@dataclass(config=_STRICT)
class Run:
    """One system at one scale with one seed.

    Attributes:
        system: its name in the tables; 'HR' and 'Bicubic' for the two that are not trained.
        seed: None for those two.
        network: its network options (type, widths, depths).
        width: in words, such as 'full', or '16 instead of 64 features'.
        status: done or failed.
        reason: why it failed, one line.
        marks: such as 'not converged'; each is printed with the row.
        measured: test set -> numbers.
        curve: in order of images.
        images_g, images_r: training images through the generator and the recognizer, all steps.
        weights_sha256: of the generator's file.
        faces: key of an image -> its PNG, relative; the same keys in every run.
    """

    system: str
    scale: int
    seed: int | None = None
    network: dict[str, Any] = field(default_factory=dict)
    width: str = ''
    status: Literal['done', 'failed'] = 'done'
    reason: str = ''
    marks: list[str] = field(default_factory=list)
    measured: dict[str, Measured] = field(default_factory=dict)
    curve: list[CurvePoint] = field(default_factory=list)
    costs: Costs | None = None
    images_g: int | None = None
    images_r: int | None = None
    weights_sha256: str = ''
    faces: dict[str, str] = field(default_factory=dict)


@dataclass(config=_STRICT)
class Region:
    """A part of a face that is shown enlarged; borders as shares of the picture's width and height.

    Attributes:
        name: such as 'eyes'.
        box: left, top, right, bottom in [0, 1].
    """

    name: str
    box: tuple[float, float, float, float]


@dataclass(config=_STRICT)
class Faces:
    """The faces of the qualitative grids of one test set.

    Attributes:
        test: name of the test set; it decides whether the grid is that of Fig. 7 (like lfw) or Fig. 8 (like celeba).
        keys: in order of the rows; each run's `faces` has them.
        low: scale -> key -> PNG of the low-resolution input, relative.
        regions: key -> the part of that face to enlarge; keys without one get the default regions in turn.
    """

    test: str
    keys: list[str]
    low: dict[int, dict[str, str]] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)


@dataclass(config=_STRICT)
class Results:
    """All that a finished benchmark knows.

    Attributes:
        title: of the report.
        systems: names in order of the tables, HR and Bicubic first; a system without a run has failed before.
        scales: in order.
        runs: every (system, scale, seed), also failed ones; HR and Bicubic at every scale.
        faces: one entry a test set that is shown.
        show_published: print the paper's numbers beside ours.
    """

    title: str
    facts: Facts
    systems: list[str]
    scales: list[int]
    runs: list[Run]
    faces: list[Faces] = field(default_factory=list)
    show_published: bool = True

    def runs_of(self, system: str, scale: int) -> list[Run]:
        """All seeds of a system at a scale, also failed ones."""
        return [run for run in self.runs if run.system == system and run.scale == scale]

    def tests(self) -> list[DataSet]:
        """The test sets in order."""
        return [data for data in self.facts.data if data.role == 'test']

    def failed(self) -> list[Run]:
        """The runs that failed."""
        return [run for run in self.runs if run.status == 'failed']

    def save(self, path: str | Path) -> Path:
        """Write the JSON aside, then rename it; a folder gets results.json.

        Raises:
            UserError: a number is NaN, or HR or Bicubic is missing at a scale.
        """
        path = _file(path)
        _check(self)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _JSON.dump_json(self, indent=1).decode() + '\n')
        return path


_JSON = TypeAdapter(Results)


def load_results(path: str | Path) -> Results:
    """Read results.json or the one in a folder.

    Raises:
        UserError: it is missing or is no results file; names the first wrong entry.
    """
    path = _file(path)
    if not path.is_file():
        raise UserError(f"'{path}' is missing: no benchmark has finished there.\nRun: cface benchmark FILE")
    try:
        results = _JSON.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = '.'.join(map(str, first['loc']))
        raise UserError(f"'{path}' is no results file: {where}: {first['msg']}") from error
    _check(results)
    return results


def save_scores(path: str | Path, same: ArrayLike, scores: Mapping[str, ArrayLike]) -> Path:
    """Keep the score of every pair, for ROC and DET curves.

    Args:
        path: an .npz file.
        same: (P,) true where both images show one person.
        scores: recognizer -> (P,) similarities, larger = more alike.
    """
    path, same = Path(path), np.asarray(same, dtype=bool)
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    wrong = {name: values.shape for name, values in arrays.items() if values.shape != same.shape}
    if wrong or 'same' in arrays:
        raise UserError(f"scores of {same.shape} pairs: expected as many of each recognizer, none named 'same', "
                        f'got {wrong or list(arrays)}.')
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, same=same, **arrays)
    return path


def load_scores(path: str | Path) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Same person or not (P,), and recognizer -> scores (P,), of `save_scores`."""
    with np.load(path) as arrays:
        return arrays['same'], {name: arrays[name] for name in arrays.files if name != 'same'}


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / RESULTS if path.suffix != '.json' else path


def _check(results: Results) -> None:
    names = [*(test.name for test in results.tests()), *results.facts.recognizers]
    for name in names:
        if not re.fullmatch(r'[\w.-]+', name):
            raise UserError(f"'{name}' names a test set or a recognizer and becomes a part of file names: "
                            "letters, digits, '.', '-' and '_' only.")
    for system in REFERENCES:
        missing = [scale for scale in results.scales if not results.runs_of(system, scale)]
        if missing:
            raise UserError(f'{system} is always in a benchmark, but has no run at scale {missing[0]}.')
    for run in results.runs:
        for test, measured in run.measured.items():
            bad = [key for key, value in measured.numbers.items() if value is not None and value != value]
            if bad:
                raise UserError(f'{run.system} x{run.scale} on {test}: {bad[0]} is NaN. '
                                'A number that was not measured is None.')

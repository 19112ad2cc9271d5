"""What was measured, as one JSON file: facts, numbers, scores, curves, costs, faces.

`cface train`, `cface evaluate` and `cface benchmark` write it; the report and `--compare` read it, so a report can be
made again without measuring again. Paths in it are relative to the folder of the JSON file.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cface_basicsr.errors import UserError
from cface_basicsr.files.array_file import read_npz
from cface_basicsr.files.atomic import replacing, write_text
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.text_file import read_whole
from cface_basicsr.runtime import stack_versions

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
class Compared:
    """What one protocol compares on a test set, the same for all systems.

    Attributes:
        protocol: its name (`measuring.protocols.PROTOCOLS`).
        sha256: of which images are compared and how, not of their pixels; where it differs, numbers are not comparable.
        note: what is compared, for a reader.
        settings: far (a share), pairs, folds, seed …; what there is depends on the protocol.
        counts: numbers of pairs or probes that the rates are based on.
        shared: share of its people that a trial has in common with another one, see `paired_test`.
    """

    protocol: str
    sha256: str
    note: str
    settings: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    shared: float = 0.0


@dataclass(config=_STRICT)
class DataSet:
    """A data set that took part.

    Attributes:
        name: short, in headings and file names.
        role: train or test.
        sha256: of its manifest.
        compared: one entry per protocol of a test set.
        like: the paper's set whose tables it fills: 'lfw' Tables 1 to 3, 'celeba' Tables 4 and 5; None: tables of its
            own, without the paper's numbers.
    """

    name: str
    role: Literal['train', 'test']
    sha256: str
    identities: int
    images: int
    compared: list[Compared] = field(default_factory=list)
    like: Literal['lfw', 'celeba'] | None = None

    @property
    def pairs(self) -> int:
        """Pairs that are compared; 0 where there are none."""
        return next((each.settings['pairs'] for each in self.compared if 'pairs' in each.settings), 0)

    @property
    def protocol(self) -> str:
        """How it is measured, for a reader."""
        return ' '.join(each.note for each in self.compared)


@dataclass(config=_STRICT)
class Facts:
    """What makes the numbers traceable.

    Attributes:
        command: as it was typed.
        seeds: of the trainings; empty where nothing was trained.
        recognizers: name -> SHA-256 of the file that measured.
        led: name of a recognizer -> the rows of which it led a loss, so that it is not their judge.
        versions: package -> version (cface-basicsr, torch, basicsr, python …).
        device: of training and measuring, as a reader calls it.
        budget: such as '8,000 images through each generator'; '' where systems have different ones.
        options: what was asked for: the benchmark file or the recipe as it was read, or files and switches.
        notes: lines that a reader must know.
    """

    command: str
    seeds: list[int]
    data: list[DataSet]
    recognizers: dict[str, str]
    versions: dict[str, str]
    device: str
    budget: str = ''
    checks: list[Check] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    led: dict[str, list[str]] = field(default_factory=dict)


def facts_of_this_run(data: list[DataSet], recognizers: Mapping[str, str], device: str, **more: Any) -> Facts:
    """The facts of what this process measures: with its command, and the versions that it runs on.

    Args:
        more: see `Facts`.
    """
    versions = {name: version for name, version in stack_versions().items() if version}
    return Facts(' '.join(['cface', *sys.argv[1:]]), more.pop('seeds', []), data, dict(recognizers), versions, device,
                 **more)


@dataclass(config=_STRICT)
class Measured:
    """The numbers of one run on one test set.

    Attributes:
        numbers: 'psnr' (dB), 'ssim' (means over the images); for each recognizer '<name>/accuracy',
            '<name>/accuracy_std' (over the folds), '<name>/vr', '<name>/dir' …: shares in [0, 1]. Absent or None: not
            measured.
        per_fold: '<name>/accuracy' … -> its value in each fold, trial or part, the same ones for all runs.
        scores: an .npz of `save_scores`, relative; '' where none was kept.
        features: an .npz of `save_mapped`, of some faces, relative; '' where none was kept.
    """

    numbers: dict[str, float | int | None] = field(default_factory=dict)
    per_fold: dict[str, list[float]] = field(default_factory=dict)
    scores: str = ''
    features: str = ''


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
        scale: None for features of files, whose scale nobody knows.
        seed: None where it was not trained by the command that measured it.
        network: its network options (type, widths, depths).
        width: such as 'full', or '16 instead of 64 features'.
        status: done or failed.
        reason: why it failed, one line.
        footnotes: such as 'not converged'; each is printed with the row.
        measured: test set -> numbers.
        curve: in order of images.
        images_g, images_r: training images through the generator and the recognizer, all steps.
        weights_sha256: of the generator's file, or of the file of its features.
        faces: key of an image -> its PNG, relative; the same keys in every run.
    """

    system: str
    scale: int | None
    seed: int | None = None
    network: dict[str, Any] = field(default_factory=dict)
    width: str = ''
    status: Literal['done', 'failed'] = 'done'
    reason: str = ''
    footnotes: list[str] = field(default_factory=list)
    measured: dict[str, Measured] = field(default_factory=dict)
    curve: list[CurvePoint] = field(default_factory=list)
    costs: Costs | None = None
    images_g: int | None = None
    images_r: int | None = None
    weights_sha256: str = ''
    faces: dict[str, str] = field(default_factory=dict)

    def files(self) -> list[str]:
        """Paths of its scores, features and faces."""
        kept = (path for each in self.measured.values() for path in (each.scores, each.features))
        return [*filter(None, kept), *self.faces.values()]


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
        compare: key -> key and PNG (relative) of another photo of that person, where there is one.
    """

    test: str
    keys: list[str]
    low: dict[int, dict[str, str]] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    compare: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(config=_STRICT)
class Results:
    """All that was measured by one command.

    Attributes:
        made_by: the command, which decides what is reported.
        title: of the report.
        systems: names in order of the tables, HR and Bicubic first; a system without a run has failed before.
        scales: in order; empty where nobody knows.
        runs: every (system, scale, seed), also failed ones; HR and Bicubic at every scale.
        faces: one entry per test set that is shown.
        domains: title -> 'sr_hr', 'sr_compare', 'hr_compare': mean distances in [0, 4] (paper, section 3.4).
        show_published: print the paper's numbers next to ours.
    """

    made_by: Literal['train', 'evaluate', 'benchmark']
    title: str
    facts: Facts
    systems: list[str]
    scales: list[int]
    runs: list[Run]
    faces: list[Faces] = field(default_factory=list)
    domains: dict[str, dict[str, float]] = field(default_factory=dict)
    show_published: bool = False

    def runs_of(self, system: str, scale: int) -> list[Run]:
        """All seeds of a system at a scale, also failed ones."""
        return [run for run in self.runs if run.system == system and run.scale == scale]

    def measured_on(self, test: DataSet, system: str | None = None, scale: int | None = None) -> list[Run]:
        """The finished runs that have numbers on a test set: all of them, or those of a system, of a scale."""
        return [run for run in self.runs if run.status == 'done' and test.name in run.measured
                and system in (None, run.system) and scale in (None, run.scale)]

    def tests(self) -> list[DataSet]:
        """The test sets in order."""
        return [data for data in self.facts.data if data.role == 'test']

    def failed(self) -> list[Run]:
        """The runs that failed."""
        return [run for run in self.runs if run.status == 'failed']

    def json(self) -> str:
        """The text of the file, strict JSON: infinity is the string 'Infinity', which Python's float() reads.

        Raises:
            UserError: a number is NaN.
        """
        _check(self)
        return _JSON.dump_json(self, indent=1).decode() + '\n'

    def save(self, path: str | Path) -> Path:
        """Write the JSON aside, then rename it; a folder gets results.json.

        Raises:
            UserError: a number is NaN.
        """
        path, text = _file(path), self.json()
        write_text(path, text)
        return path


_JSON = TypeAdapter(Results)


def load_results(path: str | Path) -> Results:
    """Read a results file, or results.json of a folder.

    Raises:
        UserError: it is missing or is not a results file; names the first wrong entry.
    """
    path = _file(path)
    if not path.is_file():
        raise UserError(f"'{path}' is missing: expected what `cface train` or `cface benchmark` leaves in its run "
                        'folder (results.json), or `cface evaluate … --out NAME` (NAME.json).')
    try:
        results = _JSON.validate_json(read_whole(path, ''))
    except ValidationError as error:
        first = error.errors()[0]
        where = '.'.join(map(str, first['loc']))
        raise UserError(f"'{path}' is not a results file of this version: {where}: {first['msg']}") from error
    try:
        _check(results)
    except UserError as error:
        raise UserError(f"'{path}': {error}") from error
    return results


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / RESULTS if path.is_dir() or path.suffix != '.json' else path


def _check(results: Results) -> None:
    places = {f'{run.system} x{run.scale} on {test}': measured.numbers | _numbered(measured.per_fold)
              for run in results.runs for test, measured in run.measured.items()} | results.domains
    for place, numbers in places.items():
        bad = [key for key, value in numbers.items() if value is not None and value != value]
        if bad:
            raise UserError(f'{place}: {bad[0]} is NaN. A number that was not measured is None.')


def _numbered(per_fold: Mapping[str, list[float]]) -> dict[str, float]:
    return {f'{key}, number {number}': value for key, values in per_fold.items()
            for number, value in enumerate(values, 1)}


# --------------------------------------------------------------------------------------- names and files of one run

def step_name(system: str) -> str:
    """A system's name as the name of a folder.

    >>> step_name('C-Face-v2')
    'c_face_v2'
    """
    return re.sub(r'[^a-z0-9]+', '_', system.lower()).strip('_')


def save_scores(path: str | Path, same: ArrayLike, scores: Mapping[str, ArrayLike]) -> Path:
    """Keep the score of every pair, for ROC and DET curves.

    Args:
        path: an .npz file.
        same: (P,) true where both images show one person.
        scores: recognizer -> (P,) similarities, larger = more alike.

    Raises:
        UserError: another number of scores than of pairs, or a recognizer called 'same'.
    """
    path, same = Path(path), np.asarray(same, dtype=bool)
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    wrong = {name: values.shape for name, values in arrays.items() if values.shape != same.shape}
    if wrong or 'same' in arrays:
        raise UserError(f"scores of {same.shape} pairs: expected arrays of that shape, none named 'same', "
                        f'got {wrong or list(arrays)}.')
    with replacing(path) as aside, open(aside, 'wb') as file:
        np.savez_compressed(file, same=same, **arrays)
    return path


def load_scores(path: str | Path) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Same person or not (P,), and recognizer -> scores (P,), of `save_scores`.

    Raises:
        UserError: it is missing or damaged.
    """
    arrays = read_npz(path, 'It comes with the results.')
    same = arrays.pop('same', None)
    if same is None or same.dtype != bool or any(each.shape != same.shape or each.dtype.kind != 'f'
                                                 for each in arrays.values()):
        raise UserError(f"'{path}' holds no scores of pairs. Measure again.")
    return same, arrays


_KEYS = 'keys of rows'
"""In a file of features; no recognizer has a name with blanks."""


def save_mapped(path: Path, keys: Sequence[str], features: Mapping[str, ArrayLike]) -> Path:
    """Keep what the recognizers see in some faces, for a map of them.

    Args:
        path: an .npz file.
        keys: of the n faces.
        features: recognizer -> (n, D).
    """
    with replacing(path) as aside, open(aside, 'wb') as file:
        np.savez_compressed(file, **{_KEYS: np.array(keys)}, **{name: np.asarray(each, dtype=np.float32)
                                                                for name, each in features.items()})
    return path


def load_mapped(path: Path) -> tuple[list[str], dict[str, NDArray[np.float32]]]:
    """The keys of n faces, and recognizer -> features (n, D), of `save_mapped`.

    Raises:
        UserError: it is missing or damaged.
    """
    arrays = read_npz(path, 'It comes with the results.')
    keys = arrays.pop(_KEYS, None)
    if keys is None or keys.dtype.kind != 'U' or keys.ndim != 1 or any(
            each.ndim != 2 or len(each) != len(keys) or each.dtype.kind != 'f' for each in arrays.values()):
        raise UserError(f"'{path}' holds no features of faces. Measure again.")
    return keys.tolist(), arrays


def file_facts(path: Path) -> dict[str, Any]:
    """A file and its SHA-256 (None where it is a folder)."""
    return {'file': str(path), 'sha256': file_hash(path, 64) if path.is_file() else None}

"""LFW under the BLUFR protocol (Liao et al. 2014): verification and open-set identification at few false accepts.

Definitions, rounding and ties are those of the official toolkit's EvalROC.m and OpenSetROC.m. Scores are cosines, in
the precision of the features (float32 or float64); every rate is exact for these scores.

The toolkit has its lists (the images, their order, and their part in each of the ten trials) twice, as
`blufr_lfw_config.mat` and as a folder of text files. Its images are not in the order of any sorted listing, so features
are joined to them by file name (`rows_of`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.identification import open_set_rate
from cface_basicsr.evaluation.pair_search import rates_of_sets
from cface_basicsr.evaluation.verification import Floats, Ints, RateAtFar
from cface_basicsr.files.image_keys import composed, find_all_images, image_label
from cface_basicsr.files.mat_file import cell_text, read_variables
from cface_basicsr.files.text_file import read_lines

PARTS = ('train', 'test', 'gallery', 'probe')
FIELDS = ('trainIndex', 'testIndex', 'galIndex', 'probIndex')
"""The same in the official .mat file."""


class Trial(NamedTuple):
    """Rows of one trial, from 0, each (R,) in the order of the official lists; test is gallery and probe together."""

    train: Ints
    test: Ints
    gallery: Ints
    probe: Ints


class BlufrConfig(NamedTuple):
    """The protocol's lists.

    Attributes:
        names: N file names of the images, without folders; rows are numbered from 0 in this order.
        labels: (N,) identity of each image, from 0.
        trials: ten in the official lists.
    """

    names: tuple[str, ...]
    labels: Ints
    trials: tuple[Trial, ...]


def load_config(path: str | Path) -> BlufrConfig:
    """Read the official lists; their indices and labels start at 1, here they start at 0.

    Args:
        path: `blufr_lfw_config.mat`, or the toolkit's folder of image_list.txt, labels.txt, train_set.txt,
            test_set.txt, gallery_set.txt and probe_set.txt.

    Raises:
        UserError: the file is missing or broken, has other fields or shapes, an index is out of range, gallery and
            probe together are not test, or training and test share an identity.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"'{path}' is missing. Expected BLUFR's blufr_lfw_config.mat, or its folder of lists.")
    names, labels, parts = _read_folder(path) if path.is_dir() else _read_mat(path)
    _check_images(path, names, labels)
    trials = tuple(Trial(*(_rows(f"'{path}', {name} of trial {number + 1}", lists[number], len(names))
                           for name, lists in parts.items())) for number in range(_count_trials(path, parts)))
    labels = labels.astype(np.int64) - 1
    for number, trial in enumerate(trials):
        _check_trial(f"'{path}', trial {number + 1}", trial, labels)
    return BlufrConfig(tuple(names), labels, trials)


def rows_of(config: BlufrConfig, keys: Sequence[str]) -> Ints:
    """The row of each image of the protocol in a folder: `features[rows_of(config, keys)]` has the protocol's order.

    Images are joined by file name without its extension, so folders and extensions (.png for .jpg) do not matter. Keys
    of the folder that the protocol does not name are left out.

    Args:
        keys: one per row of the folder: '<identity>/<image>' as `cface prepare` escapes them, or file names.

    Returns:
        (N,) row numbers into keys.

    Raises:
        UserError: an image is missing, or several keys have the same name.
    """
    how = ': prepare the whole set with --crop center, which rejects no face (manifest.json lists what was rejected)'
    names = [name.rsplit('/')[-1] for name in config.names]
    return np.array(find_all_images(names, keys, 'BLUFR', how), np.int64)


def _read_mat(path: Path) -> tuple[list[str], Ints, dict[str, list[Any]]]:
    """Names, labels and lists as they are in the file."""
    content = read_variables(path, "Expected BLUFR's blufr_lfw_config.mat.", 'imageList', 'labels', *FIELDS)
    for name in ('imageList', *FIELDS):
        if content[name].dtype != object:
            raise UserError(f"'{path}', {name}: expected a cell array, got {content[name].dtype}.")
    names = [cell_text(cell) for cell in content['imageList'].flat]
    parts = {part: list(content[field].flat) for part, field in zip(PARTS, FIELDS, strict=True)}
    return names, content['labels'].reshape(-1), parts


def _read_folder(path: Path) -> tuple[list[str], Ints, dict[str, list[Any]]]:
    """Names, labels and lists as they are in the toolkit's text files."""
    names = _lines(path / 'image_list.txt')
    labels = _parsed(path / 'labels.txt', lambda lines: np.array([int(line) for line in lines], np.int64))
    return names, labels, {part: _parsed(path / f'{part}_set.txt', lambda lines: _blocks(lines, names))
                           for part in PARTS}


def _lines(path: Path) -> list[str]:
    return [line for _, line in read_lines(path, "Expected the folder of lists of BLUFR's toolkit.")]


def _parsed(path: Path, parse: Callable[[list[str]], Any]) -> Any:
    try:
        return parse(_lines(path))
    except (ValueError, IndexError) as error:
        raise UserError(f"'{path}' is not in the toolkit's format, or was cut off: {str(error)[:100]}.") from error


def _blocks(lines: list[str], names: list[str]) -> list[Ints]:
    """The number of trials, then for each one a count, and that number of lines 'index, file name'."""
    trials, place = [], 1
    for _ in range(int(lines[0])):
        count = int(lines[place])
        entries = [line.split(', ', 1) for line in lines[place + 1:place + 1 + count]]
        if len(entries) < count or count < 1:
            raise ValueError(f'{count} images declared, {len(entries)} found')
        for index, name in entries:
            if names[int(index) - 1] != name:
                raise ValueError(f'image {index} is {names[int(index) - 1]} in image_list.txt, {name} here')
        trials.append(np.array([int(index) for index, _ in entries], np.int64))
        place += 1 + count
    return trials


def _check_images(path: Path, names: list[str], labels: Ints) -> None:
    if len(names) != len(labels) or not names:
        raise UserError(f"'{path}': expected a label for each image, got {len(labels)} labels and {len(names)} names.")
    if not all(names):
        raise UserError(f"'{path}': expected a list of file names; number {names.index('') + 1} is not one.")
    stems = Counter(composed(image_label(name).rpartition('/')[2]) for name in names)
    double = [name for name, times in stems.items() if times > 1]
    if double:
        raise UserError(f"'{path}': {len(double)} names occur twice in the list of images, for example "
                        f"'{double[0]}'. Features cannot be joined to it by name.")
    if not _whole(labels) or labels.min() < 1:
        raise UserError(f"'{path}': expected whole numbers from 1 as labels, got {labels.dtype} from "
                        f'{labels.min()} to {labels.max()}.')


def _count_trials(path: Path, parts: dict[str, list[Any]]) -> int:
    counts = {name: len(lists) for name, lists in parts.items()}
    if len(set(counts.values())) > 1 or min(counts.values()) < 2:
        raise UserError(f"'{path}': expected the same number of trials, two or more (ten in the official lists), for "
                        f"each part, got {', '.join(f'{name} {count}' for name, count in counts.items())}.")
    return counts['test']


def _rows(what: str, indices: ArrayLike, images: int) -> Ints:
    """Indices, from 1, as rows, from 0."""
    indices = np.asarray(indices)
    if not indices.size or indices.size != max(indices.shape) or not _whole(indices):
        raise UserError(f'{what}: expected a list of whole numbers, got {indices.dtype} of shape {indices.shape}.')
    indices = indices.reshape(-1).astype(np.int64)
    if indices.min() < 1 or indices.max() > images:
        raise UserError(f'{what}: expected indices from 1 to {images}, got {indices.min()} to {indices.max()}.')
    if len(np.unique(indices)) < len(indices):
        raise UserError(f'{what}: {len(indices) - len(np.unique(indices))} indices are repeated.')
    return indices - 1


def _whole(numbers: np.ndarray) -> bool:
    return numbers.dtype.kind in 'iuf' and bool((numbers == np.floor(numbers)).all())


def _check_trial(what: str, trial: Trial, labels: Ints) -> None:
    together = np.sort(np.concatenate([trial.gallery, trial.probe]))
    if not np.array_equal(together, np.sort(trial.test)):
        raise UserError(f'{what}: gallery ({len(trial.gallery)}) and probe ({len(trial.probe)}) should share nothing '
                        f'and make up test ({len(trial.test)}); {len(np.setxor1d(together, trial.test))} images are '
                        f'only in one of them, {len(together) - len(np.unique(together))} in both.')
    shared = np.intersect1d(labels[trial.train], labels[trial.test])
    if len(shared):
        raise UserError(f'{what}: training and test share {len(shared)} identities (first: label {shared[0] + 1}).')


class BlufrTrial(NamedTuple):
    """One trial: VR@FAR over the pairs of its test set, DIR@FAR of its probes, each with its counts."""

    verification: RateAtFar
    identification: RateAtFar


class Summary(NamedTuple):
    """A rate over the trials: per_trial (T,), shares in [0, 1]; std has the divisor T - 1, as in MATLAB.

    The protocol reports mean_minus_std.
    """

    per_trial: Floats
    mean: float
    std: float
    mean_minus_std: float


class BlufrResult(NamedTuple):
    """The result of `evaluate`.

    Attributes:
        trials: each with its counts and thresholds.
        vr, dir: verification rate; detection and identification rate.
    """

    trials: tuple[BlufrTrial, ...]
    vr: Summary
    dir: Summary


def evaluate(features: ArrayLike, config: BlufrConfig, *, far_verification: float = 1e-3,
             far_identification: float = 1e-2, rank: int = 1) -> BlufrResult:
    """All trials of the protocol.

    Args:
        features: (N, D), any length, in the protocol's order: `features[rows_of(config, keys)]`.
        config: the official lists, see `load_config`.
        far_verification: false accept rate of VR, a share in [0, 1]: 0.001 is the protocol's 0.1 %.
        far_identification: false alarm rate of DIR, a share in [0, 1]: 0.01 is the protocol's 1 %.
        rank: of DIR, from 1 up.

    Raises:
        UserError: the number of features differs from that of the images, a feature is NaN, infinite or zero, a far is
            not a share, or a trial has no genuine or no impostor pairs or probes.
    """
    units = unit_features(features)
    if len(units) != len(config.names):
        raise UserError(f'expected a feature for each of {len(config.names)} images of BLUFR, got {len(units)}.\n'
                        'Put them into its order: features[rows_of(config, keys)].')
    members = np.zeros((len(units), len(config.trials)), bool)
    for number, trial in enumerate(config.trials):
        members[trial.test, number] = True
    verification = rates_of_sets(units, config.labels, members, far_verification)
    identification = [open_set_rate(units, config.labels, trial.gallery, trial.probe, far_identification, rank)
                      for trial in config.trials]
    return BlufrResult(tuple(BlufrTrial(*rates) for rates in zip(verification, identification, strict=True)),
                       summary(verification), summary(identification))


def summary(rates: Sequence[RateAtFar]) -> Summary:
    """Mean, standard deviation (divisor T - 1) and their difference over T >= 2 trials; shares in [0, 1]."""
    per_trial = np.array([each.rate for each in rates])
    mean, std = float(per_trial.mean()), float(per_trial.std(ddof=1))
    return Summary(per_trial, mean, std, mean - std)


def verification_rate(features: ArrayLike, labels: ArrayLike, far: float = 1e-3) -> float:
    """VR@FAR: the share of genuine pairs that are accepted, over all unordered pairs of the images.

    The threshold is the n-th largest score of an impostor pair, n = round(far * impostor pairs), halves rounded up; a
    pair is accepted at score >= threshold. With n = 0 no impostor may pass; if all may, every pair is accepted.

    Args:
        features: (N, D), any length; compared by cosine.
        labels: (N,) identities, any integers.
        far: false accept rate in [0, 1]; 0.001 is 0.1 %.

    Raises:
        UserError: shapes do not match, a feature is NaN, infinite or zero, or there are no genuine or impostor pairs.

    >>> verification_rate([[1.0, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], [0, 0, 1, 1], far=0.25)
    0.0
    """
    units, labels = unit_features(features), _labels(labels, len(features))
    return rates_of_sets(units, labels, np.ones((len(labels), 1), bool), far)[0].rate


def identification_rate(features: ArrayLike, labels: ArrayLike, gallery: ArrayLike, probe: ArrayLike,
                        far: float = 1e-2, rank: int = 1) -> float:
    """DIR@FAR and rank: the share of probes with an identity in the gallery that are found there, see `open_set_rate`.

    Args:
        features: (N, D), any length; compared by cosine.
        labels: (N,) identities, any integers.
        gallery, probe: row numbers into features, none of them in both.
        far: false alarms allowed, a share in [0, 1] of the probes whose identity is not in the gallery.
        rank: a probe counts as found up to this rank.

    Returns:
        A share in [0, 1].

    Raises:
        UserError: shapes do not match, a feature is NaN, infinite or zero, row numbers are out of range or occur twice,
            the gallery is empty, or none (or all) of the probes have an identity in the gallery.
    """
    labels = _labels(labels, len(features))
    return open_set_rate(unit_features(features), labels, gallery, probe, far, rank).rate


def _labels(labels: ArrayLike, images: int) -> Ints:
    labels = np.asarray(labels)
    if labels.shape != (images,) or labels.dtype.kind not in 'iu':
        raise UserError(f'labels: expected {images} integers, one per feature, got {labels.dtype} {labels.shape}.')
    return labels.astype(np.int64)

"""build_compare_index: linear in the number of identities, streaming from a file, and compared with plain NumPy.

The features are as many as CASIA-WebFace has photos (494,414 of 10,575 people), in sizes as uneven. They lie in a
float16 file of 0.5 GB that is memory-mapped.
"""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from performance.limits import Limit
from performance.measure import Finding, ratio
from performance.sides import Job, Race, Side, against, race

IMAGES, PEOPLE = 494_414, 10_575
"""Of CASIA-WebFace. It has 2 to 804 photos of a person, and 53.8 million pairs of one person."""
SPREAD = 1.423
"""Of the logarithm of the sizes: gives so many pairs."""
K = 5


def run(*, rows: int = IMAGES, length: int = 512, rounds: int = 3, threads: int = 1) -> list[Finding]:
    """Measure.

    Args:
        rows: features of the large run.
        length: D.
        rounds: how often each side is measured.
        threads: of our side.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = write_features(folder, rows, length)[1]
        result = against(*(Side(f'performance.compare_rows:{side}', {'folder': name, 'rows': rows}, threads)
                         for side in ('ours', 'plain')), rounds)
        return [*_against_numpy(result, labels, length, folder, threads), _growth(name, labels, threads)]


def casia_sizes(images: int) -> np.ndarray:
    """How many images each person has, in CASIA-WebFace's proportions; in random order, `images` in all.

    The logarithm of the sizes is normally distributed, cut off at 2 and 804.
    """
    people = max(1, round(images * PEOPLE / IMAGES))
    spread = SPREAD * ndtri((np.arange(people) + 0.5) / people)
    low, high = 0.0, 10.0
    for _ in range(60):  # the mean that gives the largest total up to `images`
        middle = (low + high) / 2
        total = np.exp(middle + spread).round().clip(2, 804).sum()
        low, high = (low, middle) if total > images else (middle, high)
    sizes = np.exp(low + spread).round().clip(2, 804).astype(np.int64)
    sizes[people // 2] += images - sizes.sum()
    return np.random.default_rng(0).permutation(sizes)


def write_features(folder: Path, rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """features.npy (rows, length) float16, memory-mapped, and labels.npy (rows,) in order."""
    random = np.random.default_rng(0)
    features = np.lib.format.open_memmap(folder / 'features.npy', 'w+', np.float16, (rows, length))
    for start in range(0, rows, 10_000):
        part = features[start:start + 10_000]
        part[:] = random.standard_normal(part.shape, np.float32)
    features.flush()
    sizes = casia_sizes(rows)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.save(folder / 'labels.npy', labels)
    return features, labels


def plain_numpy(features: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """The k nearest rows by cosine, one identity after the other, written without a second thought. (N, k)."""
    index = np.full((len(labels), k), -1, np.int32)
    for rows in np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels)) + 1):
        unit = features[rows].astype(np.float32)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -np.inf)
        order = np.argsort(-similarity, axis=1)[:, :min(k, len(rows) - 1)]
        index[rows, :order.shape[1]] = rows[order]
    return index


def ours(folder: str, rows: int) -> Job:
    """`build_compare_index` on the first rows of a memory-mapped file; the index is written beside it."""
    from cface_basicsr.data.compare_index import build_compare_index
    return _job(build_compare_index, folder, rows, 'ours')


def plain(folder: str, rows: int) -> Job:
    """`plain_numpy` on the same."""
    return _job(plain_numpy, folder, rows, 'plain')


def _job(build: Callable[..., np.ndarray], folder: str, rows: int, name: str) -> Job:
    features = np.load(Path(folder, 'features.npy'), mmap_mode='r')[:rows]
    labels = np.load(Path(folder, 'labels.npy'))[:rows]
    return lambda: np.save(Path(folder, f'{name}.npy'), build(features, labels, K))


def _against_numpy(result: Race, labels: np.ndarray, length: int, folder: Path, threads: int) -> list[Finding]:
    same = 100 * float((np.load(folder / 'ours.npy') == np.load(folder / 'plain.npy')).mean())
    sizes = np.unique(labels, return_counts=True)[1]
    pairs = int((sizes * (sizes - 1) // 2).sum())
    file = Path(folder, 'features.npy').stat().st_size
    limit = Limit(2 * pairs * length, file, threads)
    what = (f'`build_compare_index`, {len(labels):,} features of {len(sizes):,} people ({pairs / 1e6:.1f} million '
            f'pairs), k = {K}; {same:.2f} % of the entries are plain NumPy\'s')
    rival = f'plain NumPy, float32, person by person, {result.threads} thread(s): {result.rival.spread()} s'
    return [Finding('index_ratio', what, f'{result.ours.spread()} s', rival,
                    ratio(result.ours.seconds, result.rival.seconds), 'x', 0.5, True, limit.words(),
                    result.ours.median / limit.seconds),
            Finding('index_memory', 'the same: peak memory of its process', f'{max(result.ours.peak):.2f} GB',
                    f'NumPy: {max(result.rival.peak):.2f} GB; both map the file, and its pages count',
                    max(result.ours.peak), 'GB', 2.0, True, f'the file: {file / 1e9:.2g} GB',
                    max(result.ours.peak) / file * 1e9)]


def _growth(folder: str, labels: np.ndarray, threads: int) -> Finding:
    """The whole file and about an eighth of its people, in turns."""
    eighth = int(np.searchsorted(labels, max(1, (labels[-1] + 1) // 8)))
    times = race({str(rows): Side('performance.compare_rows:ours', {'folder': folder, 'rows': rows}, threads)
                  for rows in (len(labels), eighth)}, rounds=3)
    whole, part = times.values()
    people = [int(labels[-1]) + 1, int(labels[eighth - 1]) + 1]
    growth = math.log(whole.median / part.median) / math.log(people[0] / people[1])
    return Finding('index_growth', f'growth of the time with the number of identities ({people[1]:,} to '
                                   f'{people[0]:,}): exponent', f'{whole.spread()} s', f'{part.spread()} s', growth, '',
                   1.2, True, '1: every feature must be read', growth)

"""build_compare_index: linear in the number of identities, streaming from a file, and compared with plain NumPy.

The features are as many as CASIA-WebFace has photos (494,414 of 10,575 people), in sizes as uneven. They lie in a
float16 file of 0.5 GB that is memory-mapped. Memory is that of a process of its own, which says how much it ever held.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from performance.measure import Finding, ratio, take_turns

IMAGES, PEOPLE = 494_414, 10_575
"""Of CASIA-WebFace. It has 2 to 804 photos of a person, and 53.8 million pairs of one person."""
SPREAD = 1.423
"""Of the logarithm of the sizes: gives so many pairs."""
K = 5

_CHILD = """
import json, sys, time
import numpy as np
from performance.measure import peak_memory
from cface_basicsr.data.compare_index import build_compare_index
features, labels, k = np.load(sys.argv[1], mmap_mode='r'), np.load(sys.argv[2]), int(sys.argv[3])
before = peak_memory()
began = time.perf_counter()
index = build_compare_index(features, labels, k)
print(json.dumps({'seconds': time.perf_counter() - began, 'peak': peak_memory(), 'before': before,
                  'shape': index.shape}))
"""


def run(*, rows: int = IMAGES, length: int = 512, rounds: int = 3, against: int | None = None) -> list[Finding]:
    """Measure.

    Args:
        rows: features of the large run.
        length: D.
        rounds: of the comparison with plain NumPy.
        against: features of that comparison; None: all.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        features, labels = write_features(folder, rows, length)
        return [*_against_numpy(features, labels, against or rows, rounds), *_large(folder, labels)]


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


def _against_numpy(features: np.ndarray, labels: np.ndarray, count: int, rounds: int) -> list[Finding]:
    from cface_basicsr.data.compare_index import build_compare_index
    features, labels = features[:count], labels[:count]
    results: dict[str, np.ndarray] = {}
    times = take_turns({'ours': lambda: results.update(ours=build_compare_index(features, labels, K)),
                        'plain': lambda: results.update(plain=plain_numpy(features, labels, K))}, rounds)
    same = 100 * float((results['ours'] == results['plain']).mean())
    ours, plain = times['ours'], times['plain']
    sizes = np.unique(labels, return_counts=True)[1]
    pairs = int((sizes * (sizes - 1) // 2).sum())
    return [Finding('index_ratio', f'`build_compare_index`, {len(labels):,} features of {len(sizes):,} people '
                                   f'({pairs / 1e6:.1f} million pairs), k = {K}; {same:.2f} % of the entries are plain '
                                   'NumPy\'s',
                    f'{ours.spread()} s', f'plain NumPy, float32, person by person: {plain.spread()} s',
                    ratio(ours.seconds, plain.seconds), target=0.333),
            Finding('index_cpu_ratio', 'the same, by CPU time', f'{ours.median_cpu:.3g} s', f'{plain.median_cpu:.3g} s',
                    ratio(ours.cpu, plain.cpu))]


def _large(folder: Path, labels: np.ndarray) -> list[Finding]:
    """The whole file in a process of its own, and about an eighth of its people, for the growth."""
    eighth = int(np.searchsorted(labels, max(1, (labels[-1] + 1) // 8)))
    whole, part = (_in_child(folder, count) for count in (len(labels), eighth))
    people = [int(labels[-1]) + 1, int(labels[eighth - 1]) + 1]
    growth = math.log(whole['seconds'] / part['seconds']) / math.log(people[0] / people[1])
    size = Path(folder, 'features.npy').stat().st_size / 1e9
    return [Finding('index_memory', f'the same, {len(labels):,} rows, float16 from a file: peak memory of its process',
                    f"{whole['seconds']:.1f} s", f'only the file: {size:.2f} GB (its pages count)',
                    whole['peak'], 'GB', 2.0),
            Finding('index_growth', f'growth of the time with the number of identities ({people[1]:,} to '
                                    f'{people[0]:,}): exponent, 1 is linear',
                    f"{whole['seconds']:.2f} s", f"{part['seconds']:.2f} s", growth, '', 1.2)]


def _in_child(folder: Path, rows: int) -> dict[str, float]:
    """`build_compare_index` on the first rows, in a new process."""
    features = np.load(folder / 'features.npy', mmap_mode='r')
    paths = [folder / f'features_{rows}.npy', folder / f'labels_{rows}.npy']
    if rows == len(features):
        paths = [folder / 'features.npy', folder / 'labels.npy']
    else:
        np.save(paths[0], features[:rows])
        np.save(paths[1], np.load(folder / 'labels.npy')[:rows])
    command = [sys.executable, '-c', _CHILD, *map(str, paths), str(K)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return json.loads(done.stdout)

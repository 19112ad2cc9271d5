"""build_compare_index: linear in the number of identities, streaming from a file, and how it stands beside plain NumPy.

Half a million features are what CASIA-WebFace has (494,414 photos of 10,575 people). They lie in a float16 file of
0.5 GB that is memory-mapped; the run goes in a process of its own, which then says how much memory it ever held.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Finding, ratio, take_turns

IMAGES_EACH = 47  # as in CASIA-WebFace
K = 5

_CHILD = """
import json, sys, time
import numpy as np
from benchmarks.measure import peak_memory
from cface_basicsr.data.compare_index import build_compare_index
features, labels, k = np.load(sys.argv[1], mmap_mode='r'), np.load(sys.argv[2]), int(sys.argv[3])
before = peak_memory()
began = time.perf_counter()
index = build_compare_index(features, labels, k)
print(json.dumps({'seconds': time.perf_counter() - began, 'peak': peak_memory(), 'before': before,
                  'shape': index.shape}))
"""


def run(*, rows: int = 500_000, length: int = 512, rounds: int = 3, against: int = 40_000) -> list[Finding]:
    """Measure.

    Args:
        rows: features of the large run.
        length: D.
        rounds: of the comparison with plain NumPy.
        against: features of that comparison, and of the smallest point of the scaling.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        features, labels = write_features(folder, rows, length)
        return [*_beside_numpy(features, labels, against, rounds), *_large(folder, rows, length, against)]


def write_features(folder: Path, rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """features.npy (rows, length) float16, memory-mapped, and labels.npy (rows,) in order, IMAGES_EACH of each."""
    random = np.random.default_rng(0)
    features = np.lib.format.open_memmap(folder / 'features.npy', 'w+', np.float16, (rows, length))
    for start in range(0, rows, 10_000):
        part = features[start:start + 10_000]
        part[:] = random.standard_normal(part.shape, np.float32)
    features.flush()
    labels = np.arange(rows) // IMAGES_EACH
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


def _beside_numpy(features: np.ndarray, labels: np.ndarray, count: int, rounds: int) -> list[Finding]:
    from cface_basicsr.data.compare_index import build_compare_index
    features, labels = features[:count], labels[:count]
    results: dict[str, np.ndarray] = {}
    times = take_turns({'ours': lambda: results.update(ours=build_compare_index(features, labels, K)),
                        'plain': lambda: results.update(plain=plain_numpy(features, labels, K))}, rounds)
    same = 100 * float((results['ours'] == results['plain']).mean())
    ours, plain = times['ours'], times['plain']
    return [Finding('index_ratio', f'`build_compare_index`, {len(labels):,} features, k = {K}; {same:.2f} % of the '
                                   'entries are plain NumPy\'s',
                    f'{ours.spread()} s, float64', f'plain NumPy: {plain.spread()} s, float32',
                    ratio(ours.seconds, plain.seconds))]


def _large(folder: Path, rows: int, length: int, small: int) -> list[Finding]:
    """The whole file in a process of its own, and an eighth of it, for the growth."""
    whole, part = (_in_child(folder, count) for count in (rows, max(rows // 8, small)))
    counts = [count / IMAGES_EACH for count in (rows, max(rows // 8, small))]
    growth = math.log(whole['seconds'] / part['seconds']) / math.log(counts[0] / counts[1])
    return [Finding('index_memory', f'the same, {rows:,} x {length} float16 from a file: peak memory of its process',
                    f"{whole['seconds']:.1f} s", f"the file alone: {rows * length * 2 / 1e9:.2f} GB (its pages count)",
                    whole['peak'], 'GB', 2.0),
            Finding('index_growth', f'growth of the time with the number of identities ({counts[1]:,.0f} to '
                                    f'{counts[0]:,.0f}): exponent, 1 is linear',
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

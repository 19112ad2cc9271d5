"""A hash of pictures that survives recompression, resizing, a small crop and mirroring; and a search for near hashes.

The hash consists of the signs of a picture's low cosine frequencies, after Zauner ("Implementation and Benchmarking of
Perceptual Image Hash Functions", 2010, section 3.2.1: pHash), changed for faces, as docs/results/near_duplicates.md
measures:

- 120 bits instead of 64: aligned faces differ little at the lowest frequencies.
- Frequencies without a horizontal or a vertical part are left out: they are light from above and the order of brow,
  eyes, nose and mouth, which all faces share.
- The frequencies are compared with zero instead of with their median: mirroring then flips the sign of each odd
  horizontal frequency, so the hash of the mirrored picture is an exclusive or.
- The picture and two sizes of its middle are hashed: a picture that lost a border has the hash of another's middle.

The package `imagehash` is not used: its hashes have none of this, they come one at a time as Python objects, and it
would bring in PyWavelets for the ten lines below.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from typing import Any, NamedTuple

import cv2
import numpy as np

VIEWS = (0.0, 1 / 64, 1 / 32)
"""The share of the picture that each of its hashes leaves out on every side: 0, 2 and 4 of 128 pixels."""
WORDS = 2
"""Number of 64-bit words in a hash."""
SAMPLES = 64
"""Side of the grey picture from which a hash is computed, in pixels."""
_HIGHEST = 16
_ROWS, _COLUMNS = 32, 4096
"""Numbers of hashes compared at a time, so that their distances fit into a core's cache."""
_INDEXED = 16_384
"""Columns in one index of faiss: those before the first that is asked for are left out."""

# Rows and columns of the spectrum: the 120 frequencies v, u >= 1 with v + u <= 16; the last 8 bits stay 0.
_V, _U = (index + 1 for index in np.nonzero(np.add.outer(np.arange(1, _HIGHEST), np.arange(1, _HIGHEST)) <= _HIGHEST))


def perceptual_hashes(picture: np.ndarray) -> np.ndarray:
    """The hashes of a picture, one for each of the `VIEWS`.

    Args:
        picture: uint8 (H, W, 3) RGB or (H, W) grey, of any size.

    Returns:
        (len(VIEWS), WORDS) uint64.
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.stack([_hash(_without_border(grey, share)) for share in VIEWS])


def _without_border(grey: np.ndarray, share: float) -> np.ndarray:
    top, left = (round(side * share) for side in grey.shape)
    return grey[top:grey.shape[0] - top, left:grey.shape[1] - left]


def _hash(grey: np.ndarray) -> np.ndarray:
    return _pack(cv2.dct(grey_square(grey))[_V, _U] > 0)


def _pack(bits: np.ndarray) -> np.ndarray:
    """(120,) bool -> (WORDS,) uint64."""
    return np.packbits(np.pad(bits, (0, 64 * WORDS - len(bits)))).view(np.uint64)


def grey_square(picture: np.ndarray) -> np.ndarray:
    """A picture, uint8 (H, W, 3) or (H, W), as float32 (SAMPLES, SAMPLES) grey, averaged over areas and stretched."""
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey.astype(np.float32), (SAMPLES, SAMPLES), interpolation=cv2.INTER_AREA)


_ODD = _pack(_U % 2 == 1)


def mirrored(hashes: np.ndarray) -> np.ndarray:
    """The hashes of the mirrored pictures: the cosine changes its sign at odd horizontal frequencies, and only there.

    Args:
        hashes: (..., WORDS) uint64, as is the result.
    """
    return hashes ^ _ODD


class Near(NamedTuple):
    """Pairs of rows with near hashes: (P,) rows of each set, and (P,) distances in bits."""

    left: np.ndarray
    right: np.ndarray
    distance: np.ndarray


_Compare = Callable[[np.ndarray, int], Near]
"""(rows (R, WORDS), first column) -> near pairs, sorted by row and column; rows are counted from 0."""


def near_pairs(left: np.ndarray, right: np.ndarray, radius: int, *, later: bool = False, threads: int = 1,
               progress: Callable[[int], None] = lambda done: None) -> Iterator[Near]:
    """All pairs of rows whose hashes differ in at most `radius` bits.

    Every pair is compared. Time grows with N x M; memory only with the pairs found. Where faiss is installed (the extra
    `audit`), its binary index compares them; else NumPy does, in blocks that fit into the cache. Both find the same.

    Args:
        left, right: (N, WORDS) and (M, WORDS) uint64.
        radius: in bits.
        later: only pairs whose right row is greater than the left one, for pairs within one set.
        threads: number of threads; NumPy and faiss release the interpreter while they compare.
        progress: called with the number of rows of `left` that are done.

    Yields:
        The pairs of some rows at a time, in the order of the left rows.
    """
    compare = _with_faiss(right, radius) if find_spec('faiss') else _with_numpy(right, radius)

    def block(start: int) -> Near:
        near = compare(left[start:start + _ROWS], start if later else 0)
        wanted = near.right > near.left + start if later else slice(None)
        return Near(near.left[wanted] + start, near.right[wanted], near.distance[wanted])

    starts = range(0, len(left), _ROWS)
    # If the caller stops early, closing cancels the blocks that have not begun.
    with ThreadPoolExecutor(max(1, threads)) as pool, closing(pool.map(block, starts)) as parts:
        for start, part in zip(starts, parts, strict=True):
            progress(min(start + _ROWS, len(left)))
            yield part


def _with_faiss(right: np.ndarray, radius: int) -> _Compare:
    """A function that compares some rows with all columns, at least with those from a given one on."""
    import faiss
    starts, indices = range(0, len(right), _INDEXED), []
    for start in starts:
        indices.append(faiss.IndexBinaryFlat(64 * WORDS))
        indices[-1].add(np.ascontiguousarray(right[start:start + _INDEXED]).view(np.uint8))

    def compare(block: np.ndarray, first: int) -> Near:
        faiss.omp_set_num_threads(1)  # of this thread: there is one for each block
        return _sorted(_found(index, block, radius, start) for start, index in zip(starts, indices, strict=True)
                       if start + _INDEXED > first)
    return compare


def _found(index: Any, block: np.ndarray, radius: int, start: int) -> Near:
    limits, distances, columns = index.range_search(np.ascontiguousarray(block).view(np.uint8), radius + 1)
    rows = np.repeat(np.arange(len(block)), np.diff(limits.astype(np.int64)))
    return Near(rows, columns + start, distances.astype(np.int64))


def _sorted(parts: Iterable[Near]) -> Near:
    """All of them, by row and column."""
    none = np.empty(0, np.int64)
    near = [np.concatenate([none, *part]) for part in zip(*parts, strict=True)] or [none] * 3
    order = np.lexsort((near[1], near[0]))
    return Near(*(part[order] for part in near))


def _with_numpy(right: np.ndarray, radius: int) -> _Compare:
    """The same, without faiss."""
    all_columns = np.ascontiguousarray(right.T)

    def compare(block: np.ndarray, first: int) -> Near:
        return _sorted(_near_tiles(block, all_columns, radius, first))
    return compare


def _near_tiles(block: np.ndarray, columns: np.ndarray, radius: int, first: int) -> Iterator[Near]:
    """Near pairs of the block's rows, counted from 0, with some columns at a time, starting at column `first`."""
    shape = len(block), _COLUMNS
    differing, count, total = np.empty(shape, np.uint64), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    for start in range(first, columns.shape[1], _COLUMNS):
        width = min(_COLUMNS, columns.shape[1] - start)
        for word in range(WORDS):
            counts = (total if word == 0 else count)[:, :width]
            part = np.bitwise_xor(block[:, word, None], columns[word, start:start + width], out=differing[:, :width])
            np.bitwise_count(part, out=counts)
            if word:
                np.add(total[:, :width], counts, out=total[:, :width])
        rows, others = np.nonzero(total[:, :width] <= radius)
        if len(rows):
            yield Near(rows, others + start, total[rows, others].astype(np.int64))

"""Near-duplicates of two sets of pictures: found by their hashes, then compared as pictures."""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from cface_basicsr.data.audit.perceptual_hash import SAMPLES, VIEWS, grey_square, mirrored, near_pairs
from cface_basicsr.data.audit.picture_set import Distinct, Reader
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.data.layouts.source import Source
from cface_basicsr.data.worker_pool import map_chunks
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import Progress

NEAR = 22
"""The hashes of near-duplicates differ in at most this many of 120 bits; docs/results/near_duplicates.md says why."""
ALIKE = 0.96
"""Two pictures of at least this likeness count as one; docs/results/near_duplicates.md says why."""
MOST = 1_000_000
"""At most this many pairs are compared as pictures: more mean that the hash cannot tell these pictures apart."""
_MIDDLE = 52
_ZOOMS = tuple(1.0 + 0.0225 * step for step in range(-4, 5))
_CHUNK = 64
_VIEW_PAIRS = [(0, 0), *((0, view) for view in range(1, len(VIEWS))), *((view, 0) for view in range(1, len(VIEWS)))]
"""The whole picture against the other, and against each middle of the other."""

Keep = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Says which pairs are wanted: (P,) numbers of left and of right pictures -> (P,) bool."""


class NearPair(NamedTuple):
    """Two pictures that are the same.

    Attributes:
        left, right: their numbers.
        mirrored: whether one is the mirror image of the other.
        distance: bits in which their hashes differ.
        likeness: see `likeness`.
    """

    left: int
    right: int
    mirrored: bool
    distance: int
    likeness: float


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """How similar two pictures are, up to a shift and a zoom of a few percent: -1 to 1.

    The middle of one picture, at several sizes, is moved over the other, and the largest normalized correlation counts,
    so brightness and contrast do not matter. The result is the mean of both directions.

    Args:
        a, b: (64, 64) float32 grey, see `grey_square`.
    """
    return (_best_match(a, b) + _best_match(b, a)) / 2


def _best_match(part: np.ndarray, whole: np.ndarray) -> float:
    middle = part[(edge := (SAMPLES - _MIDDLE) // 2):SAMPLES - edge, edge:SAMPLES - edge]
    if middle.std() < 1 or whole.std() < 1:  # the correlation of an empty picture is undefined
        return 0.0
    sizes = (round(_MIDDLE * zoom) for zoom in _ZOOMS)
    return max(float(cv2.matchTemplate(whole, cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA),
                                       cv2.TM_CCOEFF_NORMED).max()) for size in sizes)


def near_duplicates(left: Distinct, right: Distinct, radius: int, keep: Keep, *, later: bool = False, workers: int = 1,
                    show: Progress, title: str = 'near-duplicates') -> list[NearPair]:
    """Pairs of pictures that are the same, mirrored or not.

    Args:
        left, right: the two sets.
        radius: bits in which the hashes may differ.
        keep: which pairs are wanted.
        later: for pairs within one set: each pair only once.
        workers: number of processes, and of threads.
        show: is told of the progress.
        title: of the steps that are shown.

    Raises:
        UserError: more than `MOST` pairs have near hashes, or a picture can no longer be read.
    """
    found = _candidates(left, right, radius, keep, later, workers, show, title)
    show.start(f'{title}: comparing pictures', len(found))
    pairs = [(left.source(pair.left), right.source(pair.right), pair.mirrored) for pair in found]
    values: list[float] = []
    for _, part in map_chunks(partial(_likenesses, left.pictures.reader, right.pictures.reader), pairs, _CHUNK,
                              workers):
        values.extend(part)
        show.advance(len(values))
    alike = _best(pair._replace(likeness=value) for pair, value in zip(found, values, strict=True) if value >= ALIKE)
    show.end(f'{title}: comparing pictures', f'{len(alike)} of {len(found)} are the same picture')
    return alike


def _best(pairs: Iterable[NearPair]) -> list[NearPair]:
    """Each two pictures only once: a symmetric picture is also near its mirror image."""
    ascending = sorted(pairs, key=lambda pair: (pair.likeness, -pair.distance, not pair.mirrored))
    return sorted({pair[:2]: pair for pair in ascending}.values())


def _candidates(left: Distinct, right: Distinct, radius: int, keep: Keep, later: bool, workers: int, show: Progress,
                title: str) -> list[NearPair]:
    """Pairs with near hashes in some view, mirrored or not; their likeness is not known yet."""
    nearest: dict[tuple[int, int, bool], int] = {}
    done, total = 0, len(left.hashes)
    show.start(f'{title} by hash', 2 * len(_VIEW_PAIRS) * total)
    for flip, (view, other) in itertools.product((False, True), _VIEW_PAIRS):
        hashes = mirrored(left.hashes[:, view]) if flip else left.hashes[:, view]
        for near in near_pairs(hashes, right.hashes[:, other], radius, later=later, threads=workers,
                               progress=lambda rows, done=done: show.advance(done + rows)):
            kept = keep(near.left, near.right)
            for row, column, distance in zip(*(each[kept].tolist() for each in near), strict=True):
                key = (row, column, flip)
                nearest[key] = min(distance, nearest.get(key, distance))
            if len(nearest) > MOST:
                raise UserError(f'more than {MOST:,} pairs of pictures differ in {radius} bits of their hash or fewer: '
                                'the pictures are empty or all alike.\nLook at them, or use a smaller --near.')
        done += total
    show.end(f'{title} by hash', f'{len(nearest):,} pairs')
    return [NearPair(*key, distance, 0.0) for key, distance in sorted(nearest.items())]


def _likenesses(left: Reader, right: Reader, pairs: Sequence[tuple[Source, Source, bool]]) -> list[float]:
    """The likeness of each pair; a picture that occurs several times in the chunk is read once."""
    @functools.cache
    def grey(reader: Reader, source: Source) -> np.ndarray:
        try:
            return grey_square(reader.picture(source))
        except Rejected as error:
            raise UserError(f"'{source.path}' could be read before, but now it cannot: {error}.") from error

    return [likeness(np.ascontiguousarray(grey(left, a)[:, ::-1]) if flip else grey(left, a), grey(right, b))
            for a, b, flip in pairs]

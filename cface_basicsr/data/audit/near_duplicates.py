"""Near-duplicates of two sets of pictures: found by their hashes, then looked at as pictures."""

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
from cface_basicsr.data.worker_pool import map_in_order
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import Progress

NEAR = 22
"""Bits of 120 by which the hashes of near-duplicates differ at most; docs/audit.md says why."""
ALIKE = 0.96
"""Likeness from which two pictures count as one; docs/audit.md says why."""
MOST = 1_000_000
"""Pairs that are looked at, at most: more mean that the hash does not tell these pictures apart."""
_MIDDLE = 52
_ZOOMS = tuple(1.0 + 0.0225 * step for step in range(-4, 5))
_CHUNK = 64
_VIEW_PAIRS = [(0, 0), *((0, view) for view in range(1, len(VIEWS))), *((view, 0) for view in range(1, len(VIEWS)))]
"""Whole against whole, and whole against each middle of the other."""

Keep = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(P,) left and right numbers of pictures -> (P,) bool: which pairs are wanted."""


class NearPair(NamedTuple):
    """Two pictures that are one: their numbers, whether one is mirrored, bits between the hashes, `likeness`."""

    left: int
    right: int
    mirrored: bool
    distance: int
    likeness: float


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """How much two pictures are one picture, up to a shift and a zoom of a few percent: -1 .. 1.

    The middle of the one, at several sizes, is moved over the other, and the largest normalized correlation counts;
    so brightness and contrast do not. The mean of both directions.

    Args:
        a, b: (64, 64) float32 grey, see `grey_square`.
    """
    return (_found(a, b) + _found(b, a)) / 2


def _found(part: np.ndarray, whole: np.ndarray) -> float:
    middle = part[(edge := (SAMPLES - _MIDDLE) // 2):SAMPLES - edge, edge:SAMPLES - edge]
    if middle.std() < 1 or whole.std() < 1:  # nothing is on it: no correlation
        return 0.0
    sizes = (round(_MIDDLE * zoom) for zoom in _ZOOMS)
    return max(float(cv2.matchTemplate(whole, cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA),
                                       cv2.TM_CCOEFF_NORMED).max()) for size in sizes)


def near_duplicates(left: Distinct, right: Distinct, radius: int, keep: Keep, *, later: bool = False, workers: int = 1,
                    show: Progress, title: str = 'near-duplicates') -> list[NearPair]:
    """Pairs of pictures that are one picture, mirrored or not.

    Args:
        radius: bits of the hashes.
        keep: which pairs are of interest.
        later: within one set: each pair once.

    Raises:
        UserError: more than `MOST` pairs have near hashes; a picture cannot be read any more.
    """
    found = _candidates(left, right, radius, keep, later, workers, show, title)
    show.start(f'{title}: a look at each', len(found))
    pairs = [(left.source(pair.left), right.source(pair.right), pair.mirrored) for pair in found]
    chunks = [pairs[start:start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    look = partial(_look_at, left.pictures.reader, right.pictures.reader)
    seen: list[float] = []
    for part in map_in_order(look, chunks, min(workers, len(chunks))):
        seen.extend(part)
        show.advance(len(seen))
    alike = _best(pair._replace(likeness=value) for pair, value in zip(found, seen, strict=True) if value >= ALIKE)
    show.end(f'{title}: a look at each', f'{len(alike)} of {len(found)} are one picture')
    return alike


def _best(pairs: Iterable[NearPair]) -> list[NearPair]:
    """Each two pictures once: a symmetric picture is near its mirror image too."""
    best: dict[tuple[int, int], NearPair] = {}
    for pair in pairs:
        other = best.get(pair[:2])
        if other is None or (pair.likeness, -pair.distance) > (other.likeness, -other.distance):
            best[pair[:2]] = pair
    return sorted(best.values())


def _candidates(left: Distinct, right: Distinct, radius: int, keep: Keep, later: bool, workers: int, show: Progress,
                title: str) -> list[NearPair]:
    """Pairs with near hashes in some view, mirrored or not; not looked at yet."""
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
                raise UserError(f'more than {MOST:,} pairs of pictures differ in {radius} bits of their hash or less: '
                                'the pictures are empty or all alike.\nLook at them, or give a smaller --near.')
        done += total
    show.end(f'{title} by hash', f'{len(nearest):,} pairs')
    return [NearPair(*key, distance, 0.0) for key, distance in sorted(nearest.items())]


def _look_at(left: Reader, right: Reader, pairs: Sequence[tuple[Source, Source, bool]]) -> list[float]:
    """Likeness of some pairs; a picture that comes again in the chunk is read once."""
    seen: dict[tuple[bool, str], np.ndarray] = {}

    def grey(reader: Reader, side: bool, source: Source) -> np.ndarray:
        if (side, source.key) not in seen:
            try:
                seen[side, source.key] = grey_square(reader.picture(source))
            except Rejected as error:
                raise UserError(f"'{source.path}' was read before, and cannot be read again: {error}.") from error
        return seen[side, source.key]

    return [likeness(np.ascontiguousarray(grey(left, False, a)[:, ::-1]) if flip else grey(left, False, a),
                     grey(right, True, b)) for a, b, flip in pairs]

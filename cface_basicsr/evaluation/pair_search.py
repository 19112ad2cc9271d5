"""Verification over all pairs of a set of images, or of several overlapping sets, without storing the scores.

BLUFR's ten test sets hold 470 million pairs. They are drawn from 13,233 images, so each score is computed once for all
ten: the lower triangle of one score matrix, in blocks of rows. A rate depends on the genuine scores, a quarter of a
million, and on the n largest impostor scores; all others are dropped block by block.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import Flags, Ints, RateAtFar, allowed_at_far, rate_at_far

Scores = NDArray[np.floating]

SCORES_AT_ONCE = 1 << 22
"""Scores per block: 17 MB in float32."""
_FEWEST_SORTED = 1 << 18
"""The number of pairs below which it is not worth dropping any."""



class Pairs(NamedTuple):
    """Some pairs (P,): the larger and the smaller row number, and the score."""

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    scores: Scores

    def at(self, which: NDArray) -> 'Pairs':
        """The pairs at these positions (Q,), or under this mask (P,)."""
        return Pairs(self.left[which], self.right[which], self.scores[which])

    def inside(self, members: Flags) -> Flags:
        """Whether both images of each pair (P,) are in a set (N,)."""
        return members[self.left] & members[self.right]


def rates_of_sets(units: Tensor, labels: Ints, members: Flags, far: float) -> list[RateAtFar]:
    """The verification rate (a share in [0, 1]) of each set at one false accept rate, see `rates_at_fars`."""
    return rates_at_fars(units, labels, members, [far])[far]


def rates_at_fars(units: Tensor, labels: Ints, members: Flags, fars: Sequence[float]) -> dict[float, list[RateAtFar]]:
    """Verification rates over all unordered pairs of each set; several false accept rates cost little more than one.

    Exact: each rate is what sorting all impostor scores of the set would give, including ties. The cost grows with the
    largest far: about 100 bytes for each impostor pair that may pass in some set. For BLUFR's ten sets a far of 0.001
    needs 0.2 GB and hardly more time than the scores themselves, 0.1 needs 0.9 GB and about 15 times as long.

    Args:
        units: (N, D) of unit length; their precision is that of the scores.
        labels: (N,) identities.
        members: (N, T), which images belong to which set.
        fars: false accept rates in [0, 1], see `threshold_at_far`.

    Returns:
        far -> the rates of the T sets.

    Raises:
        UserError: a far is not a share, or a set has no pair of the same identity or none of different ones.
    """
    order = np.argsort(labels, kind='stable')
    units, labels, members = units[torch.from_numpy(order)], labels[order], members[order]
    impostors = [_count_impostors(labels, members, number) for number in range(members.shape[1])]
    wanted = [max(_scores_wanted(far, count) for far in fars) for count in impostors]
    largest = LargestScores(members, wanted, units.numpy().dtype)
    genuine = _search(units, labels, largest)
    found = largest.pairs()
    rates: dict[float, list[RateAtFar]] = {far: [] for far in fars}
    for total, member in zip(impostors, members.T, strict=True):
        ours, theirs = genuine.scores[genuine.inside(member)], found.scores[found.inside(member)]
        for far, of_sets in rates.items():
            of_sets.append(rate_at_far(ours, theirs, far, total))
    return rates


def _count_impostors(labels: Ints, members: Flags, number: int) -> int:
    """The number of pairs of different identities in one set."""
    sizes = np.unique(labels[members[:, number]], return_counts=True)[1]
    images = int(sizes.sum())
    genuine = int((sizes * (sizes - 1) // 2).sum())
    impostor = images * (images - 1) // 2 - genuine
    if not genuine or not impostor:
        which = f'set {number + 1} of {members.shape[1]}' if members.shape[1] > 1 else 'this set'
        raise UserError(f'a verification rate needs pairs of the same person and of different ones; {which}, '
                        f'{images} images of {len(sizes)} people,\nhas {genuine} and {impostor}. Check its labels.')
    return impostor


def _scores_wanted(far: float, impostors: int) -> int:
    """How many of the largest impostor scores decide the threshold: one if none may pass, none if all may."""
    allowed = allowed_at_far(far, impostors)
    return 0 if allowed == impostors else max(1, allowed)


class LargestScores:
    """The largest scores among the pairs of each of several sets, from pairs that arrive in portions.

    A set's bound is the `wanted`-th largest score so far. It only rises, so a new pair below it, or equal to it, can be
    dropped.

    Args:
        members: (N, T), which images belong to which set.
        wanted: how many scores of each set (T,).
        kind: precision of the scores.
    """

    def __init__(self, members: Flags, wanted: Sequence[int], kind: np.dtype) -> None:
        self._members, self._wanted = np.ascontiguousarray(members.T), wanted
        self._bounds = np.array([-np.inf if count else np.inf for count in wanted], kind)
        self._portions = [Pairs(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, kind))]
        self._limit = _FEWEST_SORTED

    @property
    def bound(self) -> np.floating:
        """Only pairs with a score above it matter to any set."""
        return self._bounds.min()

    def add(self, pairs: Pairs) -> None:
        """Add pairs, each of them once."""
        self._portions.append(pairs)
        if sum(len(portion.scores) for portion in self._portions) > self._limit:
            self._limit = max(_FEWEST_SORTED, 2 * len(self.pairs().scores))

    def pairs(self) -> Pairs:
        """Every pair that is among the largest of a set, and others with equal scores."""
        pairs = Pairs(*(np.concatenate(part) for part in zip(*self._portions, strict=True)))
        keep = np.zeros(len(pairs.scores), bool)
        for number, (wanted, member) in enumerate(zip(self._wanted, self._members, strict=True)):
            mine = np.flatnonzero(pairs.inside(member) & (pairs.scores >= self._bounds[number]))
            scores = pairs.scores[mine]
            if 0 < wanted <= len(mine):
                self._bounds[number] = np.partition(scores, len(mine) - wanted)[len(mine) - wanted]
            keep[mine[scores >= self._bounds[number]]] = True
        self._portions = [pairs.at(keep)]
        return self._portions[0]


def _search(units: Tensor, labels: Ints, largest: LargestScores) -> Pairs:
    """Add all impostor pairs that matter to `largest`; return all genuine ones. Rows are in the order of labels."""
    first = np.searchsorted(labels, labels)  # row i and those from first[i] to i - 1 show the same identity
    genuine = []
    for start, end in _row_blocks(len(labels)):
        scores = torch.matmul(units[start:end], units[:end].T).numpy()
        largest.add(_impostors_above(largest.bound, scores, start, first))
        genuine.append(np.concatenate([scores[row - start, first[row]:row] for row in range(start, end)]))
    rows = np.arange(len(labels), dtype=np.int32)
    before = rows - first
    left = np.repeat(rows, before)
    right = np.arange(len(left)) - np.repeat(np.cumsum(before) - rows, before)
    return Pairs(left, right.astype(np.int32), np.concatenate(genuine))


def _impostors_above(bound: np.floating, scores: Scores, start: int, first: Ints) -> Pairs:
    """The pairs of different identities with a score above the bound, in rows start .. of the lower triangle (R, C)."""
    place = np.flatnonzero(scores > bound)
    row, right = np.divmod(place, scores.shape[1])
    pairs = Pairs((row + start).astype(np.int32), right.astype(np.int32), scores.reshape(-1)[place])
    return pairs.at(right < first[pairs.left])


def _row_blocks(count: int) -> Iterator[tuple[int, int]]:
    """Blocks of rows start .. end of a lower triangle, with `end` columns and about SCORES_AT_ONCE scores each."""
    start = 0
    while start < count:
        rows = int((np.sqrt(start**2 + 4 * SCORES_AT_ONCE) - start) / 2)  # rows * (start + rows) = SCORES_AT_ONCE
        end = min(count, start + max(1, rows))
        yield start, end
        start = end

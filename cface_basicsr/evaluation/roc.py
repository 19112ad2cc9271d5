"""How often genuine pairs and impostor pairs are accepted, over all thresholds: ROC, DET, equal error rate.

BLUFR's ten test sets hold 470 million pairs. Their scores are neither stored nor sorted, but counted in bins, so the
points of a curve are at the edges of the bins: each point is exact, and from one to the next the score changes by
2 / bins. Genuine pairs are few and counted separately; all others in a bin are impostors.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cface_basicsr.evaluation.verification import Flags, Floats, Ints, RateAtFar, genuine_and_impostor, rate_at_far

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
"""The false accept rates that are usually reported."""


class RocCurve(NamedTuple):
    """The result of `roc_curve`: shares in [0, 1], both ascending, and the threshold of each point, descending.

    The false reject rate of the DET curve is 1 - tar.
    """

    far: Floats
    tar: Floats
    thresholds: Floats


def roc_curve(scores: ArrayLike, same: ArrayLike) -> RocCurve:
    """False and true accept rate at every threshold that makes a difference; a pair is accepted at score >= threshold.

    Args:
        scores: (P,) similarities, larger = more alike.
        same: (P,) true if both images show the same identity.

    Returns:
        (T + 1,) each, for T distinct scores; the first point accepts nothing (threshold inf), the last one everything.

    Raises:
        UserError: a score is NaN or infinite, or there are no genuine or no impostor pairs.

    >>> roc_curve([.9, .4, .6, .1], [1, 1, 0, 0])[:2]
    (array([0. , 0. , 0.5, 0.5, 1. ]), array([0. , 0.5, 0.5, 1. , 1. ]))
    """
    genuine, impostor = genuine_and_impostor(scores, same)
    thresholds = np.unique(np.concatenate((genuine, impostor)))[::-1]
    far, tar = (_accepted(part, thresholds) for part in (impostor, genuine))
    return RocCurve(np.append(0.0, far), np.append(0.0, tar), np.append(np.inf, thresholds))


def tar_at_far(scores: ArrayLike, same: ArrayLike, fars: Iterable[float] = FARS) -> dict[float, RateAtFar]:
    """True accept rates at false accept rates, each with its numbers of pairs.

    With N impostor pairs, `allowed` = round(far * N) of them may pass. Below one or two dozen the rate is a matter of
    chance; at 0 it says only how many genuine pairs beat every impostor. See `threshold_at_far`.

    Args:
        scores: (P,) similarities, larger = more alike.
        same: (P,) true if both images show the same identity.
        fars: false accept rates in [0, 1].

    Returns:
        far -> the rate, and what it comes from.

    Raises:
        UserError: a score is NaN or infinite, there are no genuine or no impostor pairs, or a far is not a share.

    >>> tar_at_far([.9, .4, .6, .1], [1, 1, 0, 0], [0.5])
    {0.5: RateAtFar(rate=0.5, threshold=0.6, allowed=1, genuine=2, impostor=2)}
    """
    genuine, impostor = genuine_and_impostor(scores, same)
    return {far: rate_at_far(genuine, impostor, far) for far in fars}


def _accepted(scores: Floats, thresholds: Floats) -> Floats:
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds)) / len(scores)


def equal_error_rate(curve: RocCurve) -> float:
    """The rate in [0, 1] at which false accepts and false rejects are equal, on the line between the nearest points.

    >>> equal_error_rate(roc_curve([.9, .4, .6, .1], [1, 1, 0, 0]))
    0.5
    """
    gap = curve.far - (1 - curve.tar)  # ascends from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = gap[before] / (gap[before] - gap[after])
    return float(curve.far[before] + share * (curve.far[after] - curve.far[before]))


def mean_roc(curves: Sequence[RocCurve]) -> tuple[Floats, Floats]:
    """False and mean true accept rate, (R,) each in [0, 1], of several curves (one per seed), averaged at each far.

    At each false accept rate that occurs in one of them, a curve counts with its true accept rate at or below it.

    >>> mean_roc([roc_curve([.9, .4, .6, .1], [1, 1, 0, 0]), roc_curve([.9, .4, .3, .1], [1, 1, 0, 0])])
    (array([0. , 0.5, 1. ]), array([0.75, 1.  , 1.  ]))
    """
    far = np.unique(np.concatenate([curve.far for curve in curves]))
    reached = [curve.tar[np.searchsorted(curve.far, far, side='right') - 1] for curve in curves]
    return far, np.mean(reached, axis=0)


BINS = 1 << 16
_SCORES_AT_ONCE = 1 << 22


def binned_roc(units: Tensor, labels: Ints, members: Flags, bins: int = BINS) -> list[RocCurve]:
    """The ROC curve of all unordered pairs of each set, with one point per bin, at its lower edge.

    Args:
        units: (N, D) of unit length.
        labels: (N,) identities.
        members: (N, T), which images belong to which set; each set has pairs of both kinds.
        bins: number of equal parts into which the scores from -1 to 1 are divided.

    Returns:
        T curves of (bins + 1,) points each, see `RocCurve`.
    """
    counts = np.zeros((members.shape[1], bins + 1), np.int64)
    genuine = np.zeros_like(counts)
    step = max(1, _SCORES_AT_ONCE // len(units))
    for start in range(0, len(units), step):
        end = min(start + step, len(units))
        places = _bins_of(units[start:end] @ units[:end].T, start, bins)
        same = labels[start:end, None] == labels[:end]
        for number, member in enumerate(members.T):
            rows, columns = np.flatnonzero(member[start:end]), np.flatnonzero(member[:end])
            inside = places[np.ix_(rows, columns)]
            counts[number] += np.bincount(inside.ravel(), minlength=bins + 1)
            genuine[number] += np.bincount(inside[same[np.ix_(rows, columns)]], minlength=bins + 1)
    return [_curve(mine[:bins], all_[:bins] - mine[:bins]) for mine, all_ in zip(genuine, counts, strict=True)]


def _bins_of(scores: Tensor, start: int, bins: int) -> NDArray[np.int64]:
    """The bin of each score (R, C) of rows start …; the diagonal and everything right of it goes into bin `bins`."""
    places = ((scores.double() + 1) * (bins / 2)).long().clamp_(0, bins - 1)
    rows = torch.arange(start, start + len(scores))
    return places.masked_fill_(torch.arange(scores.shape[1]) >= rows[:, None], bins).numpy()


def _curve(genuine: Ints, impostor: Ints) -> RocCurve:
    """The curve of the counts per bin (bins,), scores ascending."""
    far, tar = (np.append(0, np.cumsum(part[::-1])) / part.sum() for part in (impostor, genuine))
    edges = np.linspace(-1, 1, len(genuine) + 1)[:-1]
    return RocCurve(far, tar, np.append(np.inf, edges[::-1]))

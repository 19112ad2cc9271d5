"""How often genuine pairs and impostor pairs are accepted, over all thresholds: ROC, DET, equal error rate."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cface_basicsr.evaluation.verification import Floats, RateAtFar, genuine_and_impostor, rate_at_far

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

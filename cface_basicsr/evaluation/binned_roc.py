"""ROC curves over all pairs of large, overlapping sets, without storing or sorting the scores.

BLUFR's ten test sets hold 470 million pairs. Their scores are counted in bins, so the points of a curve are at the
edges of the bins: each point is exact, and from one to the next the score changes by 2 / bins. Genuine pairs are few
and counted separately; all others in a bin are impostors.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cface_basicsr.evaluation.roc import RocCurve
from cface_basicsr.evaluation.verification import Flags, Ints

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

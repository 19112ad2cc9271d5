"""Closed-set identification: does the gallery image that is nearest to a probe show the same identity?

The rank of a probe is 1 plus the number of gallery images of other identities that are at least as similar to it as the
nearest gallery image of its own identity: a tie counts against the probe. With one gallery image per identity this is
the usual rank of the cumulative match curve; with several, rank k asks for a hit among the k nearest images.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.unit_features import unit_features
from cface_basicsr.evaluation.verification import Ints

_SCORES_AT_ONCE = 1 << 23
"""Scores per block; with their masks it needs about 80 MB."""
_TIE = 1e-6
"""Cosines of unit float32 features that differ by less than this differ only by rounding."""


def probe_ranks(features: ArrayLike, labels: ArrayLike, gallery: Ints, probe: Ints) -> Ints:
    """The rank (P,) of each probe from 1, see above; 0 if its identity has no other image in the gallery.

    Such a probe cannot be found, and is not a miss: identities with one image are not searched for, but others can be
    mistaken for them.

    Args:
        features: (N, D), any length; compared by cosine. Ties count against the probe, down to 1e-6 in cosine.
        labels: (N,).
        gallery, probe: row numbers; a row may be in both, and is not compared with itself.

    Raises:
        UserError: shapes do not match, or a feature is NaN, infinite or zero.
    """
    units, identity = unit_features(features).float(), torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    if identity.shape != (len(units),):
        raise UserError(f'expected a label for each feature, got {tuple(identity.shape)} and {len(units)} features.')
    gallery, probe = torch.from_numpy(gallery), torch.from_numpy(probe)
    known = units[gallery].T
    ranks = [_block_ranks(units[rows] @ known, identity[rows, None] == identity[gallery], rows[:, None] == gallery)
             for rows in probe.split(max(1, _SCORES_AT_ONCE // max(1, len(gallery))))]
    return torch.cat(ranks).numpy()


def _block_ranks(scores: Tensor, same: Tensor, itself: Tensor) -> Tensor:
    """Ranks (B,) from scores, masks of the same identity and of the same image, each (B, G)."""
    mate = scores.masked_fill(~same | itself, -torch.inf).amax(1)
    others = ((scores >= mate[:, None] - _TIE) & ~same).sum(1)
    return torch.where(mate.isfinite(), 1 + others, 0)


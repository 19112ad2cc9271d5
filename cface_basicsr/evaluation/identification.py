"""Closed-set identification: is the face of a gallery that is nearest to a probe one of the same person?

The rank of a probe is 1 plus the number of gallery images of other people that are at least as similar to it as the
nearest gallery image of its own person: a tie counts against the probe. With one gallery image a person that is the
usual rank of the cumulative match curve; with several, rank k asks for a hit among the k nearest images.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.unit_features import unit_features
from cface_basicsr.evaluation.verification import Ints

_SCORES_AT_ONCE = 1 << 23
"""Scores of a block; with their masks it needs some 80 MB."""
_TIE = 1e-6
"""Cosines of unit float32 features that are nearer to each other than this differ by rounding alone."""


class RankRate(NamedTuple):
    """The result of `rank_rate`: the share in [0, 1], and the numbers behind it."""

    rate: float
    rank: int
    probes: int
    skipped: int
    gallery: int


def rank_rate(features: ArrayLike, labels: ArrayLike, *, rank: int = 1, gallery: ArrayLike | None = None,
              probe: ArrayLike | None = None) -> RankRate:
    """Share of probes that find their person among the `rank` nearest images of the gallery.

    An image is never compared with itself. Without gallery and probe each image is looked for among all others.
    A probe whose person has no (other) image in the gallery cannot be found: it is skipped and counted, not a miss.
    So people with one image are not looked for, but others can be mistaken for them.

    Args:
        features: (N, D), any length; compared by cosine.
        labels: (N,) identity of each image.
        rank: 1 for the nearest image alone.
        gallery, probe: row numbers; None: all rows. Ties count against the probe, down to 1e-6 of cosine.

    Returns:
        rate; rank; probes that count, probes skipped, images of the gallery.

    Raises:
        UserError: shapes do not fit, a feature is NaN, infinite or zero, a row number is out of range or there
            twice, or no probe has an image of its person in the gallery.
    """
    if rank < 1:
        raise UserError(f'rank: expected 1 or more, got {rank}.')
    labels = np.asarray(labels)
    gallery, probe = (_rows(name, rows, len(labels)) for name, rows in (('gallery', gallery), ('probe', probe)))
    ranks = probe_ranks(features, labels, gallery, probe)
    found = ranks[ranks > 0]
    if not len(found):
        raise UserError(f'none of {len(probe)} probes has another image of the same person in the gallery of '
                        f'{len(gallery)}. Give people with two or more images.')
    return RankRate(float(np.mean(found <= rank)), rank, len(found), len(ranks) - len(found), len(gallery))


def probe_ranks(features: ArrayLike, labels: ArrayLike, gallery: Ints, probe: Ints) -> Ints:
    """The rank (P,) of each probe from 1, see above; 0 where its person has no other image in the gallery.

    Args:
        features: (N, D), any length.
        labels: (N,).
        gallery, probe: row numbers; a row may be in both, and is not compared with itself.

    Raises:
        UserError: shapes do not fit, or a feature is NaN, infinite or zero.
    """
    units, person = unit_features(features).float(), torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    if person.shape != (len(units),):
        raise UserError(f'expected a label for each feature, got {tuple(person.shape)} and {len(units)} features.')
    gallery, probe = torch.from_numpy(gallery), torch.from_numpy(probe)
    known = units[gallery].T
    ranks = [_block_ranks(units[rows] @ known, person[rows, None] == person[gallery], rows[:, None] == gallery)
             for rows in probe.split(max(1, _SCORES_AT_ONCE // max(1, len(gallery))))]
    return torch.cat(ranks).numpy()


def _block_ranks(scores: Tensor, same: Tensor, itself: Tensor) -> Tensor:
    """Ranks (B,) from scores, masks of the same person and of the same image, each (B, G)."""
    mate = scores.masked_fill(~same | itself, -torch.inf).amax(1)
    others = ((scores >= mate[:, None] - _TIE) & ~same).sum(1)
    return torch.where(mate.isfinite(), 1 + others, 0)


def _rows(name: str, rows: ArrayLike | None, count: int) -> Ints:
    """Checked row numbers (R,); all of them for None."""
    if rows is None:
        return np.arange(count)
    rows = np.asarray(rows)
    if rows.ndim != 1 or not len(rows) or not np.issubdtype(rows.dtype, np.integer):
        raise UserError(f'{name}: expected at least one row number, got {rows.dtype} of shape {rows.shape}.')
    if not 0 <= rows.min() <= rows.max() < count or len(np.unique(rows)) < len(rows):
        raise UserError(f'{name}: expected different row numbers below {count}, got {rows.min()} to {rows.max()}, '
                        f'{len(rows) - len(np.unique(rows))} of them again.')
    return rows.astype(np.int64)

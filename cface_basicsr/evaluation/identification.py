"""Searching a gallery for the person on a probe.

Open-set identification asks whether a probe is found if its identity is in the gallery, and whether others raise few
false alarms. It follows OpenSetROC.m of the official BLUFR toolkit (Liao et al. 2014), including ties.

Closed-set identification asks whether the gallery image that is nearest to a probe shows the same identity. The rank of
a probe is 1 plus the number of gallery images of other identities that are at least as similar to it as the nearest
gallery image of its own identity: a tie counts against the probe. With one gallery image per identity this is the usual
rank of the cumulative match curve; with several, rank k asks for a hit among the k nearest images.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.pair_search import SCORES_AT_ONCE, Scores
from cface_basicsr.evaluation.verification import Flags, Ints, RateAtFar, threshold_at_far


class GalleryAndProbe(NamedTuple):
    """Row numbers of one draw: the gallery (G,), one image per enrolled identity, and the probes (P,), all others."""

    gallery: Ints
    probe: Ints


def draw_galleries(labels: ArrayLike, *, trials: int = 10, seed: int = 0) -> list[GalleryAndProbe]:
    """Draws like BLUFR's, for a set that has no lists of its own.

    In each, half of the identities with several images (rounded up, chosen at random) are enrolled with one random
    image each. Their other images are the genuine probes, and all images of all others are the impostor probes.

    Args:
        labels: (N,) identity of each image, any integers.
        trials: number of draws.
        seed: of the draws; the same arguments give the same draws.

    Raises:
        UserError: no identity has two images, or none would be left as an impostor.
    """
    labels = np.asarray(labels)
    identities, count = np.unique(labels, return_counts=True)
    several = identities[count > 1]
    enrolled = (len(several) + 1) // 2
    if not enrolled or enrolled == len(identities):
        raise UserError(f'open-set identification needs people with several images, and others: got {len(several)} '
                        f'with several among {len(identities)}.')
    random = np.random.default_rng([seed, 2])
    draws = []
    for _ in range(trials):
        gallery = np.array([random.choice(np.flatnonzero(labels == identity))
                            for identity in random.choice(several, enrolled, replace=False)], np.int64)
        draws.append(GalleryAndProbe(gallery, np.setdiff1d(np.arange(len(labels)), gallery)))
    return draws


def open_set_rate(units: Tensor, labels: Ints, gallery: ArrayLike, probe: ArrayLike, far: float,
                  rank: int) -> RateAtFar:
    """Detection and identification rate of the probes whose identity is in the gallery.

    Any other probe raises a false alarm if its largest score over the gallery reaches the threshold. The score of a
    genuine probe is its largest with an image of its identity. Its rank is that image's place when the whole gallery is
    sorted by score; among equal scores, the one that comes first in the gallery comes first.

    Args:
        units: (N, D) of unit length; their precision is that of the scores.
        labels: (N,) identities.
        gallery, probe: row numbers (G,), (P,); no image may be in both.
        far: false alarms allowed, a share in [0, 1] of the impostor probes; see `threshold_at_far`.
        rank: from 1 to G.

    Returns:
        The share in [0, 1] of genuine probes with score >= threshold and at most this rank, and the counts of probes.

    Raises:
        UserError: see `open_set_search`; or the rank is out of range.
    """
    gallery = _row_numbers('gallery', gallery, len(labels))
    if not 1 <= rank <= len(gallery):
        raise UserError(f'rank: expected from 1 to the size of the gallery ({len(gallery)}), got {rank}.')
    search = open_set_search(units, labels, gallery, probe)
    threshold, allowed = search.threshold(far)
    genuine = int(search.known.sum())
    return RateAtFar(float(search.found(threshold, rank).mean()), threshold, allowed, genuine,
                     len(search.known) - genuine)


class OpenSetSearch(NamedTuple):
    """What a search of P probes in a gallery found.

    Attributes:
        best: (P,) the score that decides.
        ranks: (P,) of probes of people in the gallery; 0 for others.
        known: (P,) whether the gallery has the person.
    """

    best: Scores
    ranks: Ints
    known: Flags

    def threshold(self, far: float) -> tuple[float, int]:
        """The score that allows this share of false alarms, and their number; see `threshold_at_far`."""
        return threshold_at_far(self.best[~self.known], far)

    def found(self, threshold: float, rank: int) -> Flags:
        """Which of the genuine probes (K,) are found by a score of at least the threshold, up to that rank."""
        return (self.best[self.known] >= threshold) & (self.ranks[self.known] <= rank)


def open_set_search(units: Tensor, labels: Ints, gallery: ArrayLike, probe: ArrayLike) -> OpenSetSearch:
    """The first half of `open_set_rate`, which takes the time.

    Args:
        units, labels: (N, D), (N,); gallery, probe: row numbers (G,), (P,).

    Raises:
        UserError: row numbers are out of range or occur twice, the gallery is empty, or there are no genuine or no
            impostor probes.
    """
    gallery, probe = _row_numbers('gallery', gallery, len(labels)), _row_numbers('probe', probe, len(labels))
    if len(both := np.intersect1d(gallery, probe)):
        raise UserError(f'gallery and probe share {len(both)} images (first: row {both[0]}); expected none.')
    known = np.isin(labels[probe], labels[gallery])
    if known.all() or not known.any():
        raise UserError(f'open-set identification needs probes of people in the gallery and of others, got '
                        f'{known.sum()} and {(~known).sum()}\n(gallery: {len(gallery)} images). Check the labels.')
    return OpenSetSearch(*_search(units, labels, gallery, probe, known), known)


def _row_numbers(name: str, rows: ArrayLike, count: int) -> Ints:
    """Checked row numbers (R,) into `count` features."""
    rows = np.asarray(rows)
    if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in 'iu':
        raise UserError(f'{name}: expected at least one row number, got {rows.dtype} of shape {rows.shape}.')
    if not 0 <= rows.min() <= rows.max() < count:
        raise UserError(f'{name}: row numbers from {rows.min()} to {rows.max()}, but there are {count} features.')
    if repeated := len(rows) - len(np.unique(rows)):
        raise UserError(f'{name}: expected different row numbers, {repeated} are repeated.')
    return rows.astype(np.int64)


def _search(units: Tensor, labels: Ints, gallery: Ints, probe: Ints, known: Flags) -> tuple[Scores, Ints]:
    """For each probe, the score that decides (P,), and its rank in the gallery (P,); 0 for an impostor."""
    faces = units[torch.from_numpy(gallery)].T
    best, ranks = np.empty(len(probe), units.numpy().dtype), np.zeros(len(probe), np.int64)
    for rows in np.array_split(np.arange(len(probe)), -(-len(probe) * len(gallery) // SCORES_AT_ONCE)):
        scores = torch.matmul(units[torch.from_numpy(probe[rows])], faces).numpy()
        genuine = known[rows]
        best[rows[~genuine]] = scores[~genuine].max(1)
        same = labels[probe[rows[genuine]], None] == labels[gallery]
        best[rows[genuine]], ranks[rows[genuine]] = _mates(scores[genuine], same)
    return best, ranks


def _mates(scores: Scores, same: Flags) -> tuple[Scores, Ints]:
    """The largest score with an image of the probe's own identity, and its rank from 1; both (B,)."""
    place = np.where(same, scores, -np.inf).argmax(1)  # the first of equal ones
    best = np.take_along_axis(scores, place[:, None], 1)
    better = (scores > best).sum(1)
    equal_before = ((scores == best) & (np.arange(scores.shape[1]) < place[:, None])).sum(1)
    return best[:, 0], 1 + better + equal_before


_RANKED_AT_ONCE = 1 << 23
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
    ranks = [ranks_of_scores(units[rows] @ known, identity[rows, None] == identity[gallery], rows[:, None] == gallery)
             for rows in probe.split(max(1, _RANKED_AT_ONCE // max(1, len(gallery))))]
    return torch.cat(ranks).numpy()


def ranks_of_scores(scores: Tensor, same: Tensor, itself: Tensor | bool = False) -> Tensor:
    """Ranks (B,) from cosines, masks of the same identity and of the same image, each (B, G); see `probe_ranks`."""
    mate = scores.masked_fill(~same | itself, -torch.inf).amax(1)
    others = ((scores >= mate[:, None] - _TIE) & ~same).sum(1)
    return torch.where(mate.isfinite(), 1 + others, 0)

"""Verification: do the two faces of a pair show the same identity? Accuracy over folds, rate at a far, drawn pairs.

The k-fold accuracy follows LFW (Huang et al. 2007): the threshold of a fold is chosen on the other folds. The search
is exact, whereas the usual one walks a grid of 20,001 thresholds. The rate at a false accept rate (far) follows the
official BLUFR toolkit (Liao et al. 2014).

SphereFace's official evaluation (wy1iu/sphereface, test/code/evaluation.m) concatenates the features of a face and of
its mirror image, subtracts a mean, scales to unit length and takes the cosine. The mean for a fold is that of all
images named by the pairs of the other folds, left and right, each as often as the pairs name it; it is subtracted from
the images of the fold itself too. Its 20,001 thresholds are replaced by the exact search.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class KFoldAccuracy(NamedTuple):
    """The result of `kfold_accuracy`: shares in [0, 1]; `std` has the divisor folds - 1, as in LFW's own report."""

    mean: float
    std: float
    per_fold: Floats
    thresholds: Floats


class FoldedPairs(NamedTuple):
    """The result of `make_pairs`: rows of the two images (P, 2), same identity or not (P,), number of the fold (P,)."""

    pairs: Ints
    same: Flags
    fold: Ints


def kfold_accuracy(scores: ArrayLike, same: ArrayLike, folds: int | ArrayLike = 10) -> KFoldAccuracy:
    """Ten-fold verification accuracy: the threshold of a fold comes from the other folds.

    A pair is accepted if score > threshold. Candidates are the midpoints of neighbouring distinct training scores and
    one value just outside either end (accept all, accept none). If several reach the best training accuracy, the
    threshold is the mean of them all, as in SphereFace's evaluation.

    Args:
        scores: (P,) similarities, larger = more alike.
        same: (P,) true if both images show the same identity.
        folds: a number (blocks of neighbouring pairs, as in LFW's pairs.txt; the first P mod folds blocks are one
            pair longer), or (P,) the number of each pair's fold.

    Returns:
        mean, std (divisor folds - 1), accuracy of each fold (F,), threshold of each fold (F,).

    Raises:
        UserError: a score is NaN or infinite, lengths differ, a fold is empty, or there are fewer than two folds.

    >>> kfold_accuracy([.9, .1, .8, .3], [1, 0, 1, 0], folds=2)[:2]
    (1.0, 0.0)
    """
    scores, same = _checked(scores, same)
    fold = fold_numbers(folds, len(scores))
    order = np.argsort(scores)
    scores, same, fold = scores[order], same[order], fold[order]
    return _over_folds([_accuracy_of_fold(scores, same, fold == number) for number in range(fold.max() + 1)])


def accuracy_over_folds(scores: Sequence[ArrayLike], same: ArrayLike, fold: Ints) -> KFoldAccuracy:
    """As `kfold_accuracy`, for scores that differ from fold to fold.

    Args:
        scores: F times (P,): the scores of all pairs when this fold is tested.
        same: (P,).
        fold: (P,) from 0 to F - 1, as `fold_numbers` returns them.
    """
    results = []
    for number, each in enumerate(scores):
        each, flags = _checked(each, same)
        order = np.argsort(each)
        results.append(_accuracy_of_fold(each[order], flags[order], fold[order] == number))
    return _over_folds(results)


def _over_folds(results: list[tuple[float, float]]) -> KFoldAccuracy:
    """The result of the accuracy and the threshold of each fold."""
    per_fold, thresholds = np.array(results).T
    return KFoldAccuracy(float(np.mean(per_fold)), float(np.std(per_fold, ddof=1)), per_fold, thresholds)


def _accuracy_of_fold(scores: Floats, same: Flags, test: Flags) -> tuple[float, float]:
    """Accuracy on the test pairs at the threshold of the others, and that threshold; scores ascending."""
    train = ~test
    threshold = _best_threshold(scores[train], same[train])
    right = (scores[test] > threshold) == same[test]
    return np.count_nonzero(right) / len(right), threshold


def _best_threshold(scores: Floats, same: Flags) -> float:
    """The mean of all candidates with the most correct decisions; scores ascending."""
    last_of_tie = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    # Candidate c rejects the c lowest distinct scores; gained[c] is how many more decisions are right than with c = 0.
    gained = np.append(0, np.cumsum(np.where(same, -1, 1))[last_of_tie])
    best = np.flatnonzero(gained == gained.max())
    edges = np.concatenate(([-np.inf], scores[last_of_tie], [np.inf]))
    return float(_between(edges[best], edges[best + 1]).mean())


def _between(below: Floats, above: Floats) -> Floats:
    """The middle of two neighbouring scores; just outside of the finite one if the other is infinite."""
    with np.errstate(invalid='ignore'):
        middle = np.minimum(below + (above - below) / 2, np.nextafter(above, -np.inf))  # halves of one ulp round up
    return np.where(np.isinf(below), np.nextafter(above, -np.inf),
                    np.where(np.isinf(above), np.nextafter(below, np.inf), middle))


def verification_rate_at_far(scores: ArrayLike, same: ArrayLike, far: float) -> float:
    """The share of genuine pairs that are accepted at a false accept rate (BLUFR's VR@FAR).

    Args:
        scores: (P,) similarities, larger = more alike.
        same: (P,) true if both images show the same identity.
        far: false accept rate in [0, 1]; 0.01 is 1 %. For the threshold see `threshold_at_far`.

    Raises:
        UserError: a score is NaN or infinite, or there are no genuine or no impostor pairs.

    >>> verification_rate_at_far([.9, .5, .2, .7, .1, .1], [1, 1, 1, 0, 0, 0], far=1 / 3)
    0.3333333333333333
    """
    return rate_at_far(*genuine_and_impostor(scores, same), far).rate


class RateAtFar(NamedTuple):
    """A share of genuine pairs or probes, and the counts it comes from.

    Attributes:
        rate: share in [0, 1] of the genuine ones that is accepted (and, in identification, found).
        threshold: accepted at score >= threshold; -inf if every impostor may pass.
        allowed: number of impostors that may pass.
        genuine, impostor: their numbers; pairs in verification, probes in identification.
    """

    rate: float
    threshold: float
    allowed: int
    genuine: int
    impostor: int


def rate_at_far(genuine: NDArray[np.floating], impostor: NDArray[np.floating], far: float,
                total: int | None = None) -> RateAtFar:
    """The verification rate of the scores of genuine pairs (P,) at a false accept rate; see `threshold_at_far`."""
    threshold, allowed = threshold_at_far(impostor, far, total)
    count = len(impostor) if total is None else total
    return RateAtFar(float(np.mean(genuine >= threshold)), threshold, allowed, len(genuine), count)


def threshold_at_far(impostor: NDArray[np.floating], far: float, total: int | None = None) -> tuple[float, int]:
    """The lowest score at which pairs are accepted at a false accept rate, and how many impostors it allows.

    The threshold is the n-th largest impostor score, n = `allowed_at_far`; a pair counts as accepted at
    score >= threshold, so impostors that tie with the n-th pass as well. With n = 0 no impostor may pass: the
    threshold is just above them all, so the rate depends on the one highest impostor. If all may pass, so does every
    genuine pair: -inf.

    Args:
        impostor: (P,) finite scores of impostor pairs; all of them, or the max(1, n) largest.
        far: false accept rate in [0, 1].
        total: number of impostor pairs if `impostor` holds only the largest scores; None: these are all.

    >>> threshold_at_far(np.array([.1, .7, .3, .5]), far=0.5)
    (0.5, 2)
    """
    total = len(impostor) if total is None else total
    allowed = allowed_at_far(far, total)
    if allowed == 0:
        return float(np.nextafter(impostor.max(), np.inf)), 0
    if allowed == total:
        return -np.inf, allowed
    place = len(impostor) - allowed
    return float(np.partition(impostor, place)[place]), allowed


def allowed_at_far(far: float, impostors: int) -> int:
    """How many impostors may pass at a false accept rate in [0, 1]: the nearest number, halves rounded up as in MATLAB.

    It is 0 if far is below 0.5 / impostors.

    Raises:
        UserError: far is not a share.
    """
    if not 0 <= far <= 1:
        raise UserError(f'far: expected a share from 0 to 1 (0.01 is 1 %), got {far}.')
    return int(np.floor(far * impostors + 0.5))


def genuine_and_impostor(scores: ArrayLike, same: ArrayLike) -> tuple[Floats, Floats]:
    """The scores (G,) of the pairs of the same identity and those (I,) of the other pairs.

    Args:
        scores: (P,) similarities.
        same: (P,) true if both images show the same identity.

    Raises:
        UserError: a score is NaN or infinite, or there are no genuine or no impostor pairs.
    """
    scores, same = _checked(scores, same)
    genuine, impostor = scores[same], scores[~same]
    if not len(genuine) or not len(impostor):
        raise UserError(f'a verification rate needs pairs of both kinds, got {len(genuine)} of the same person and '
                        f'{len(impostor)} of different ones.')
    return genuine, impostor


def make_pairs(labels: ArrayLike, *, folds: int = 10, pairs_per_fold: int, seed: int = 0) -> FoldedPairs:
    """Balanced pairs in folds that share no identity, as in the paper's CelebA protocol (3,000 + 3,000 in ten folds).

    Identities are dealt to the folds by size, largest first, equal sizes in random order. Genuine pairs are spread over
    the identities of a fold as evenly as their sizes allow; impostor pairs are uniform over all such pairs of the fold.
    No pair occurs twice. The same arguments give the same pairs.

    Args:
        labels: (N,) identity of each image, any integers.
        folds: number of folds.
        pairs_per_fold: even; one half shows the same identity, the other half different ones.
        seed: of the dealing and the draws.

    Returns:
        pairs (P, 2) row numbers into labels, smaller first; same (P,); fold (P,) ascending, so `kfold_accuracy`
        with folds=folds finds the same blocks. In each fold the genuine pairs come first, as in LFW.

    Raises:
        UserError: too few identities or images for that number of pairs; the message names the largest that works.

    >>> make_pairs([0, 0, 1, 1, 2, 2, 3, 3], folds=2, pairs_per_fold=2)[1:]
    (array([ True, False,  True, False]), array([0, 0, 1, 1]))
    """
    return asked_pairs(labels, folds=folds, pairs_per_fold=pairs_per_fold, seed=seed)


def asked_pairs(labels: ArrayLike, *, folds: int, pairs_per_fold: int | Literal['all'], seed: int,
                asked_by: tuple[str, str] = ('pairs_per_fold', 'folds')) -> FoldedPairs:
    """The pairs (P, 2) of labels (N,) that `make_pairs` draws; it explains the rest.

    Args:
        pairs_per_fold: all: each fold has all genuine pairs of its people and as many others, or as many of both as it
            has of the rarer kind; so the folds differ in their number of pairs.
        asked_by: what a message calls `pairs_per_fold` and `folds`.

    Raises:
        UserError: see `make_pairs`.
    """
    labels = np.asarray(labels)
    wanted = 2 if pairs_per_fold == 'all' else pairs_per_fold
    if wanted < 2 or wanted % 2:
        raise UserError(f'{asked_by[0]}: expected an even number from 2 (half of one person), got {wanted}.')
    room = _room_of_folds(labels, folds, seed)
    most = 2 * min(room)
    if wanted > most:
        why = '' if most else 'Each fold needs two identities of its own, one of them with two images. '
        raise UserError(f'{len(labels)} images of {len(np.unique(labels))} identities are too few for {folds} folds '
                        f'of {wanted} pairs without a shared identity: at most {most} pairs per fold.\n'
                        f'{why}Ask for fewer pairs or folds ({", ".join(asked_by)}), or use a larger set.')
    random = np.random.default_rng([seed, 1])
    halves = room if pairs_per_fold == 'all' else [wanted // 2] * folds
    pairs = [part for rows, half in zip(_identities_of_folds(labels, folds, seed), halves, strict=True)
             for part in (_same_pairs(rows, half, random), _different_pairs(rows, half, random))]
    same = np.concatenate([np.repeat([True, False], half) for half in halves])
    return FoldedPairs(np.concatenate(pairs), same, np.repeat(np.arange(folds), 2 * np.array(halves)))


def largest_pairs_per_fold(labels: ArrayLike, *, folds: int = 10, seed: int = 0) -> int:
    """The largest `pairs_per_fold` that `make_pairs` accepts for these labels (N,), folds and seed; 0 if none."""
    return 2 * min(_room_of_folds(np.asarray(labels), folds, seed))


def _room_of_folds(labels: NDArray, folds: int, seed: int) -> list[int]:
    """How many genuine pairs each fold may have, with as many impostor pairs."""
    room = []
    for rows in _identities_of_folds(labels, folds, seed):
        sizes = np.array([len(images) for images in rows], dtype=np.int64)
        within = count_pairs(sizes)
        room.append(min(within, count_pairs(sizes.sum()) - within))
    return room


def count_pairs(images: int | Ints) -> int:
    """Unordered pairs within groups of these sizes (N,), summed; or within one group."""
    return int(np.sum(images * (images - 1) // 2))


def _checked(scores: ArrayLike, same: ArrayLike) -> tuple[Floats, Flags]:
    scores, same = np.asarray(scores, dtype=np.float64), np.asarray(same)
    if scores.ndim != 1 or scores.shape != same.shape:
        raise UserError(f'scores and same: expected two rows of equal length, got {scores.shape} and {same.shape}.')
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise UserError(f'{len(bad)} of {len(scores)} scores are NaN or infinite (first: pair {bad[0]}). '
                        'Check the features from which they were computed.')
    if same.dtype != bool and not ((same == 0) | (same == 1)).all():
        raise UserError('same: expected true or false for each pair.')
    return scores, same.astype(bool)


def fold_numbers(folds: int | ArrayLike, pairs: int) -> Ints:
    """The fold of each pair (P,), from 0, of `folds` as in `kfold_accuracy`; every fold has a pair.

    Raises:
        UserError: there are fewer than two folds, more folds than pairs, or not one number per pair.
    """
    if np.ndim(folds) == 0:
        if not 2 <= folds <= pairs:
            raise UserError(f'folds: expected from 2 to the number of pairs ({pairs}), got {folds}.')
        return np.repeat(np.arange(folds), [len(block) for block in np.array_split(np.arange(pairs), folds)])
    names, fold = np.unique(np.asarray(folds), return_inverse=True)
    if fold.shape != (pairs,) or len(names) < 2:
        raise UserError(f'folds: expected the fold of each of {pairs} pairs and at least two folds, '
                        f'got shape {fold.shape} and {len(names)} fold(s).')
    return fold.astype(np.int64)


def _identities_of_folds(labels: NDArray, folds: int, seed: int) -> list[list[Ints]]:
    """For each fold its identities, each as the row numbers of its images."""
    if labels.ndim != 1:
        raise UserError(f'labels: expected one number per image, got shape {labels.shape}.')
    if folds < 2:
        raise UserError(f'folds: expected at least 2, got {folds}.')
    _, identity, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rows = np.split(np.argsort(identity, kind='stable'), np.cumsum(sizes)[:-1]) if len(labels) else []
    random = np.random.default_rng([seed, 0])
    largest_first = np.lexsort((random.random(len(rows)), -sizes))
    dealt: list[list[Ints]] = [[] for _ in range(folds)]
    for place, which in enumerate(largest_first):
        lap, turn = divmod(place, folds)
        dealt[turn if lap % 2 == 0 else folds - 1 - turn].append(rows[which])  # back and forth evens the sizes out
    return dealt


def _same_pairs(rows: list[Ints], wanted: int, random: np.random.Generator) -> Ints:
    """`wanted` different pairs (wanted, 2), spread over the identities as evenly as their sizes allow."""
    rows = [rows[place] for place in random.permutation(len(rows))]
    room = np.array([len(images) * (len(images) - 1) // 2 for images in rows])
    pairs = []
    for images, share in zip(rows, _even_shares(room, wanted), strict=True):
        number = random.choice(len(images) * (len(images) - 1) // 2, size=share, replace=False)
        pairs.append(images[_decode_triangle(number)])
    return np.sort(np.concatenate(pairs), axis=1)


def _even_shares(room: Ints, wanted: int) -> Ints:
    """Shares that sum to `wanted`, at most `room` each, otherwise equal within one (the first ones get one more)."""
    share = np.zeros_like(room)
    while (left := wanted - int(share.sum())) > 0:
        open_ = np.flatnonzero(share < room)
        if left < len(open_):
            share[open_[:left]] += 1
        else:
            share[open_] += np.minimum(left // len(open_), (room - share)[open_])
    return share


def _decode_triangle(number: Ints) -> Ints:
    """Pair (i, j), j < i, with number i (i - 1) / 2 + j: (n,) -> (n, 2)."""
    i = ((1 + np.sqrt(8.0 * number + 1)) / 2).astype(np.int64)
    i -= i * (i - 1) // 2 > number
    return np.stack([number - i * (i - 1) // 2, i], axis=1)


def _different_pairs(rows: list[Ints], wanted: int, random: np.random.Generator) -> Ints:
    """`wanted` different pairs (wanted, 2) of two identities, uniform over all of them."""
    images = np.concatenate(rows)
    size = np.array([len(part) for part in rows])
    start = np.repeat(np.cumsum(size) - size, size)  # first position of the image's identity
    length = np.repeat(size, size)
    others = len(images) - length
    if others.sum() // 2 <= 4 * wanted:  # few pairs: list them all
        left, right = np.nonzero(np.triu(start[:, None] != start[None, :]))
        chosen = random.choice(len(left), size=wanted, replace=False)
        return np.sort(np.stack([images[left], images[right]], axis=1)[chosen], axis=1)
    found = np.empty((0, 2), dtype=np.int64)
    while len(found) < wanted:
        left = random.choice(len(images), size=2 * wanted, p=others / others.sum())
        right = random.integers(0, others[left])
        right += np.where(right >= start[left], length[left], 0)  # step over the identity of the left image
        drawn = np.concatenate([found, np.sort(np.stack([images[left], images[right]], axis=1), axis=1)])
        found = drawn[np.sort(np.unique(drawn, axis=0, return_index=True)[1])]
    return found[:wanted]


_ROUNDING = 1e-6
"""A feature that is nearer to the mean than this share of its length differs from it only by rounding (float32)."""


def lfw_accuracy(features: ArrayLike, folded: FoldedPairs, *, subtract_mean: bool) -> KFoldAccuracy:
    """Verification accuracy over folds, the threshold of each from the others; see `kfold_accuracy`.

    Args:
        features: (N, D), any length. The mean depends on their lengths; SphereFace takes that of the network's raw
            features, not of unit features.
        folded: row numbers into features, same identity or not, and the fold of each pair.
        subtract_mean: subtract the mean of the other folds from the features of each fold before the cosine.

    Returns:
        As `kfold_accuracy`: shares in [0, 1].

    Raises:
        UserError: a feature is NaN, infinite or zero, or equal to the mean; a row number is out of range; fewer than
            two folds.
    """
    scores = cosine_scores(features, folded.pairs)
    if not subtract_mean:
        return kfold_accuracy(scores, folded.same, folded.fold)
    fold = fold_numbers(folded.fold, len(scores))
    rows, pairs = np.unique(np.asarray(folded.pairs), return_inverse=True)  # the images that pairs name
    used, pairs = np.asarray(features)[rows].astype(np.float64), pairs.reshape(-1, 2)
    return accuracy_over_folds([centred_scores(used, pairs, fold != number) for number in range(fold.max() + 1)],
                               folded.same, fold)


def centred_scores(features: Floats, pairs: Ints, train: NDArray[np.bool_]) -> Floats:
    """Cosines (P,) of features (N, D) less the mean of the images of the training pairs, with repetition.

    Raises:
        UserError: a feature equals the mean, so it has no direction from there.
    """
    times = np.bincount(pairs[train].ravel(), minlength=len(features))  # left and right
    centred = features - times @ features / times.sum()
    length = np.linalg.norm(centred, axis=1)
    lost = int((length <= _ROUNDING * np.linalg.norm(features, axis=1)).sum())
    if lost:
        raise UserError(f'{lost} of {len(features)} features equal the mean of the training folds, so their cosine '
                        'has no meaning.\nThe recognizer gives all faces the same feature, or there are too few pairs.')
    return cosine_scores(centred, pairs)

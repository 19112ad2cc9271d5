"""Accuracy over folds from features: plain cosine, or SphereFace's official evaluation, which subtracts a mean.

The official evaluation (wy1iu/sphereface, test/code/evaluation.m) concatenates the features of a face and of its mirror
image, subtracts a mean, scales to unit length and takes the cosine. The mean for a fold is that of all images named by
the pairs of the other folds, left and right, each as often as the pairs name it; it is subtracted from the images of
the fold itself too. Its 20,001 thresholds are replaced by the exact search of `kfold_accuracy`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores
from cface_basicsr.evaluation.verification import (
    Floats,
    FoldedPairs,
    Ints,
    KFoldAccuracy,
    accuracy_over_folds,
    fold_numbers,
    kfold_accuracy,
)

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

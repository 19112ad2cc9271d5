"""The protocols over features that a program of one's own calls: LFW's folds, and the rate at a false accept rate.

All take features or scores, never images; `cface evaluate` has the others, with their records and tests of
significance.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores
from cface_basicsr.evaluation.pairs_file import read_pairs
from cface_basicsr.evaluation.roc import tar_at_far
from cface_basicsr.evaluation.verification import FoldedPairs, KFoldAccuracy, fold_numbers, lfw_accuracy, make_pairs

__all__ = ['cosine_scores', 'lfw', 'make_pairs', 'tar_at_far']


def lfw(features: ArrayLike, pairs: FoldedPairs | Sequence[Any] | str | Path, keys: Sequence[str] | None = None, *,
        folds: int = 10, subtract_mean: bool = False) -> KFoldAccuracy:
    """Accuracy on pairs of images, the threshold of each fold from the others: LFW's protocol.

    Args:
        features: (N, D), of any length.
        pairs: what `make_pairs` gives; or (row numbers (P, 2), same (P,)); or the path of a pairs file,
            such as LFW's pairs.txt.
        keys: for a file: the name of each image, '<person>/<image>'; (N,).
        folds: where `pairs` says none: blocks of neighbouring pairs.
        subtract_mean: as in SphereFace's evaluation; see `evaluation.verification.lfw_accuracy`.

    Returns:
        mean and standard deviation, and the accuracy (F,) and the threshold (F,) of each fold; shares in [0, 1].

    Raises:
        UserError: shapes do not match, a feature is NaN, infinite or zero, a row number is out of range, there are
            fewer than two folds, or the file names other images.

    >>> features = np.array([[1, 0], [1, .1], [0, 1], [.1, 1]])
    >>> lfw(features, ([[0, 1], [0, 2], [2, 3], [1, 3]], [True, False, True, False]), folds=2).mean
    1.0
    """
    return lfw_accuracy(features, _folded(pairs, keys, folds, np.asarray(features)), subtract_mean=subtract_mean)


def _folded(pairs: Any, keys: Sequence[str] | None, folds: int, features: Any) -> FoldedPairs:
    if isinstance(pairs, (str, Path)):
        if keys is None or len(keys) != len(features):
            raise UserError(f"pairs '{pairs}' are names: expected keys, the names of the {len(features)} images, got "
                            f"{'none' if keys is None else len(keys)}.")
        return read_pairs(pairs, keys, prepared=False)
    if len(pairs) == 3:
        return FoldedPairs(*(np.asarray(part) for part in pairs))
    if len(pairs) != 2:
        raise UserError('pairs: expected (row numbers (P, 2), same (P,)), what make_pairs gives, or the path of a '
                        f'file, got {len(pairs)} things.')
    rows, same = (np.asarray(part) for part in pairs)
    if rows.ndim != 2 or rows.shape[1] != 2 or same.shape != (len(rows),):
        raise UserError(f'pairs: expected row numbers (P, 2) and same (P,), got {rows.shape} and {same.shape}.')
    return FoldedPairs(rows, same, fold_numbers(folds, len(rows)))

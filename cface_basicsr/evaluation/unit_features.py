"""Features at unit length, so that the product of two is their cosine; and a check that all have a direction."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cface_basicsr.errors import UserError


def unit_features(features: ArrayLike) -> Tensor:
    """Features scaled to unit length; lengths are computed in float64.

    Args:
        features: (N, D), any length.

    Returns:
        (N, D) on the CPU; float64 if the features are, else float32.

    Raises:
        UserError: another shape, or a feature is NaN, infinite or zero.

    >>> unit_features([[3.0, 4.0], [0.0, 2.0]])
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    features = np.asarray(features)
    if features.ndim != 2 or not len(features):
        raise UserError(f'expected features (N, D), one row per image, got shape {features.shape}.')
    check_directions(features)
    units = features.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return torch.from_numpy(units if features.dtype == np.float64 else units.astype(np.float32))


def broken_rows(features: NDArray) -> NDArray[np.int64]:
    """The rows (R,) of features (N, D) that are NaN, infinite or zero, and so have no direction."""
    with np.errstate(over='ignore', invalid='ignore'):  # squares may leave the range of the features' own type ...
        squares = np.einsum('nd,nd->n', features, features)
    doubtful = np.flatnonzero(~(np.isfinite(squares) & (squares > 0)))
    lengths = np.linalg.norm(features[doubtful].astype(np.float64), axis=1)  # ... so float64 decides
    return doubtful[~np.isfinite(lengths) | (lengths == 0)]


def check_directions(features: NDArray) -> None:
    """Check that all features (N, D) have a direction.

    Raises:
        UserError: a feature is NaN, infinite or zero.
    """
    bad = broken_rows(features)
    if len(bad):
        raise UserError(f'{len(bad)} of {len(features)} features are NaN, infinite or zero (first: row {bad[0]}). '
                        'The recognizer is broken, or its weights are.')


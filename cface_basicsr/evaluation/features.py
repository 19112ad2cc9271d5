"""Identity features of whole sets of images, their directions, and the scores of pairs."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import feature_batch, recognizer_features, unit
from cface_basicsr.runtime import eval_mode

Images = NDArray[np.uint8]
_PAIRS_AT_ONCE = 256  # as float64 they fit the cache; thousands at once do not, and take longer


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


def extract_features(recognizer: nn.Module, images: Images | Iterable[Images], *, batch_size: int | None = None,
                     device: str | torch.device | None = None, flip: bool = False,
                     unit_length: bool = True) -> NDArray[np.float32]:
    """Identity features of 8-bit RGB faces, fed to the recognizer according to its record (`input_spec`).

    Args:
        recognizer: carries `input_spec: RecognizerInput`; runs in eval mode and returns to its former mode.
        images: (N, H, W, 3) uint8 RGB, or anything that yields (H, W, 3) images of one size; read batch by batch.
        batch_size: images at a time; None: `ops.recognizer_input.feature_batch`.
        device: where to compute; the recognizer moves there. None: where it is.
        flip: append the feature of the mirrored face before scaling to unit length, as SphereFace's evaluation does.
        unit_length: scale to unit length; False: features as the network returns them.

    Returns:
        (N, D), or (N, 2 D) with flip; float32.

    Raises:
        UserError: the network is not a recognizer, images are not uint8 RGB, or a feature is NaN, infinite or zero.
    """
    if not hasattr(recognizer, 'input_spec'):
        raise UserError(f'{type(recognizer).__name__} is not a recognizer: it has no record `input_spec` of its input.')
    device = device or next((p.device for p in recognizer.parameters()), 'cpu')
    batch_size = feature_batch(device) if batch_size is None else batch_size
    with eval_mode(recognizer.to(device)):
        features = [_features_of_batch(recognizer, batch, device, flip, unit_length)
                    for batch in _batches(images, batch_size)]
    if not features:
        raise UserError('no images to extract features from.')
    features = np.concatenate(features)
    check_directions(features)
    return features


def cosine_scores(features: ArrayLike, pairs: ArrayLike) -> NDArray[np.float64]:
    """Cosine similarity of each pair.

    Args:
        features: (N, D), any length.
        pairs: (P, 2) row numbers into features.

    Returns:
        (P,) in [-1, 1], up to rounding.

    Raises:
        UserError: shapes do not match, a feature is NaN, infinite or zero, or a row number is out of range.

    >>> cosine_scores([[1, 0], [0, 2], [3, 0]], [[0, 1], [0, 2]])
    array([0., 1.])
    """
    features, pairs = np.asarray(features), np.asarray(pairs)
    if features.ndim != 2 or pairs.ndim != 2 or pairs.shape[1] != 2:
        raise UserError(f'expected features (N, D) and pairs (P, 2), got {features.shape} and {pairs.shape}.')
    if pairs.size and not 0 <= pairs.min() <= pairs.max() < len(features):
        raise UserError(f'pairs: row numbers from {pairs.min()} to {pairs.max()}, but there are {len(features)} '
                        'features. Pairs and features belong to different sets.')
    check_directions(features)
    parts = [np.empty(0)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        left, right = (features[rows].astype(np.float64) for rows in pairs[start:start + _PAIRS_AT_ONCE].T)
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        parts.append(np.einsum('pd,pd->p', left, right) / lengths)
    return np.concatenate(parts)


def to_images(batch: Images, device: str | torch.device) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [0, 1] on the device."""
    return torch.from_numpy(np.ascontiguousarray(batch)).to(device).permute(0, 3, 1, 2).float() / 255


def _batches(images: Images | Iterable[Images], batch_size: int) -> Iterator[Images]:
    """Stacks (B, H, W, 3) of at most batch_size images."""
    if batch_size < 1:
        raise UserError(f'batch_size: expected 1 or more, got {batch_size}.')
    batch: list[Images] = []
    for number, image in enumerate(images):
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(f'image {number}: expected uint8 (H, W, 3) RGB, got {image.dtype} {image.shape}.')
        batch.append(image)
        if len(batch) == batch_size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


@torch.inference_mode()
def _features_of_batch(recognizer: nn.Module, batch: Images, device: str | torch.device, flip: bool,
                       unit_length: bool) -> NDArray:
    images = to_images(batch, device)
    features = recognizer_features(recognizer, images)
    if flip:
        features = torch.cat([features, recognizer_features(recognizer, images.flip(-1))], dim=1)  # (B, 2 D)
    features = features.float()
    return (unit(features) if unit_length else features).cpu().numpy()

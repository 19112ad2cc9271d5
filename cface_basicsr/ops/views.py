"""Random views of faces: moved by a few pixels, mirrored, slightly larger or smaller, slightly blurred.

One pattern of pixels can please one recognizer in one place; an identity is there in every view.
"""

import hashlib
import struct
from collections.abc import Sequence

import torch
from torch import Tensor

MOST_OUTSIDE = 1 / 8
"""The share of a side that a view may reach beyond the image."""
_DRAWS = 5


def view_draws(seed: int, iteration: int, keys: Sequence[str]) -> Tensor:
    """What is drawn for the faces of a batch, (B, 5) in [0, 1): it depends on nothing but these three.

    >>> bool((view_draws(0, 7, ['a/0', 'b/1'])[1] == view_draws(0, 7, ['b/1'])[0]).all())
    True
    """
    drawn = [hashlib.blake2b(f'{seed}/{iteration}/{key}'.encode(), digest_size=4 * _DRAWS).digest() for key in keys]
    return torch.tensor([struct.unpack(f'<{_DRAWS}I', each) for each in drawn], dtype=torch.float64) / 2 ** 32


def view_outside(shift: float, scale: float, side: int) -> float:
    """How far views of an image may reach beyond it, as a share of its side; shift and side in pixels."""
    return shift / side + (1 / (1 - scale) - 1) / 2


def view(images: Tensor, draws: Tensor, *, shift: float = 0, mirror: bool = False, scale: float = 0,
         blur: float = 0) -> Tensor:
    """One view of each image, blurred first and then moved; differentiable. Beyond the borders images are reflected.

    Args:
        images: (B, C, H, W).
        draws: (B, 5) in [0, 1), see `view_draws`; the same for all images that are compared with each other.
        shift: most pixels up, down, left and right.
        mirror: whether every second view is mirrored.
        scale: views are larger or smaller by at most this share.
        blur: largest standard deviation of the Gaussian in pixels.

    Returns:
        (B, C, H, W).
    """
    down, right, size, coin, width = draws.T  # (B,) each
    factor, sigma = 1 + scale * (2 * size - 1), blur * width
    mirrored = coin < 0.5 if mirror else torch.zeros_like(coin, dtype=torch.bool)
    height, columns = images.shape[-2:]
    rows = _axis(height, shift * (2 * down - 1), factor, torch.zeros_like(mirrored), sigma)
    columns = _axis(columns, shift * (2 * right - 1), factor, mirrored, sigma)
    rows, columns = (each.to(images.device, images.dtype).unsqueeze(1) for each in (rows, columns))
    return rows @ images @ columns.mT


def _axis(length: int, shift: Tensor, factor: Tensor, mirrored: Tensor, sigma: Tensor) -> Tensor:
    """The (B, length, length) matrices that blur and move one axis of each image; all but length is (B,)."""
    pixels, middle = torch.arange(length, dtype=torch.float64), (length - 1) / 2
    source = (pixels - middle - shift[:, None]) / factor[:, None]  # (B, length), from the middle
    source = torch.where(mirrored[:, None], -source, source) + middle
    source = middle - ((length - 1 - source.abs()).abs() - middle)  # reflected at the first and the last pixel
    moved = (1 - (source[..., None] - pixels).abs()).clamp_min(0)
    distance = (pixels[:, None] - pixels).square()  # (length, length)
    gaussian = torch.exp(-distance / (2 * sigma.square()).clamp_min(1e-6)[:, None, None])
    return moved @ (gaussian / gaussian.sum(2, keepdim=True))

"""Bicubic resize with antialiasing: the kernel of MATLAB's imresize and of Pillow's BICUBIC.

Keys' cubic kernel with a = -0.5 (Keys 1981, "Cubic convolution interpolation for digital image processing"), widened
by the scale factor for reduction. OpenCV's INTER_CUBIC is a different kernel (a = -0.75, no antialiasing) and gives
different low-resolution images.

Written as two matrix products, rows then columns, with weights computed in float64: the same numbers on every device,
the same gradient in every run (`interpolate`'s CUDA gradient adds in no fixed order), and on one CPU core 1.7 to 7
times as fast as `interpolate`, forward and backward, at the sizes of face images.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

_A = -0.5  # Keys' free parameter; -0.5 is exact for quadratics


def bicubic_resize(x: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize images to any size; differentiable, any device, float32 or float64.

    Args:
        x: (B, C, H, W) float images, any range; the usual one is [0, 1].
        size: (height, width), or one number for a square.

    Returns:
        (B, C, height, width), not clamped: a cubic kernel overshoots at edges.

    Raises:
        ValueError: x has another shape or is not of floats.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f'expected (B, C, H, W) float images, got {tuple(x.shape)} {x.dtype}.')
    if x.shape[-2:] == (height, width):
        return x
    device = 'cpu' if x.is_meta else x.device.type  # autocast does not know 'meta', where costs are counted
    with torch.autocast(device, enabled=False):  # half precision would lose an 8-bit image's last bits
        rows = on_device(bicubic_weights, (x.shape[-2], height), x.dtype, x.device)
        columns = on_device(bicubic_weights, (x.shape[-1], width), x.dtype, x.device)
        return rows @ (x @ columns.T)  # (h, H) (B, C, H, W) (W, w)


def linear_crop(x: Tensor, box: tuple[float, float, float, float], size: tuple[int, int]) -> Tensor:
    """Resize a part of images, linearly between pixels, with antialiasing; differentiable, any device.

    Args:
        x: (B, C, H, W) float images.
        box: left, top, right, bottom of the part in pixels, not rounded; beyond the borders x is reflected.
        size: (height, width).

    Returns:
        (B, C, height, width).
    """
    (left, top, right, bottom), (height, width) = box, size
    rows = on_device(linear_weights, (x.shape[-2], height, top, bottom), x.dtype, x.device)
    columns = on_device(linear_weights, (x.shape[-1], width, left, right), x.dtype, x.device)
    return rows @ (x @ columns.T)


def linear_weights(length: int, new_length: int, start: float, end: float) -> Tensor:
    """The (new_length, length) float64 matrix that resizes the part from `start` to `end` of one axis, in pixels.

    >>> linear_weights(3, 2, 0.5, 2.5)
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    step = (end - start) / new_length
    reach = max(step, 1.0)
    centres = start + (torch.arange(new_length, dtype=torch.float64) + 0.5) * step - 0.5
    pixels = torch.arange(math.floor(min(start, 0) - reach), math.ceil(max(end, length) + reach) + 1)
    weights = (1 - (pixels - centres[:, None]).abs() / reach).clamp_min(0)
    turned = pixels % max(2 * length - 2, 1)  # reflected at the middles of the first and of the last pixel
    matrix = torch.zeros(new_length, length, dtype=torch.float64)
    return matrix.index_add_(1, torch.minimum(turned, 2 * length - 2 - turned), weights) / weights.sum(1, keepdim=True)


def bicubic_weights(length: int, new_length: int) -> Tensor:
    """The (new_length, length) float64 matrix that resizes one axis, lengths in pixels; every row sums to 1.

    Raises:
        ValueError: a length is below 1.

    >>> bicubic_weights(2, 1)
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    if length < 1 or new_length < 1:
        raise ValueError(f'expected lengths of at least one pixel, got {length} -> {new_length}.')
    scale = length / new_length
    centres = (torch.arange(new_length, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(length, dtype=torch.float64) + 0.5
    distance = (pixels - centres[:, None]) / max(scale, 1.0)  # widened on reduction: antialiasing
    weights = _keys_kernel(distance.abs())
    return weights / weights.sum(1, keepdim=True)  # what the kernel reaches beyond the border is left out


def _keys_kernel(t: Tensor) -> Tensor:
    near = (_A + 2) * t ** 3 - (_A + 3) * t ** 2 + 1
    far = _A * (t ** 3 - 5 * t ** 2 + 8 * t - 4)
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))


@lru_cache(maxsize=64)
def on_device(make: Callable[..., Tensor], arguments: tuple[Any, ...], dtype: torch.dtype,
              device: torch.device) -> Tensor:
    """What a function of sizes in pixels gives, copied to a device once."""
    with torch.inference_mode(False):  # the cached tensor must also serve a later backward pass
        return make(*arguments).to(device, dtype)

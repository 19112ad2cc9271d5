"""The Haar wavelet packet of images: a full tree of orthonormal 2x2 steps, and its inverse.

One step turns each 2x2 block [[a, b], [c, d]] into four sub-bands at half the size:

    0  (a + b + c + d) / 2    twice the block's mean        2  (a + b - c - d) / 2    difference of the rows
    1  (a - b + c - d) / 2    difference of the columns     3  (a - b - c + d) / 2    diagonal difference

A packet of depth d repeats it on every sub-band, not only on the first. The number k of a sub-band, written in base 4
with d digits, names the steps: its first digit is the first step (the finest detail), its last digit the last step (the
coarsest). So 0 is 2^d times the block mean; at depth 3, 1..3 hold the coarsest, 4..15 the middle and 16..63 the finest
detail. Channels of the result: sub-band major, colour minor. This is the layout of Wavelet-SRNet (Huang et al., ICCV
2017) as released.

Written as sums and differences rather than as the equivalent strided convolution: exact to the last bits in every
precision mode of a GPU.
"""

import torch
from torch import Tensor
from torch.nn import functional

from cface_basicsr.errors import UserError


def haar_packet(x: Tensor, depth: int) -> Tensor:
    """Turn images into the coefficients of their sub-bands; orthonormal, differentiable.

    Args:
        x: (B, C, H, W) float, H and W multiples of 2^depth.
        depth: number of steps, from 0 (the image itself) up.

    Returns:
        (B, C 4^depth, H / 2^depth, W / 2^depth).

    Raises:
        UserError: H or W is not a multiple of 2^depth.
    """
    block = 2 ** depth
    batch, channels, height, width = x.shape
    if height % block or width % block:
        raise UserError(f'haar_packet: depth {depth} expects a height and width that are multiples of {block}, '
                        f'got {height}x{width}. Crop the images.')
    for _ in range(depth):  # the sub-bands so far are part of the batch, the first step's number slowest
        x = _split(x).flatten(0, 1)
    return x.reshape(batch, block ** 2 * channels, height // block, width // block)


def inverse_haar_packet(coefficients: Tensor, depth: int) -> Tensor:
    """The images that `haar_packet` turns into these coefficients.

    Args:
        coefficients: (B, C 4^depth, h, w).
        depth: number of steps.

    Returns:
        (B, C, 2^depth h, 2^depth w).

    Raises:
        UserError: the number of channels is not a multiple of 4^depth.
    """
    bands = 4 ** depth
    batch, channels, height, width = coefficients.shape
    if channels % bands:
        raise UserError(f'inverse_haar_packet: depth {depth} expects a multiple of {bands} channels, got {channels}.')
    x = coefficients.reshape(batch * bands, channels // bands, height, width)
    for _ in range(depth):
        x = _join(x.unflatten(0, (-1, 4)))
    return x


def _split(x: Tensor) -> Tensor:
    """One step: (B, C, H, W) to its four sub-bands, (B, 4, C, H / 2, W / 2)."""
    pixels = functional.pixel_unshuffle(x, 2).unflatten(1, (-1, 4))  # a, b, c, d of every block
    return torch.stack(_sums_and_differences(*pixels.unbind(2)), 1)


def _join(bands: Tensor) -> Tensor:
    """The inverse of `_split`: the matrix of the sums is symmetric and orthogonal, so it is its own inverse."""
    pixels = torch.stack(_sums_and_differences(*bands.unbind(1)), 2)
    return functional.pixel_shuffle(pixels.flatten(1, 2), 2)


def _sums_and_differences(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    upper, lower, across_upper, across_lower = (a + b) / 2, (c + d) / 2, (a - b) / 2, (c - d) / 2
    return upper + lower, across_upper + across_lower, upper - lower, across_upper - across_lower

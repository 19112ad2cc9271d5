"""Checks of sizes that the networks share, so that each message is worded once."""

from collections.abc import Sequence

from torch import Tensor

from cface_basicsr.errors import UserError


def check_size(x: Tensor, height: int, width: int, who: str) -> None:
    """Check that images have the size that a network was built for.

    Raises:
        UserError: x is not (B, C, height, width); names both sizes as height x width.
    """
    if x.ndim != 4 or tuple(x.shape[-2:]) != (height, width):
        came = 'x'.join(map(str, x.shape[-2:])) if x.ndim == 4 else f'a tensor of shape {tuple(x.shape)}'
        raise UserError(f'{who} was built for {height}x{width} images (height x width), got {came}. '
                        'Resize the images, or build the network with that input_size.')


def height_and_width(input_size: Sequence[int], who: str) -> tuple[int, int]:
    """`input_size` of an option file as (height, width).

    Raises:
        UserError: it is not two whole numbers from 16 up.
    """
    pair = tuple(input_size) if isinstance(input_size, Sequence) and not isinstance(input_size, str) else ()
    if len(pair) != 2 or not all(type(side) is int and side >= 16 for side in pair):
        raise UserError(f'{who}: input_size: expected [height, width], both from 16 up, got {input_size!r}.')
    return pair


def doublings(scale: int, who: str) -> int:
    """The number of times that a network of this scale doubles its images: 1, 2 or 3.

    >>> doublings(8, 'VDSR')
    3

    Raises:
        UserError: the scale is not 2, 4 or 8.
    """
    if type(scale) is not int or scale not in (2, 4, 8):
        raise UserError(f'{who}: scale: expected 2, 4 or 8, got {scale!r}.')
    return scale.bit_length() - 1

"""Bicubic enlargement as a network without parameters: the first row of every super-resolution table."""

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.errors import UserError
from cface_basicsr.ops.resize import bicubic_resize


@registration.arch
class BicubicUpsampler(nn.Module):
    """Images enlarged by `ops.resize.bicubic_resize` (a = -0.5).

    Args:
        scale: a whole number from 1 up.

    Shape: (B, C, h, w), any range, to (B, C, scale h, scale w), not clamped.

    Raises:
        UserError: the scale is not a whole number from 1 up.
    """

    def __init__(self, *, scale: int = 4) -> None:
        super().__init__()
        if type(scale) is not int or scale < 1:
            raise UserError(f'BicubicUpsampler: scale: expected a whole number from 1 up, got {scale!r}.')
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return bicubic_resize(x, (height * self.scale, width * self.scale))

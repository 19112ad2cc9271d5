"""The range that a network works in. Outside of the networks, images are RGB in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of the DIV2K training images, which the code of EDSR subtracts, and after it that of RDN and SRFBN."""


class PixelRange(nn.Module):
    """A value v outside is img_range (v - mean) inside. Nothing here is learned or saved.

    Args:
        img_range: the value inside of 1 outside.
        mean: one value for all channels, or one per channel, in [0, 1].

    Shape: (B, C, h, w) to the same, either way.
    """

    def __init__(self, img_range: float, mean: Sequence[float]) -> None:
        super().__init__()
        self.img_range = img_range
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def inside(self, x: Tensor) -> Tensor:
        return self.img_range * (x - self.mean)

    def outside(self, x: Tensor) -> Tensor:
        return x / self.img_range + self.mean


def check_rgb_mean(rgb_mean: Sequence[float], num_in_ch: int, num_out_ch: int, who: str) -> None:
    """Check that a mean can be subtracted from the input and added to the output.

    Raises:
        UserError: rgb_mean does not have one value for each channel in, and for each channel out.
    """
    if not len(rgb_mean) == num_in_ch == num_out_ch:
        raise UserError(f'{who}: rgb_mean: expected one value per channel in and out (num_in_ch {num_in_ch}, '
                        f'num_out_ch {num_out_ch}), got {len(rgb_mean)}. Give as many values as channels.')

"""The range that a network works in. Outside every network, images are RGB in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of the DIV2K training images, which EDSR's torch code subtracts, and RDN's and SRFBN's after it."""


class PixelRange(nn.Module):
    """Values v outside are img_range (v - mean) inside. Nothing here is learned or saved.

    Args:
        img_range: what one is inside.
        mean: one value for all channels, or one a channel, in [0, 1].
    """

    def __init__(self, img_range: float, mean: Sequence[float]) -> None:
        super().__init__()
        self.img_range = img_range
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def inside(self, x: Tensor) -> Tensor:
        return self.img_range * (x - self.mean)

    def outside(self, x: Tensor) -> Tensor:
        return x / self.img_range + self.mean


def refuse_other_channels(rgb_mean: Sequence[float], num_in_ch: int, num_out_ch: int, who: str) -> None:
    """Refuse a mean that cannot be taken from the input and given back to the output.

    Raises:
        UserError: rgb_mean has not one value for each channel in, and for each channel out.
    """
    if not len(rgb_mean) == num_in_ch == num_out_ch:
        raise UserError(f'{who}: rgb_mean: expected one value a channel in and out (num_in_ch {num_in_ch}, num_out_ch '
                        f'{num_out_ch}), got {len(rgb_mean)}. Give as many values as channels.')

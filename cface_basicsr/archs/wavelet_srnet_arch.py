"""Wavelet-SRNet (Huang et al., ICCV 2017): a face as the coefficients of its Haar wavelet packet.

A body at low resolution, whose width doubles four times, and one branch for each group of sub-bands: the low-pass and,
from coarse to fine, the details, whose 3x3 convolutions keep the sub-bands apart. The inverse packet turns the
coefficients into the image. As it is orthonormal, `ops.haar.haar_packet` of that image returns the coefficients, from
which the losses on coefficients start. Facts from the authors' code (hhb072), including x2, which it builds but never
mentions.
"""

import math

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import doublings, initialize
from cface_basicsr.ops.haar import inverse_haar_packet


class WaveletBlock(nn.Module):
    """ReLU(BN(skip + conv(ReLU(BN(conv(x)))))), all 3x3: normalization and activation follow the addition.

    (B, before, h, w) to (B, after, h, w). The skip is a 1x1 convolution if the widths differ; `groups` are those of the
    two 3x3 convolutions.
    """

    def __init__(self, before: int, after: int, groups: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)
        self.body = nn.Sequential(nn.Conv2d(before, after, 3, padding=1, groups=groups[0], bias=False),
                                  nn.BatchNorm2d(after), nn.ReLU(inplace=True),
                                  nn.Conv2d(after, after, 3, padding=1, groups=groups[1], bias=False))
        self.join = nn.Sequential(nn.BatchNorm2d(after), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.body(x) + self.skip(x))


@registration.arch
class WaveletSRNet(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: width of the first stage of the body, from 2 up; it doubles four times. In its branch a sub-band has
            half this width, then all of it.
        num_block: residual blocks of each of the five stages.

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped.

    Raises:
        UserError: the scale is not 2, 4 or 8.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_block: int = 2) -> None:
        super().__init__()
        self.depth = doublings(scale, 'WaveletSRNet')
        self.head = nn.Sequential(nn.Conv2d(num_in_ch, num_feat, 3, padding=1, bias=False), nn.BatchNorm2d(num_feat),
                                  nn.ReLU(inplace=True))
        widths = [num_feat, *(num_feat * 2 ** stage for stage in range(5))]
        self.body = nn.Sequential(*(block for before, after in zip(widths, widths[1:], strict=False)
                                    for block in _stage(before, after, num_block)))
        groups = [1, *(3 * 4 ** level for level in range(self.depth))]  # sub-bands: low-pass, coarsest, …, finest
        self.branches = nn.ModuleList(_branch(widths[-1], num_feat, count, num_out_ch) for count in groups)
        initialize(self, _draw_as_the_authors)

    def coefficients(self, x: Tensor) -> Tensor:
        """(B, num_in_ch, h, w) to the packet of the enlarged image, (B, num_out_ch scale^2, h, w)."""
        features = self.body(self.head(x))
        return torch.cat([branch(features) for branch in self.branches], 1)

    def forward(self, x: Tensor) -> Tensor:
        return inverse_haar_packet(self.coefficients(x), self.depth)


def _stage(before: int, after: int, num_block: int) -> list[WaveletBlock]:
    return [WaveletBlock(before if number == 0 else after, after) for number in range(num_block)]


def _branch(before: int, num_feat: int, bands: int, num_out_ch: int) -> nn.Sequential:
    """Features to the coefficients of some sub-bands; only the first convolution and the 1x1 skips mix sub-bands."""
    half, whole = bands * (num_feat // 2), bands * num_feat
    return nn.Sequential(WaveletBlock(before, half, (1, bands)), WaveletBlock(half, whole, (bands, bands)),
                         nn.Conv2d(whole, bands * num_out_ch, 3, padding=1, groups=bands))


def _draw_as_the_authors(weight: Tensor) -> None:
    """As in their code: normal with variance 2 / (k^2 out_channels)."""
    nn.init.normal_(weight, std=math.sqrt(2 / (weight.shape[2] ** 2 * len(weight))))

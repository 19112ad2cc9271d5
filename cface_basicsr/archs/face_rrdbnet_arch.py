"""ESRGAN's generator (Wang et al., ECCVW 2018) at every scale of the comparison.

Residual-in-residual dense blocks at low resolution, then for each factor of two a nearest-neighbour enlargement and a
convolution. BasicSR's own RRDBNet is this network only at x4: at x2 it folds pixels into channels first, which is a
different network with different costs, and it accepts x8 but still returns x4. The blocks equal BasicSR's, including
initialization (He, times 0.1) and parameter names: released x4 weights load as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr import registration
from cface_basicsr.archs.layers import doublings

_RESIDUAL_SCALE = 0.2  # section 3.1: residuals are scaled down before they are added, so that training stays stable


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all outputs before it; (B, num_feat, h, w) to the same."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        for number in range(1, 6):
            out = num_feat if number == 5 else num_grow_ch
            self.add_module(f'conv{number}', nn.Conv2d(num_feat + (number - 1) * num_grow_ch, out, 3, padding=1))
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)
        for conv in self._convolutions():
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data *= 0.1
            nn.init.zeros_(conv.bias)

    def _convolutions(self) -> list[nn.Module]:
        return [self.get_submodule(f'conv{number}') for number in range(1, 6)]

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self._convolutions()
        seen = [x]
        for conv in inner:
            seen.append(self.lrelu(conv(torch.cat(seen, 1))))  # (B, num_grow_ch, h, w)
        return x + _RESIDUAL_SCALE * last(torch.cat(seen, 1))


class _ResidualInResidual(nn.Module):
    """Three dense blocks inside one more residual connection; (B, num_feat, h, w) to the same."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_DenseBlock(num_feat, num_grow_ch) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + _RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(x)))


@registration.arch
class FaceRRDBNet(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: width of the trunk.
        num_block: residual-in-residual dense blocks, each of three dense blocks of five convolutions.
        num_grow_ch: channels that each convolution of a dense block adds.

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped.

    Raises:
        UserError: the scale is not 2, 4 or 8.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_block: int = 23, num_grow_ch: int = 32) -> None:
        super().__init__()
        self.stages = [f'conv_up{number + 1}' for number in range(doublings(scale, 'FaceRRDBNet'))]
        self.conv_first = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        self.body = nn.Sequential(*(_ResidualInResidual(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        for name in self.stages:
            self.add_module(name, nn.Conv2d(num_feat, num_feat, 3, padding=1))
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv_first(x)
        features = features + self.conv_body(self.body(features))  # the long skip
        for name in self.stages:
            enlarged = functional.interpolate(features, scale_factor=2, mode='nearest')
            features = self.lrelu(self.get_submodule(name)(enlarged))
        return self.conv_last(self.lrelu(self.conv_hr(features)))

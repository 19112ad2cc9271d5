"""SRFBN, the super-resolution feedback network (Li et al., CVPR 2019), one of the compared systems.

One block runs num_step times with the same weights; each time it sees the shallow features and its own last output, and
each time an image comes out. As in the authors' code: DIV2K's mean is subtracted and pixels are in 0..255 inside,
PReLUs have one slope per layer, which starts at 0.2, He initialization, biases at zero. All three scales are theirs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr import registration
from cface_basicsr.archs.layers import DIV2K_MEAN, PixelRange, check_rgb_mean, doublings, initialize, projection
from cface_basicsr.errors import UserError


class FeedbackBlock(nn.Module):
    """Groups of an up- and a down-projection, densely connected: two (B, num_feat, h, w) to one of the same shape.

    From the second group on, a 1x1 convolution first reduces the outputs of all earlier groups at its resolution.
    """

    def __init__(self, num_feat: int, num_group: int, scale: int) -> None:
        super().__init__()
        self.compress_in = _conv(2 * num_feat, num_feat, 1)
        self.up, self.down = (nn.ModuleList(projection(kind, num_feat, scale, 0.2) for _ in range(num_group))
                              for kind in (nn.ConvTranspose2d, nn.Conv2d))
        self.reduce_low = nn.ModuleList(_reduce(num_feat, i) for i in range(num_group))
        self.reduce_high = nn.ModuleList(_reduce(num_feat, i) for i in range(num_group))
        self.compress_out = _conv(num_group * num_feat, num_feat, 1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        low, high = [self.compress_in(torch.cat([x, hidden], 1))], []
        for up, down, reduce_low, reduce_high in zip(self.up, self.down, self.reduce_low, self.reduce_high,
                                                     strict=True):
            high.append(up(reduce_low(torch.cat(low, 1))))
            low.append(down(reduce_high(torch.cat(high, 1))))
        return self.compress_out(torch.cat(low[1:], 1))


@registration.arch
class SRFBN(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: width of the feedback block (m).
        num_step: number of times that it runs (T); the parameters do not depend on it.
        num_group: number of projection groups in it (G).
        num_shallow_feat: width of the first convolution.
        img_range: the value inside the network of 1 outside.
        rgb_mean: what is subtracted from each channel, and added again at the end, in [0, 1].

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped:
        in training mode a tuple of num_step such images, in the order of the steps; else only the last one.

    Raises:
        UserError: the scale is not 2, 4 or 8; the mean does not have one value per channel; no step or no group.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_step: int = 4, num_group: int = 6, num_shallow_feat: int = 256, img_range: float = 255.0,
                 rgb_mean: Sequence[float] = DIV2K_MEAN) -> None:
        super().__init__()
        doublings(scale, 'SRFBN')
        check_rgb_mean(rgb_mean, num_in_ch, num_out_ch, 'SRFBN')
        if num_step < 1 or num_group < 1:
            raise UserError(f'SRFBN: num_step, num_group: expected one or more, got {num_step} and {num_group}.')
        self.scale, self.num_step = scale, num_step
        self.range = PixelRange(img_range, rgb_mean)
        self.shallow = nn.Sequential(_conv(num_in_ch, num_shallow_feat, 3), _conv(num_shallow_feat, num_feat, 1))
        self.block = FeedbackBlock(num_feat, num_group, scale)
        self.tail = nn.Sequential(projection(nn.ConvTranspose2d, num_feat, scale, 0.2),
                                  nn.Conv2d(num_feat, num_out_ch, 3, padding=1))
        initialize(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = self.range.inside(x)
        enlarged = functional.interpolate(x, scale_factor=self.scale, mode='bilinear', align_corners=False)
        steps = self._steps(self.shallow(x))
        if not self.training:
            steps = steps[-1:]
        images = tuple(self.range.outside(enlarged + self.tail(hidden)) for hidden in steps)
        return images if self.training else images[-1]

    def _steps(self, shallow: Tensor) -> list[Tensor]:
        """The outputs of the block at each step; the first step takes the shallow features in place of an output."""
        steps = [shallow]
        for _ in range(self.num_step):
            steps.append(self.block(shallow, steps[-1]))
        return steps[1:]


def _conv(num_in_ch: int, num_out_ch: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(num_in_ch, num_out_ch, kernel, padding=kernel // 2), nn.PReLU(init=0.2))


def _reduce(num_feat: int, groups_before: int) -> nn.Module:
    """Reduce what precedes a group (at low resolution the block's input is one more) to num_feat channels."""
    return _conv((groups_before + 1) * num_feat, num_feat, 1) if groups_before else nn.Identity()


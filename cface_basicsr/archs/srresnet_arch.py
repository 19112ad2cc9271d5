"""SRResNet, the generator of SRGAN (Ledig et al., CVPR 2017) and the backbone of C-Face.

Sixteen residual blocks with batch normalization at low resolution, then one x2 pixel shuffle stage for each factor
of two. BasicSR's MSRResNet is a different network: no normalization, a 3x3 head, no long skip, no x8. Where sources
differ: one PReLU slope per layer, convolutions before a normalization without bias (it would cancel), linear output.
"""

from functools import partial

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import ConvToFew, LeanPReLU, doublings, initialize, shuffled_double


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))), all 3x3; (B, num_feat, h, w) to the same."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False), nn.BatchNorm2d(num_feat),
                                  LeanPReLU(),
                                  nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False), nn.BatchNorm2d(num_feat))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@registration.arch
class SRResNet(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: width of every layer.
        num_block: number of residual blocks.
        icnr: start each pixel shuffle as a nearest-neighbour enlargement of random features (Aitken et al., 2017), so
            that no grid of sub-pixels has to be unlearned. The paper does not mention it; it helps short trainings.
        zero_init_residual: start each block, and the body as a whole, as the identity: the last normalization's weight
            is zero (Goyal et al., 2017; torchvision's name). Not in the paper either; it helps short trainings a lot.

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped.

    Raises:
        UserError: the scale is not 2, 4 or 8.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_block: int = 16, icnr: bool = False, zero_init_residual: bool = False) -> None:
        super().__init__()
        stages = doublings(scale, 'SRResNet')
        self.head = nn.Sequential(nn.Conv2d(num_in_ch, num_feat, 9, padding=4), LeanPReLU())
        self.body = nn.Sequential(*(ResidualBlock(num_feat) for _ in range(num_block)),
                                  nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False), nn.BatchNorm2d(num_feat))
        self.upsample = nn.Sequential(*(shuffled_double(num_feat, LeanPReLU()) for _ in range(stages)))
        self.tail = ConvToFew(num_feat, num_out_ch, 9)
        initialize(self, partial(nn.init.kaiming_normal_, a=0.25))  # PReLU's first slope
        if icnr:
            for stage in self.upsample:
                _equal_subpixels(stage[0])
        if zero_init_residual:
            for norm in (*(block.body[-1] for block in self.body if isinstance(block, ResidualBlock)), self.body[-1]):
                nn.init.zeros_(norm.weight)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)  # ours, not the paper's: the first images are dark instead of noisy

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        features = self.upsample(features + self.body(features))  # the long skip
        return self.tail(features)


@torch.no_grad()
def _equal_subpixels(conv: nn.Conv2d) -> None:
    """Give the four output channels that an x2 pixel shuffle puts next to each other the weight of the first one."""
    conv.weight.copy_(conv.weight[::4].repeat_interleave(4, dim=0))

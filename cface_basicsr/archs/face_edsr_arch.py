"""EDSR (Lim et al., CVPRW 2017) without BasicSR: what the networks that come with the plugin are.

It is BasicSR's `EDSR`, bit for bit, with its initialization and parameter names. A photograph is enhanced without
BasicSR's import, which takes longer than the network. The comparison of systems takes BasicSR's own.
"""

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import DIV2K_MEAN, PixelRange, doublings, shuffled_double


class _ResidualBlock(nn.Module):
    """x + res_scale conv(ReLU(conv(x))), both 3x3; (B, num_feat, h, w) to the same."""

    def __init__(self, num_feat: int, res_scale: float) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.conv1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.res_scale * self.conv2(self.relu(self.conv1(x)))


@registration.arch
class FaceEDSR(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: width of every layer.
        num_block: number of residual blocks.
        res_scale: residuals are multiplied by it before they are added; 0.1 for wide networks.
        img_range: the value inside the network of 1 outside.

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped.

    Raises:
        UserError: the scale is not 2, 4 or 8.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_block: int = 16, res_scale: float = 1.0, img_range: float = 255.0) -> None:
        super().__init__()
        self.range = PixelRange(img_range, DIV2K_MEAN)
        self.conv_first = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        self.body = nn.Sequential(*(_ResidualBlock(num_feat, res_scale) for _ in range(num_block)))
        self.conv_after_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.upsample = nn.Sequential(*(layer for _ in range(doublings(scale, 'FaceEDSR'))
                                        for layer in shuffled_double(num_feat)))
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv_first(self.range.inside(x))
        features = features + self.conv_after_body(self.body(features))  # the long skip
        return self.range.outside(self.conv_last(self.upsample(features)))

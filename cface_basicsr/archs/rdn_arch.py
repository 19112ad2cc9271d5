"""RDN, the residual dense network (Zhang et al., CVPR 2018), one of the compared systems.

As in the authors' Torch code: DIV2K's mean is subtracted and pixels are in 0..255 inside, convolutions have biases and
Torch's default initialization (uniform within 1 / sqrt(fan in)), nothing is normalized, no residual is scaled. Scales 2
and 4 are the paper's; 8 has one more shuffle stage.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import DIV2K_MEAN, PixelRange, check_rgb_mean, dense_layers, doublings, shuffled_double


class ResidualDenseBlock(nn.Module):
    """x + conv1x1(dense layers(x)): local feature fusion and local residual; (B, num_feat, h, w) to the same."""

    def __init__(self, num_feat: int, num_grow_ch: int, num_layer: int) -> None:
        super().__init__()
        self.dense = dense_layers(num_feat, num_grow_ch, num_layer, nn.ReLU)
        self.fusion = nn.Conv2d(num_feat + num_layer * num_grow_ch, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fusion(self.dense(x))


@registration.arch
class RDN(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: width between blocks (G0).
        num_block: number of residual dense blocks (D).
        num_layer: convolutions per block (C).
        num_grow_ch: channels that each of them adds (G).
        img_range: the value inside the network of 1 outside.
        rgb_mean: what is subtracted from each channel, and added again at the end, in [0, 1].

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped.

    Raises:
        UserError: the scale is not 2, 4 or 8; the mean does not have one value per channel.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_block: int = 16, num_layer: int = 8, num_grow_ch: int = 64, img_range: float = 255.0,
                 rgb_mean: Sequence[float] = DIV2K_MEAN) -> None:
        super().__init__()
        stages = doublings(scale, 'RDN')
        check_rgb_mean(rgb_mean, num_in_ch, num_out_ch, 'RDN')
        self.range = PixelRange(img_range, rgb_mean)
        self.shallow = nn.ModuleList([nn.Conv2d(num_in_ch, num_feat, 3, padding=1),
                                      nn.Conv2d(num_feat, num_feat, 3, padding=1)])
        self.blocks = nn.ModuleList(ResidualDenseBlock(num_feat, num_grow_ch, num_layer) for _ in range(num_block))
        self.fusion = nn.Sequential(nn.Conv2d(num_block * num_feat, num_feat, 1),
                                    nn.Conv2d(num_feat, num_feat, 3, padding=1))
        self.upsample = nn.Sequential(*(shuffled_double(num_feat) for _ in range(stages)))
        self.tail = nn.Conv2d(num_feat, num_out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.shallow[0](self.range.inside(x))
        features = shallow + self.fusion(torch.cat(self._local_features(self.shallow[1](shallow)), 1))
        return self.range.outside(self.tail(self.upsample(features)))

    def _local_features(self, x: Tensor) -> list[Tensor]:
        """The output of every block."""
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs

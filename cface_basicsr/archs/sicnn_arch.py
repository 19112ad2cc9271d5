"""SICNN's hallucination network CNN_H (Zhang et al., "Super-Identity Convolutional Neural Network", ECCV 2018).

Layers, range and initialization are those of two Caffe files, apparently the authors' own, in branch baseline2 of
thu-scc/ASC19-FaceSR-SICNN. It was published for x8, with three stages; x4 has the first two of them, x2 the first. The
recognizer CNN_R is a separate network.
"""

from functools import partial

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import PixelRange, dense_layers, doublings, initialize
from cface_basicsr.errors import UserError

_ENLARGING_KERNELS = (3, 5, 5)


@registration.arch
class SICNN(nn.Module):
    """Low-resolution images to images `scale` times as large.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out.
        num_feat: channels that the dense layers of a stage start from.
        num_grow_ch: channels that each dense layer adds.
        num_dense: dense layers per stage.
        num_tail_dense: dense layers after the last stage.
        mapping_kernel: side of the convolution that leads from one stage to the next, 1 or 3: 1 in the file with
            both networks, 3 in the one with only CNN_H.

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped;
        the final tanh keeps it within -0.5 / 255 and 255.5 / 255.

    Raises:
        UserError: the scale is not 2, 4 or 8, or the mapping kernel not 1 or 3.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_grow_ch: int = 32, num_dense: int = 6, num_tail_dense: int = 2, mapping_kernel: int = 1) -> None:
        super().__init__()
        kernels = _ENLARGING_KERNELS[:doublings(scale, 'SICNN')]
        if mapping_kernel not in (1, 3):
            raise UserError(f'SICNN: mapping_kernel: expected 1 or 3, got {mapping_kernel!r}.')
        self.range = PixelRange(255 / 128, [0.5])  # (255 v - 127.5) / 128
        width = num_feat + num_dense * num_grow_ch
        first = _dense_features(num_in_ch, 3, num_feat, num_grow_ch, num_dense)
        later = (_dense_features(width, mapping_kernel, num_feat, num_grow_ch, num_dense) for _ in kernels[1:])
        self.stages = nn.Sequential(*(nn.Sequential(features, _double(width, kernel))
                                      for features, kernel in zip((first, *later), kernels, strict=True)))
        self.tail = nn.Sequential(_dense_features(width, mapping_kernel, num_feat, num_grow_ch, num_tail_dense),
                                  nn.Conv2d(num_feat + num_tail_dense * num_grow_ch, num_out_ch, 5, padding=2),
                                  nn.Tanh())
        initialize(self, partial(nn.init.kaiming_uniform_, nonlinearity='linear'))  # Caffe's Xavier

    def forward(self, x: Tensor) -> Tensor:
        return self.range.outside(self.tail(self.stages(self.range.inside(x))))


def _dense_features(num_in_ch: int, kernel: int, num_feat: int, num_grow_ch: int, num_dense: int) -> nn.Sequential:
    """(B, num_in_ch, h, w) to (B, num_feat + num_dense num_grow_ch, h, w); one PReLU slope per channel."""
    return nn.Sequential(nn.Conv2d(num_in_ch, num_feat, kernel, padding=kernel // 2), nn.PReLU(num_feat),
                         dense_layers(num_feat, num_grow_ch, num_dense, lambda: nn.PReLU(num_grow_ch)))


def _double(width: int, kernel: int) -> nn.Sequential:
    """(B, width, h, w) to (B, width, 2 h, 2 w); Caffe's shape_offset 1 is the output padding."""
    return nn.Sequential(nn.ConvTranspose2d(width, width, kernel, stride=2, padding=kernel // 2, output_padding=1),
                         nn.PReLU(width))

"""VDSR (Kim et al., CVPR 2016): twenty convolutions predict what a bicubic enlargement lacks.

The only compared network that works at the large size throughout: the low-resolution image is enlarged first, by the
kernel that made it small. Where sources differ: colour in and out (the paper treats only luminance; a recognizer needs
colour), biases as in the paper and the Caffe port (twtygqyy's port has none), one network per scale, He initialization
(fan-in; twtygqyy's formula, fan-out, makes the first residuals of the narrow last layer several times as large as an
image).
"""

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import doublings, initialize
from cface_basicsr.errors import UserError
from cface_basicsr.ops.resize import bicubic_resize


@registration.arch
class VDSR(nn.Module):
    """Low-resolution images to images `scale` times as large: the bicubic enlargement and a learned residual.

    Args:
        scale: 2, 4 or 8.
        num_in_ch, num_out_ch: channels in and out, the same number, as the input is added to the output.
        num_feat: width of every layer.
        num_block: number of 3x3 convolutions between the first and the last one.

    Shape: (B, num_in_ch, h, w) RGB in [0, 1] to (B, num_out_ch, scale h, scale w), nominally in [0, 1], not clamped.

    Raises:
        UserError: the scale is not 2, 4 or 8, or the numbers of channels in and out differ.
    """

    def __init__(self, *, scale: int = 4, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64,
                 num_block: int = 18) -> None:
        super().__init__()
        doublings(scale, 'VDSR')
        if num_in_ch != num_out_ch:
            raise UserError(f'VDSR adds its input to its output: expected num_in_ch and num_out_ch to be the same, '
                            f'got {num_in_ch} and {num_out_ch}.')
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(num_in_ch, num_feat, 3, padding=1), nn.ReLU(inplace=True))
        self.body = nn.Sequential(*(layer for _ in range(num_block) for layer in
                                    (nn.Conv2d(num_feat, num_feat, 3, padding=1), nn.ReLU(inplace=True))))
        self.tail = nn.Conv2d(num_feat, num_out_ch, 3, padding=1)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        enlarged = bicubic_resize(x, (height * self.scale, width * self.scale))
        return enlarged + self.tail(self.body(self.head(enlarged)))


"""The discriminator of SRGAN (Ledig et al., CVPR 2017) for faces of 128x128: N_D of C-Face's equation (1).

Eight 3x3 convolutions, every second one with stride 2, and two dense layers. The last value is a logit: the sigmoid
belongs to the loss (BasicSR's `GANLoss`, type vanilla).
"""

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import check_size
from cface_basicsr.errors import UserError


@registration.arch
class SRGANDiscriminator(nn.Module):
    """Images to logits of being real.

    Args:
        num_in_ch: channels of the images.
        num_feat: width of the first layer; it doubles three times.
        input_size: height and width of the images, a multiple of 16.
        num_dense: width of the first dense layer.

    Shape: (B, num_in_ch, input_size, input_size) RGB in [0, 1] to (B, 1) logits, above 0 for real.

    Raises:
        UserError: input_size is not a multiple of 16, or images have another size.
    """

    def __init__(self, *, num_in_ch: int = 3, num_feat: int = 64, input_size: int = 128, num_dense: int = 1024) -> None:
        super().__init__()
        if type(input_size) is not int or input_size < 16 or input_size % 16:
            raise UserError(f'SRGANDiscriminator: input_size: expected a multiple of 16, got {input_size!r}.')
        self.input_size = input_size
        widths = [num_feat, 2 * num_feat, 4 * num_feat, 8 * num_feat]
        layers: list[nn.Module] = [nn.Conv2d(num_in_ch, num_feat, 3, padding=1), nn.LeakyReLU(0.2, inplace=True),
                                   *self._normalized(num_feat, num_feat, stride=2)]
        for before, width in zip(widths, widths[1:], strict=False):
            layers += [*self._normalized(before, width, stride=1), *self._normalized(width, width, stride=2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(8 * num_feat * (input_size // 16) ** 2, num_dense),
                                        nn.LeakyReLU(0.2, inplace=True), nn.Linear(num_dense, 1))

    @staticmethod
    def _normalized(num_in: int, num_out: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(num_in, num_out, 3, stride, 1, bias=False), nn.BatchNorm2d(num_out),
                nn.LeakyReLU(0.2, inplace=True)]

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.input_size, self.input_size, 'SRGANDiscriminator')
        features = self.features(x)  # (B, 8 num_feat, input_size / 16, input_size / 16)
        return self.classifier(features.reshape(len(x), -1))  # reshape: `view` fails on channels_last features

"""The loss of Wavelet-SRNet (Huang et al., ICCV 2017), on Haar packets and images, as its authors released it.

    0.99 L_detail + 0.01 L_lowpass + 0.1 L_image + 1.0 L_texture

The first three are squared errors, summed and divided by 2 N. L_texture is a mean, and so smaller by orders of
magnitude; it keeps the detail coefficients nearly as large as the original's, whereas squared errors by themselves let
them shrink.
"""

import math

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.errors import UserError
from cface_basicsr.losses.sum_squared_loss import sum_squared
from cface_basicsr.ops.haar import haar_packet

_COLORS = 3


def texture_loss(prediction: Tensor, target: Tensor, factor: float = 1.2) -> Tensor:
    """How far detail coefficients fall short of the original's, in squared length over the colours; a scalar.

    Args:
        prediction, target: (N, 3 K, h, w) coefficients of K sub-bands, the three colours of a sub-band next to each
            other; `target` gets no gradient.
        factor: the original's squared length is multiplied by it.

    >>> texture_loss(torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1))
    tensor(0.6000)
    """
    mine, wanted = (packet.unflatten(1, (-1, _COLORS)).square().sum(2) for packet in (prediction, target.detach()))
    return (factor * wanted - mine).clamp_min(0).mean()  # (N, K, h, w), mean over sub-bands and positions


def wavelet_terms(prediction: Tensor, target: Tensor, depth: int, texture_factor: float = 1.2) -> dict[str, Tensor]:
    """The four terms, unweighted: 'detail', 'lowpass', 'image', 'texture'; scalars.

    Args:
        prediction, target: (N, 3, H, W) images; H and W are multiples of 2^depth. `target` gets no gradient.
        depth: how many times the image is decomposed: 3 for x8.
        texture_factor: see `texture_loss`.

    Raises:
        UserError: H or W is not a multiple of 2^depth.
    """
    target = target.detach()
    mine, wanted = haar_packet(prediction, depth), haar_packet(target, depth)  # (N, 3 * 4^depth, h, w)
    return {
        'detail': sum_squared(mine[:, _COLORS:], wanted[:, _COLORS:]),
        'lowpass': sum_squared(mine[:, :_COLORS], wanted[:, :_COLORS]),
        'image': sum_squared(prediction, target),
        'texture': texture_loss(mine[:, _COLORS:], wanted[:, _COLORS:], texture_factor),
    }


@registration.loss
class WaveletLoss(nn.Module):
    """The weighted sum of `wavelet_terms`; the predicted packet equals WaveletSRNet's own output, as packets are exact.

    Args:
        scale: of the super-resolution, a power of two; the packet has depth log2(scale).
        detail_weight: factor of the squared differences of all sub-bands but the lowest.
        lowpass_weight: factor of those of the lowest sub-band.
        image_weight: factor of those of the images.
        texture_weight: factor of `texture_loss`, which keeps details from being smoothed away.
        texture_factor: of the original's texture; the prediction's is to be no smaller.

    Shape: two (N, 3, H, W) images, predicted and original, to a scalar.

    Raises:
        UserError: the scale is not a power of two.
    """

    def __init__(self, *, scale: int, detail_weight: float = 0.99, lowpass_weight: float = 0.01,
                 image_weight: float = 0.1, texture_weight: float = 1.0, texture_factor: float = 1.2) -> None:
        super().__init__()
        if scale < 2 or scale & (scale - 1):
            raise UserError(f'WaveletLoss: scale: expected a power of two, got {scale}.')
        self.depth = int(math.log2(scale))
        self.weights = {'detail': detail_weight, 'lowpass': lowpass_weight, 'image': image_weight,
                        'texture': texture_weight}
        self.texture_factor = texture_factor

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        terms = wavelet_terms(prediction, target, self.depth, self.texture_factor)
        return sum(weight * terms[name] for name, weight in self.weights.items())

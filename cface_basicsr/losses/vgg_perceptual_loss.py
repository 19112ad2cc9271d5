"""The perceptual term of SRGAN and ESRGAN, for BasicSR's SRGANModel and ESRGANModel.

BasicSR's own PerceptualLoss downloads VGG19 or looks for it in one place below the working directory, and in 1.4.2 its
'l2' names a class that torch does not have. This one is called in the same way, and reads files as VGGContentLoss does.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from cface_basicsr import registration
from cface_basicsr.errors import UserError
from cface_basicsr.losses.vgg_content_loss import VGGContentLoss

_CRITERIA = {'l1': functional.l1_loss, 'l2': functional.mse_loss}


@registration.loss
class VGGPerceptualLoss(VGGContentLoss):
    """Mean distance of VGG19 features, as the pair (perceptual, style) that BasicSR's models unpack; style is None.

    Args:
        layer: 'convI_J' (before the activation; ESRGAN takes conv5_4) or 'reluI_J' (SRGAN takes relu5_4).
        criterion: 'l1' or 'l2' (squared), the mean over all elements.
        perceptual_weight: factor.
        weights: a file of VGG19; None: torch hub's, as in VGGContentLoss.

    Shape: two (B, 3, H, W) RGB images, nominally in [0, 1], super-resolved and original, to (scalar, None). Only the
        first gets a gradient.

    Raises:
        UserError: unknown layer or criterion; the weights are missing, unreadable or of another network.
    """

    def __init__(self, *, layer: str = 'conv5_4', criterion: Literal['l1', 'l2'] = 'l1', perceptual_weight: float = 1.0,
                 weights: str | None = None) -> None:
        if criterion not in _CRITERIA:
            raise UserError(f"VGGPerceptualLoss: criterion: expected l1 or l2, got '{criterion}'.")
        super().__init__(layer=layer, weights=weights, loss_weight=perceptual_weight)
        self.criterion = criterion

    def forward(self, sr: Tensor, hr: Tensor) -> tuple[Tensor, None]:
        with torch.no_grad():
            reference = self.features(hr)
        return self.loss_weight * _CRITERIA[self.criterion](self.features(sr), reference), None

"""The L1 loss of a feedback network that returns an image at each of its steps: SRFBN (Li et al., CVPR 2019)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr import registration
from cface_basicsr.errors import UserError


def multi_step_l1(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """The mean absolute error of T images (N, C, H, W), averaged over them: SRFBN's loss with every W_t = 1. A scalar.

    >>> import torch
    >>> multi_step_l1([torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)], torch.ones(1, 3, 2, 2))
    tensor(0.7500)
    """
    target = target.detach()
    return sum(functional.l1_loss(output, target) for output in outputs) / len(outputs)


@registration.loss
class MultiStepL1Loss(nn.Module):
    """`multi_step_l1` times a weight.

    Args:
        loss_weight: factor.

    Shape: a tuple of T (N, C, H, W) images, as SRFBN returns in training, and the original to a scalar.

    Raises:
        UserError: it gets one image instead of one per step.
    """

    def __init__(self, *, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        if isinstance(outputs, Tensor):
            raise UserError('MultiStepL1Loss: expected the images of all steps (the tuple that SRFBN returns in '
                            'training), got one image.\nFor other networks use L1Loss.')
        return self.loss_weight * multi_step_l1(outputs, target)

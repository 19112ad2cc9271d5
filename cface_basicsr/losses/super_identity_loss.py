"""The super-identity loss of SICNN (Zhang et al., ECCV 2018), equation (4) of C-Face.

The paper defines it for one face; here it is the mean over the batch.
"""

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.ops.identity_distance import Distance, check_distance, identity_distance


def super_identity_loss(sr: Tensor, hr: Tensor, *, distance: str = 'normalized') -> Tensor:
    """Mean identity distance of (B, D) features from those of their originals, which get no gradient; a scalar.

    >>> import torch
    >>> super_identity_loss(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    tensor(2.)
    """
    return identity_distance(sr, hr.detach(), distance).mean()  # eq (4), mean over the batch


@registration.loss
class SuperIdentityLoss(nn.Module):
    """L_SI on identity features.

    Args:
        loss_weight: factor.
        distance: 'normalized' (4), 'l2' (of raw features) or 'cosine' (1 - cos).

    Shape: two (B, D) features, super-resolved and original, to a scalar.
    """

    def __init__(self, *, loss_weight: float = 1.0, distance: Distance = 'normalized') -> None:
        super().__init__()
        check_distance(distance)
        self.loss_weight, self.distance = loss_weight, distance

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        return self.loss_weight * super_identity_loss(sr, hr, distance=self.distance)

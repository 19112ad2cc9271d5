"""The C-Face loss, equations (5) and (6) of Han et al., JAIR 2022.

    (5)  g1 L_SI(SR, HR) + g2 L_SI(SR, C)
    (6)  g1 L_SI(SR, HR) + g2 max(L_SI(SR, C) - L_SI(HR, C), 0)

SR is the super-resolved face, HR the original one, C (compare) another photo of the same person, L_SI the identity
distance (4). (6) asks no more of SR than HR itself achieves. The paper does not say how a batch is treated: here each
face has its own hinge, and the mean over the batch comes last.
"""

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.ops.identity_distance import Distance, check_distance, identity_distance


def cface_loss(sr: Tensor, hr: Tensor, compare: Tensor, *, gamma1: float, gamma2: float, margin: bool = True,
               distance: str = 'normalized', has_compare: Tensor | None = None) -> Tensor:
    """L_CF of a batch of identity features (B, D), a scalar: the sum of `cface_terms`, which explains the arguments.

    >>> sr, hr, c = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, -1.0]])
    >>> cface_loss(sr, hr, c, gamma1=0.5, gamma2=1.0), cface_loss(sr, hr, c, gamma1=0.5, gamma2=1.0, margin=False)
    (tensor(1.), tensor(3.))
    """
    own, other = cface_terms(sr, hr, compare, gamma1=gamma1, gamma2=gamma2, margin=margin, distance=distance,
                             has_compare=has_compare)
    return own + other


def cface_terms(sr: Tensor, hr: Tensor, compare: Tensor, *, gamma1: float, gamma2: float, margin: bool = True,
                distance: str = 'normalized', has_compare: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The two weighted terms of L_CF.

    Args:
        sr: (B, D) features of the super-resolved faces; the only ones that get a gradient.
        hr: (B, D) features of their originals.
        compare: (B, D) features of the compare faces; a row without a compare face may hold any finite feature.
        gamma1, gamma2: the weights; the paper takes 0.05 and 0.1 in stage 1, 0.05 and 0.05 in stage 4.
        margin: True for (6), False for (5).
        distance: 'normalized' (4), 'l2' or 'cosine'; see `ops.identity_distance`.
        has_compare: (B,) bool; rows that are False add 0 to the second term. None: every row has a compare face.

    Returns:
        Two scalars, each the sum over the batch divided by B (rows without a compare face count too).

    Raises:
        UserError: the distance is unknown.
        ValueError: shapes differ.
    """
    hr, compare = hr.detach(), compare.detach()
    own = identity_distance(sr, hr, distance)  # (B,)
    other = identity_distance(sr, compare, distance)  # (B,)
    if margin:
        other = (other - identity_distance(hr, compare, distance)).clamp_min(0)  # eq (6), second term
    if has_compare is not None:
        if has_compare.shape != other.shape or has_compare.dtype != torch.bool:
            raise ValueError(f'has_compare: expected {tuple(other.shape)} bool, got {tuple(has_compare.shape)} '
                             f'{has_compare.dtype}.')
        other = torch.where(has_compare, other, 0)
    return gamma1 * own.mean(), gamma2 * other.mean()  # eq (5); with margin, eq (6)


@registration.loss
class CFaceLoss(nn.Module):
    """L_CF on identity features; arguments as in `cface_terms`.

    Args:
        gamma1: weight of the distance to the original; the paper takes 0.05.
        gamma2: weight of the distance to the compare face; the paper takes 0.1 in stage 1 and 0.05 in stage 4, and 0
            gives SICNN's loss.
        margin: True for equation (6), by which SR need be no nearer to the compare face than HR is; False for (5).
        distance: 'normalized' (4), 'l2' (of raw features) or 'cosine' (1 - cos).

    Shape: three (B, D) features to a scalar; `terms` returns its two summands separately.

    >>> sr, hr, compare = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, -1.0]])
    >>> CFaceLoss(gamma1=0.05, gamma2=0.1)(sr, hr, compare)
    tensor(0.1000)
    """

    def __init__(self, *, gamma1: float, gamma2: float, margin: bool = True, distance: Distance = 'normalized') -> None:
        super().__init__()
        check_distance(distance)
        self.gamma1, self.gamma2, self.margin, self.distance = gamma1, gamma2, margin, distance

    def terms(self, sr: Tensor, hr: Tensor, compare: Tensor,
              has_compare: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The gamma1 term and the gamma2 term of (B, D) features, two scalars."""
        return cface_terms(sr, hr, compare, gamma1=self.gamma1, gamma2=self.gamma2, margin=self.margin,
                           distance=self.distance, has_compare=has_compare)

    def forward(self, sr: Tensor, hr: Tensor, compare: Tensor, has_compare: Tensor | None = None) -> Tensor:
        own, other = self.terms(sr, hr, compare, has_compare)
        return own + other

"""The A-Softmax loss of SphereFace (Liu et al., CVPR 2017), L_FR, equation (3) of C-Face.

The paper prints cos(theta_{y_j}) in the denominator; theta_j is meant. Annealing as in the Caffe original: the logit of
the true class is ||x|| (lambda cos + psi) / (1 + lambda), and lambda falls from 1000 to 5 (`ops.angular_margin`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr import registration
from cface_basicsr.errors import UserError
from cface_basicsr.ops.angular_margin import a_softmax_logits, annealed_lambda
from cface_basicsr.ops.class_sample import sampled_classes
from cface_basicsr.ops.ranks import whole_batch

__all__ = ['ASoftmaxLoss', 'a_softmax_logits', 'annealed_lambda']


@registration.loss
class ASoftmaxLoss(nn.Module):
    """L_FR. It holds settings only; the class directions and the step are in the network `ASoftmaxHead`.

    Args:
        margin: m, a whole number from 1 up: the angle to a face's own class counts m-fold.
        lambda_base: the first lambda, the weight of plain softmax next to the margin's. It falls with the step:
            lambda = max(min, base (1 + gamma step)^-power).
        lambda_gamma: how fast lambda begins to fall.
        lambda_power: the power of its fall.
        lambda_min: the smallest lambda, where it stays.
        sample_rate: the share of the classes that a step compares with, in (0, 1]: those of the batch, and others drawn
            anew in each step (Partial FC). 1: all of them.

    Attributes:
        seed: of these draws; a training sets its own.

    Shape: features (B, D), weight (D, C), labels (B,) int64, step (a number or a 0-d tensor, from 1 at the first
        update) to a scalar, the mean over the batch.

    Raises:
        UserError: sample_rate is not in (0, 1].
    """

    def __init__(self, *, margin: int = 4, lambda_base: float = 1000.0, lambda_gamma: float = 0.12,
                 lambda_power: float = 1.0, lambda_min: float = 5.0, sample_rate: float = 1.0) -> None:
        super().__init__()
        if not 0 < sample_rate <= 1:
            raise UserError(f'ASoftmaxLoss: sample_rate: expected a number above 0, at most 1, got {sample_rate!r}.')
        self.sample_rate, self.seed = sample_rate, 0
        self.margin = margin
        self.lambda_base, self.lambda_gamma = lambda_base, lambda_gamma
        self.lambda_power, self.lambda_min = lambda_power, lambda_min

    def lambda_at(self, step: int | Tensor) -> float | Tensor:
        """The annealing weight at a step (a number or a 0-d tensor, from 1 at the first update)."""
        return annealed_lambda(step, base=self.lambda_base, gamma=self.lambda_gamma, power=self.lambda_power,
                               minimum=self.lambda_min)

    def forward(self, features: Tensor, weight: Tensor, labels: Tensor, step: int | Tensor) -> Tensor:
        if self.sample_rate < 1:
            kept = sampled_classes(whole_batch(labels), weight.shape[1], self.sample_rate, seed=self.seed, step=step)
            weight, labels = weight.index_select(1, kept), torch.searchsorted(kept, labels)
        logits = a_softmax_logits(features, weight, labels, margin=self.margin, lambda_=self.lambda_at(step))
        return functional.cross_entropy(logits, labels)  # eq (3): -log of the softmax

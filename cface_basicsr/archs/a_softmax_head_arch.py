"""The classifier of A-Softmax: one direction per class, and the step of its annealing. It goes with `ASoftmaxLoss`.

It is a network by itself, so that BasicSR wraps, saves and loads it like any other (`network_c`, net_c_*.pth) and each
stage takes it over from the stage before, with its annealing where it was.
"""

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.errors import UserError


@registration.arch
class ASoftmaxHead(nn.Module):
    """The weight of equation (3).

    Args:
        feature_length: D, the recognizer's.
        num_classes: C, the identities of the training set. An option file may leave it empty: it is then read from
            the labels.

    Attributes:
        weight: (D, C) parameter; the loss uses its columns at unit length, so only their directions matter.
        step: 0-d int64 buffer, the training steps done under annealing; the model increments it.

    Shape: features (B, D), whose values do not matter, to the weight, (D, C). On a GPU, DDP refuses a call without a
        tensor.

    Raises:
        UserError: a number is not a whole number from 1 up.
    """

    weight: nn.Parameter
    step: Tensor

    def __init__(self, *, feature_length: int, num_classes: int) -> None:
        super().__init__()
        for name, value in (('feature_length', feature_length), ('num_classes', num_classes)):
            if type(value) is not int or value < 1:
                raise UserError(f'ASoftmaxHead: {name}: expected a whole number from 1 up, got {value!r}.')
        bound = (3 / feature_length) ** 0.5  # Caffe's xavier: columns of about unit length
        self.weight = nn.Parameter(torch.empty(feature_length, num_classes).uniform_(-bound, bound))
        self.register_buffer('step', torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        return self.weight

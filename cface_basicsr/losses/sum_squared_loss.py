"""Half the squared error, summed over an image: Caffe's Euclidean loss, by which VDSR and SICNN were trained."""

from torch import Tensor, nn

from cface_basicsr import registration


def sum_squared(prediction: Tensor, target: Tensor) -> Tensor:
    """The sum of all squared differences of two (N, …) tensors over 2 N, a scalar; `target` gets no gradient.

    >>> import torch
    >>> sum_squared(torch.zeros(2, 3, 1, 1), torch.ones(2, 3, 1, 1))
    tensor(1.5000)
    """
    return (prediction - target.detach()).square().sum() / (2 * len(prediction))


@registration.loss
class SumSquaredLoss(nn.Module):
    """`sum_squared` of images, times a weight: for 3 x 128 x 128 values, 24,576 times BasicSR's MSELoss.

    Args:
        loss_weight: factor.

    Shape: two (N, C, H, W) images, predicted and original, to a scalar.
    """

    def __init__(self, *, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss_weight * sum_squared(prediction, target)

"""Statistics of a batch of which each rank of a training holds a part; their gradients reach the parts of all ranks."""

from typing import Any

import torch
from torch import Tensor, distributed


def several_ranks() -> bool:
    """Whether this process is one of several that train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over the ranks; torch.distributed.nn's is deprecated."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _SumOverRanks.apply(gradient)  # the losses of all ranks depend on this part


def moments_over_ranks(x: Tensor) -> tuple[Tensor, Tensor, int | Tensor]:
    """Mean and variance of each channel of a whole batch, of which every rank holds a part; they may differ in size.

    All ranks call this together. Their sums are in double precision: in single precision, the mean square minus the
    squared mean would lose the variance of values far from 0.

    Args:
        x: (B, C, …), this rank's part, not empty.

    Returns:
        (mean, variance, count): (C,) each, differentiable; the variance is divided by count, which is a number, or a
        0-d tensor where there are several ranks.
    """
    variance, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
    count = x.numel() // len(mean)
    if not several_ranks():
        return mean, variance, count
    mean, variance = mean.double(), variance.double()
    sums = _SumOverRanks.apply(count * torch.stack((torch.ones_like(mean), mean, variance + mean.square())))
    mean, square = sums[1:] / sums[0]
    return mean.to(x.dtype), (square - mean.square()).clamp_min(0).to(x.dtype), sums[0, 0]

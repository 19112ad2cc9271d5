"""What ranks tell each other: values, buffers, and statistics of a batch of which each rank holds a part.

The gradients of statistics reach the parts of all ranks.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn


def several_ranks() -> bool:
    """Whether this process is one of several that train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def place_among_ranks() -> tuple[int, int]:
    """(rank, number of ranks) of this process; (0, 1) where there are no others."""
    return (distributed.get_rank(), distributed.get_world_size()) if several_ranks() else (0, 1)


def of_all_ranks(value: Any) -> list:
    """What each rank holds, rank 0's first; every rank must call this."""
    values: list[Any] = [value] * place_among_ranks()[1]
    if several_ranks():
        distributed.all_gather_object(values, value)
    return values


def gathered(value: Any) -> list:
    """The same on rank 0, and nothing on the others; every rank must call this."""
    rank, ranks = place_among_ranks()
    values: list[Any] = [value] * ranks if rank == 0 else []
    if several_ranks():
        distributed.gather_object(value, values or None)
    return values


def whole_batch(part: Tensor) -> Tensor:
    """The parts of all ranks, (B, …) each, one after the other; every rank must call this."""
    if not several_ranks():
        return part
    parts = [torch.empty_like(part) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, part)
    return torch.cat(parts)


def share_buffers(network: nn.Module) -> None:
    """Give every rank the buffers that rank 0 has (statistics of BatchNorm, counted steps); every rank must call this.

    During a step a buffer may be each rank's own; DDP does the same before the next one.
    """
    for buffer in network.buffers() if several_ranks() else ():
        distributed.broadcast(buffer, 0)


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

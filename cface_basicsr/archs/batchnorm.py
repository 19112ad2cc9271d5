"""Batch normalization by the statistics of the whole batch where several ranks hold parts of it, or by those of a file.

torch's own SyncBatchNorm refuses tensors on a CPU. This one works on every device.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cface_basicsr.errors import UserError
from cface_basicsr.ops.ranks import moments_over_ranks, several_ranks


class SyncedBatchNorm(_BatchNorm):
    """A batch normalization whose mean and variance, in training, are those of the parts of all ranks together.

    Shape: (B, C, …) to the same.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """The module had one, two or three dimensions before; here any number will do."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and several_ranks()):
            return super().forward(x)
        mean, variance, count = moments_over_ranks(x)
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = (variance + self.eps).rsqrt()
        shift = -mean * scale
        if self.weight is not None:
            scale, shift = scale * self.weight, shift * self.weight
        if self.bias is not None:
            shift = shift + self.bias
        shape = (-1, *[1] * (x.ndim - 2))
        return torch.addcmul(shift.view(shape), x, scale.view(shape))

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, (C,), as torch's batch normalization does."""
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def sync_batchnorms(network: nn.Module) -> None:
    """Make the batch normalizations of a network synced ones, in place; parameters, buffers and their names stay.

    Raises:
        UserError: the network has a batch normalization of a kind that torch does not have.
    """
    for name, module in network.named_modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = SyncedBatchNorm
        elif isinstance(module, _BatchNorm) and type(module) not in (SyncedBatchNorm, nn.SyncBatchNorm):
            raise UserError(f"{type(network).__name__}: '{name}' is a {type(module).__name__}, whose statistics cannot "
                            "be those of all ranks; set 'sync_batchnorm: false'.")


class KeepsStatistics(nn.Module):
    """A network whose batch normalizations always use the statistics of its file; its constructor ends with `train`.

    Small batches, and batches of super-resolved faces, would spoil them. Gains and shifts still learn.
    """

    def train(self, mode: bool = True) -> 'KeepsStatistics':
        """Training or evaluation mode, for everything but batch normalization."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

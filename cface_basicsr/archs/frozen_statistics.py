"""Batch normalization that keeps the statistics of a file, for recognizers that come ready trained."""

from torch import nn


def keep_statistics(network: nn.Module) -> None:
    """Put every batch normalization of a network into evaluation mode; call it behind `train()`.

    Small batches, and batches of super-resolved faces, would spoil the statistics of the file. Gains and shifts still
    learn.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()

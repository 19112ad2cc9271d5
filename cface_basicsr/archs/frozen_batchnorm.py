"""Batch normalization that keeps the statistics of a file, for recognizers that come ready-trained."""

from torch import nn


def freeze_batchnorm(network: nn.Module) -> None:
    """Put every batch normalization of a network into eval mode; call it after `train()`.

    Small batches, and batches of super-resolved faces, would spoil the statistics of the file. Gains and shifts still
    learn.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()

"""Densely connected convolutions (Huang et al., CVPR 2017): each one sees the outputs of all before it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """x, and behind it activation(conv3x3(x)); (B, num_in_ch, h, w) to (B, num_in_ch + num_grow_ch, h, w)."""

    def __init__(self, num_in_ch: int, num_grow_ch: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_in_ch, num_grow_ch, 3, padding=1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.activation(self.conv(x))], 1)


def dense_layers(num_in_ch: int, num_grow_ch: int, num_layer: int, activation: Callable[[], nn.Module]
                 ) -> nn.Sequential:
    """(B, num_in_ch, h, w) to (B, num_in_ch + num_layer num_grow_ch, h, w); the input comes first."""
    return nn.Sequential(*(DenseLayer(num_in_ch + i * num_grow_ch, num_grow_ch, activation())
                           for i in range(num_layer)))

"""Layers and initializations that several networks share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """x, followed by activation(conv3x3(x)): (B, num_in_ch, h, w) to (B, num_in_ch + num_grow_ch, h, w)."""

    def __init__(self, num_in_ch: int, num_grow_ch: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_in_ch, num_grow_ch, 3, padding=1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.activation(self.conv(x))], 1)


def dense_layers(num_in_ch: int, num_grow_ch: int, num_layer: int, activation: Callable[[], nn.Module]
                 ) -> nn.Sequential:
    """Densely connected convolutions (Huang et al., CVPR 2017): each one sees the outputs of all before it.

    (B, num_in_ch, h, w) to (B, num_in_ch + num_layer num_grow_ch, h, w); the input comes first.
    """
    return nn.Sequential(*(DenseLayer(num_in_ch + i * num_grow_ch, num_grow_ch, activation())
                           for i in range(num_layer)))


def projection_size(scale: int) -> dict[str, int]:
    """Kernel, stride and padding of DBPN's and SRFBN's projections, so that sizes fit: 6, 8, 12 at x2, x4, x8.

    >>> projection_size(8)
    {'kernel_size': 12, 'stride': 8, 'padding': 2}
    """
    return {'kernel_size': scale + 4, 'stride': scale, 'padding': 2}


def he_initialize(module: nn.Module, slope: float = 0.0) -> None:
    """He initialization (fan in) of a convolution or transposed convolution, biases at zero.

    Args:
        module: anything; other modules are left as they are.
        slope: of the activation for negative values: 0 for a ReLU.
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.kaiming_normal_(module.weight, a=slope)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

"""What the two networks that project features up and down again have in common: DBPN and SRFBN."""

from torch import nn


def projection_size(scale: int) -> dict[str, int]:
    """Kernel, stride and padding of an up- or down-projection, so that sizes fit exactly: 6, 8, 12 at x2, x4, x8.

    >>> projection_size(8)
    {'kernel_size': 12, 'stride': 8, 'padding': 2}
    """
    return {'kernel_size': scale + 4, 'stride': scale, 'padding': 2}


def he_initialize(module: nn.Module) -> None:
    """He initialization (fan in, as for a ReLU) of a convolution or transposed convolution, biases at zero."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)

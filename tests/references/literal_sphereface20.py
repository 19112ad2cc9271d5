"""SphereFace-20's forward pass written out from its layer table, on parameters taken in their order of declaration."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional


def forward(parameters: Iterator[nn.Parameter], x: Tensor, units: tuple[int, ...] = (1, 2, 4, 1)) -> Tensor:
    def conv_prelu(x: Tensor, stride: int) -> Tensor:
        weight, bias, slopes = next(parameters), next(parameters), next(parameters)
        return functional.prelu(functional.conv2d(x, weight, bias, stride, padding=1), slopes)

    for count in units:
        x = conv_prelu(x, stride=2)
        for _ in range(count):
            x = x + conv_prelu(conv_prelu(x, stride=1), stride=1)
    weight, bias = next(parameters), next(parameters)
    assert next(parameters, None) is None
    return functional.linear(x.reshape(len(x), -1), weight, bias)

"""Layers, initializations and checks that several networks share."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cface_basicsr.errors import UserError


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


def shuffled_double(num_feat: int, *activation: nn.Module) -> nn.Sequential:
    """A convolution and a pixel shuffle: (B, num_feat, h, w) to (B, num_feat, 2 h, 2 w)."""
    return nn.Sequential(nn.Conv2d(num_feat, 4 * num_feat, 3, padding=1), nn.PixelShuffle(2), *activation)


class ConvToFew(nn.Conv2d):
    """nn.Conv2d with a large odd square kernel and zeros around, which keep the size, for few channels of output.

    On a CPU each row of the kernel is a channel of its own, whose results are shifted and added: as many operations, in
    a third of the time, since a CPU computes 16 channels at a time. It differs from the plain convolution by rounding.

    Args:
        inputs, outputs: channels.
        kernel: its side.
        bias: whether it has one.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w)."""
        if not on_plain_cpu(x):
            return super().forward(x)
        kernel, reach = self.weight.shape[-1], self.padding[0]
        rows = self.weight.flip(2).permute(0, 2, 1, 3).flatten(0, 1)[:, :, None]  # (outputs kernel, inputs, 1, kernel)
        parts = functional.conv2d(x.contiguous(memory_format=torch.channels_last), rows, padding=(0, reach))
        summed = functional.fold(parts.flatten(2), x.shape[-2:], (kernel, 1), padding=(reach, 0))
        return summed if self.bias is None else summed + self.bias[:, None, None]


class LeanPReLU(nn.PReLU):
    """nn.PReLU, whose gradients take a fifth of the time on a CPU: torch's own are not vectorized there.

    The values are the same, bit for bit, and so is the gradient of x; that of the slope is summed in another order.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and on_plain_cpu(x):
            return _LeanPReLU.apply(x, self.weight)
        return super().forward(x)


class _LeanPReLU(torch.autograd.Function):
    """See LeanPReLU; it has no second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return torch.prelu(x, slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, slope = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(given, x, 0)  # where x is above 0
        others = given - passed
        found = torch.addcmul(passed, others, slope.view(-1, *[1] * (x.ndim - 2)))
        if not ctx.needs_input_grad[1]:
            return found, None
        summed = (others * x).sum([each for each in range(x.ndim) if each != 1 or len(slope) == 1])
        return found, summed.view_as(slope)


def on_plain_cpu(x: Tensor) -> bool:
    """Whether a tensor is computed with by a CPU's own kernels at once: no graph is made for export or a compiler, and
    no precision is lowered."""
    return x.device.type == 'cpu' and not (torch.jit.is_tracing() or torch.compiler.is_compiling()
                                           or torch.compiler.is_exporting() or torch.is_autocast_enabled('cpu'))


def projection(kind: type[nn.Module], num_feat: int, scale: int, slope: float = 0.25) -> nn.Sequential:
    """DBPN's and SRFBN's projection up (a transposed convolution) or down (a convolution), and a PReLU.

    (B, num_feat, h, w) to (B, num_feat, scale h, scale w), or to (…, h / scale, w / scale). The kernel is such that
    sizes fit: 6, 8, 12 at x2, x4, x8.
    """
    return nn.Sequential(kind(num_feat, num_feat, scale + 4, scale, 2), nn.PReLU(init=slope))


def initialize(network: nn.Module, fill: Callable[[Tensor], object] = nn.init.kaiming_normal_) -> None:
    """Initialize the convolutions and transposed convolutions of a network, biases at zero.

    Args:
        fill: draws a weight in place; usually He initialization (fan in, before a ReLU).
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            fill(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of the DIV2K training images, which the code of EDSR subtracts, and after it that of RDN and SRFBN."""


class PixelRange(nn.Module):
    """A value v outside is img_range (v - mean) inside. Nothing here is learned or saved.

    Args:
        img_range: the value inside of 1 outside.
        mean: one value for all channels, or one per channel, in [0, 1].

    Shape: (B, C, h, w) to the same, either way.
    """

    def __init__(self, img_range: float, mean: Sequence[float]) -> None:
        super().__init__()
        self.img_range = img_range
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def inside(self, x: Tensor) -> Tensor:
        return self.img_range * (x - self.mean)

    def outside(self, x: Tensor) -> Tensor:
        return x / self.img_range + self.mean


def check_rgb_mean(rgb_mean: Sequence[float], num_in_ch: int, num_out_ch: int, who: str) -> None:
    """Check that a mean can be subtracted from the input and added to the output.

    Raises:
        UserError: rgb_mean does not have one value for each channel in, and for each channel out.
    """
    if not len(rgb_mean) == num_in_ch == num_out_ch:
        raise UserError(f'{who}: rgb_mean: expected one value per channel in and out (num_in_ch {num_in_ch}, '
                        f'num_out_ch {num_out_ch}), got {len(rgb_mean)}. Give as many values as channels.')


def check_size(x: Tensor, height: int, width: int, who: str) -> None:
    """Check that images have the size that a network was built for.

    Raises:
        UserError: x is not (B, C, height, width); names both sizes as height x width.
    """
    if x.ndim != 4 or tuple(x.shape[-2:]) != (height, width):
        came = 'x'.join(map(str, x.shape[-2:])) if x.ndim == 4 else f'a tensor of shape {tuple(x.shape)}'
        raise UserError(f'{who} was built for {height}x{width} images (height x width), got {came}. '
                        'Resize the images, or build the network with that input_size.')


def height_and_width(input_size: Sequence[int], who: str) -> tuple[int, int]:
    """`input_size` of an option file as (height, width).

    Raises:
        UserError: it is not two whole numbers from 16 up.
    """
    pair = tuple(input_size) if isinstance(input_size, Sequence) and not isinstance(input_size, str) else ()
    if len(pair) != 2 or not all(type(side) is int and side >= 16 for side in pair):
        raise UserError(f'{who}: input_size: expected [height, width], both from 16 up, got {input_size!r}.')
    return pair


def doublings(scale: int, who: str) -> int:
    """The number of times that a network of this scale doubles its images: 1, 2 or 3.

    >>> doublings(8, 'VDSR')
    3

    Raises:
        UserError: the scale is not 2, 4 or 8.
    """
    if type(scale) is not int or scale not in (2, 4, 8):
        raise UserError(f'{who}: scale: expected 2, 4 or 8, got {scale!r}.')
    return scale.bit_length() - 1

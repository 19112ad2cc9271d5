"""A network in half precision behind the interface of one in single precision."""

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError


class HalfPrecision(nn.Module):
    """A network that computes in float16: half of the memory, and faster on a GPU.

    Shape: (B, 3, h, w) float32 to (B, 3, s h, s w) float32.

    Raises:
        UserError: a value leaves float16's range, 65504.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, x: Tensor) -> Tensor:
        result = self.network(x.half()).float()
        if not torch.isfinite(result).all():
            raise UserError(f'{type(self.network).__name__} leaves the range of float16. Leave --half out.')
        return result

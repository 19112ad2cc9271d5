"""Training steps on a device that is not there: fake tensors have shapes, types and a device, but no numbers.

A CPU tensor that a step makes and mixes with the device's raises FakeTensorDeviceMismatchError, and whatever needs the
numbers of a tensor raises DataDependentOutputException. `.item()` and `.tolist()` are answered with ones and counted:
each makes the host wait for a real device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from cface_basicsr.ops import resize


class Synchronizations(TorchDispatchMode):
    """Answers every reading of a number of the device with one, and counts: `count`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not torch.ops.aten._local_scalar_dense.default:
            return function(*args, **(kwargs or {}))
        return self.answer(args[0], ())

    def answer(self, tensor: Tensor, shape: tuple[int, ...]) -> Any:
        """Ones, as `item` and `tolist` give them: one copy to the host, however many numbers there are."""
        self.count += tensor.device.type != 'cpu'
        kind = bool if tensor.dtype == torch.bool else float if tensor.is_floating_point() else int
        return np.ones(shape, dtype=kind).tolist()


@contextmanager
def fake_device() -> Iterator[None]:
    """Inside the block all new tensors are fake; caches of tensors are emptied before and after it."""
    resize.on_device.cache_clear()
    try:
        with FakeTensorMode():
            yield
    finally:
        resize.on_device.cache_clear()


@contextmanager
def synchronizations() -> Iterator[Synchronizations]:
    """Counts the synchronizations of a block."""
    before = FakeTensor.tolist
    with Synchronizations() as counted:
        FakeTensor.tolist = lambda tensor: counted.answer(tensor, tensor.shape)
        try:
            yield counted
        finally:
            FakeTensor.tolist = before


def move(model: Any, device: str) -> None:
    """Put a built model on a device that is not there: networks, losses, and what the optimizers hold.

    Call it, and all that follows, inside `fake_device`.
    """
    moved: dict[int, Tensor] = {}
    for network in (each for each in vars(model).values() if isinstance(each, nn.Module)):
        move_network(network, device, moved)
    for optimizer in model.optimizers:
        for group in optimizer.param_groups:
            group['params'] = [moved[id(each)] for each in group['params']]
    model.device = torch.device(device)


def move_network(network: nn.Module, device: str, moved: dict[int, Tensor] | None = None) -> nn.Module:
    """A network with fake parameters and buffers; `moved` gets the new one for the id of each old one."""
    moved = {} if moved is None else moved
    for module in network.modules():
        for name, value in module._parameters.items():
            if value is not None and not isinstance(value, FakeTensor):
                module._parameters[name] = moved[id(value)] = nn.Parameter(like(value, device), value.requires_grad)
        for name, value in module._buffers.items():
            if value is not None and not isinstance(value, FakeTensor):
                module._buffers[name] = like(value, device)
        for name, value in vars(module).items():
            if isinstance(value, Tensor):  # `to` leaves it behind; BasicSR's EDSR sends its mean along in each step
                setattr(module, name, like(value, 'cpu'))
    return network


def like(value: Any, device: str) -> Any:
    """A fake tensor of a tensor's shape and type; anything else as it is."""
    return torch.empty(value.shape, dtype=value.dtype, device=device) if isinstance(value, Tensor) else value

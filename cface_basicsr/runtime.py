"""The process and the machine it runs on: memory, cores, devices, a network's mode, and who is told of progress.

Torch is imported only by the functions that need it, so that a command can ask for cores without it.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from cface_basicsr.errors import UserError

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_LARGEST_INT, _PAD = 2 ** 31 - 1, 2 ** 26


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to map no blocks and to keep up to 2 GB of freed memory at the heap's end.

    glibc maps every block above 32 MB afresh and unmaps it when it is freed, so that work on large tensors on a CPU has
    its pages cleared by the kernel over and over.

    Holds for this process and those forked from it. Numbers do not change; the process stays at its peak size.

    Returns:
        False where the C library is another one; nothing is changed then.
    """
    if platform.libc_ver()[0] != 'glibc':
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST_INT), (_M_TOP_PAD, _PAD))
    return all([mallopt(name, value) == 1 for name, value in settings])


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def pick_device(wanted: str | None = None) -> 'torch.device':
    """The device of this name; None: the GPU where there is one, else the CPU.

    Raises:
        UserError: it cannot be used here.
    """
    import torch
    if wanted is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        return torch.zeros(1, device=wanted).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device '{wanted}' cannot be used here: {str(error).splitlines()[0][:100]}. "
                        'Try --device cpu.') from error


def describe_device(device: 'torch.device | None' = None) -> str:
    """A device in words, for a table; None: the one that `pick_device` picks."""
    import torch
    device = device or pick_device()
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else f'CPU, {torch.get_num_threads()} threads'


@contextmanager
def eval_mode(network: Any) -> Iterator[None]:
    """Evaluation mode for a module, and back to what it was; another callable is left as it is."""
    was_training = getattr(network, 'training', False)
    if was_training:
        network.eval()
    try:
        yield
    finally:
        if was_training:
            network.train()


class Progress(Protocol):
    """Who is told how far long work is; `cli.show.ShowSteps` draws it."""

    def start(self, name: str, total: int) -> None:
        """A step begins; `total` iterations or images."""

    def advance(self, done: int, text: str = '') -> None:
        """This much of the step is done."""

    def end(self, name: str, note: str) -> None:
        """A step is done, or was already."""

"""The process and the machine it runs on: memory, cores, devices, a network's mode, and reports of progress.

Torch is imported only by the functions that need it, so that a command can count cores without it.
"""

import ctypes
import importlib.metadata
import math
import os
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cface_basicsr.errors import UserError
from cface_basicsr.version import __version__

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_PR_SET_PDEATHSIG = 1  # sys/prctl.h
PARENT = 'CFACE_PARENT'
"""The variable by which a rank knows the process that has started it."""
AT_ONCE = 3.0
"""Seconds within which a second signal is part of the first: a launcher passes on what reaches others as well."""
_LARGEST_INT, _PAD = 2 ** 31 - 1, 2 ** 26
_SPINS = '30000'
"""Turns of GNU's OpenMP before a waiting thread sleeps: a tenth of its own number. See docs/performance.md."""
_CGROUPS = Path('/sys/fs/cgroup')


def sleep_while_waiting() -> None:
    """Have threads that wait for one another sleep soon, so that they do not keep other programs from the cores.

    It must come before torch is imported, and holds for all processes that are started. What the environment says of it
    already stays.
    """
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ.setdefault('GOMP_SPINCOUNT', _SPINS)


def keep_freed_memory() -> bool:
    """Tell glibc's malloc never to map blocks and to keep up to 2 GB of freed memory at the end of the heap.

    glibc maps every block above 32 MB afresh and unmaps it when it is freed, so for work on large tensors on a CPU the
    kernel clears the same pages over and over.

    This holds for the process and those forked from it. No number changes; the process stays at its peak size.

    Returns:
        False if the C library is not glibc; then nothing is changed.
    """
    if platform.libc_ver()[0] != 'glibc':
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST_INT), (_M_TOP_PAD, _PAD))
    return all([mallopt(name, value) == 1 for name, value in settings])


def end_with_parent() -> None:
    """End this process as soon as the one that started it does: killed, that could not end what it started."""
    import multiprocessing
    import threading
    from multiprocessing.connection import wait
    parent = multiprocessing.parent_process()
    if parent is not None:
        return threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    if platform.system() == 'Linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.environ.get(PARENT) not in (None, str(os.getppid())):  # it has ended already
        os._exit(1)
    return None


def end_at_once_by_ctrl_c() -> None:
    """Have Ctrl-C end this process without a traceback, as SIGTERM does, unless it is ignored here."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_worker() -> None:
    """What a worker process begins with: OpenCV has one thread, Ctrl-C is left to the parent, whose end is its own."""
    import cv2
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole group
    end_with_parent()


def installed_version(package: str) -> str | None:
    """The version of an installed package; None without it. Imports nothing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def stack_versions() -> dict[str, str | None]:
    """What numbers may depend on, name -> version; None where it is not installed. Imports nothing."""
    opencv = map(installed_version, ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python',
                                     'opencv-contrib-python-headless'))  # one library under four names
    return {'cface-basicsr': __version__, 'python': platform.python_version(),
            **{name: installed_version(name) for name in ('torch', 'torchvision', 'basicsr', 'numpy')},
            'opencv': next(filter(None, opencv), None)}


def cores() -> int:
    """The number of CPU cores that this process may use: what its affinity and the quota of its cgroup leave.

    Containers (docker --cpus=2) and batch systems limit a process in these ways; the machine has more cores than that.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min([bound, *(math.ceil(quota) for quota in _quotas(Path('/proc/self/cgroup'), _CGROUPS))]))


def _quotas(membership: Path, mounted: Path) -> Iterator[float]:
    """The CPU quotas, in cores, of the cgroups of a process and of those above them, in both versions of cgroups."""
    for line in membership.read_text().splitlines() if membership.is_file() else ():
        _, controllers, place = line.split(':', 2)
        if controllers and 'cpu' not in controllers.split(','):
            continue
        folder = mounted / controllers / place.lstrip('/')
        for each in (folder, *folder.parents):
            yield from _quota(each)
            if each == mounted:
                break


def _quota(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        if (folder / 'cpu.max').is_file():
            quota, period = (folder / 'cpu.max').read_text().split()  # 'max 100000': no quota
        else:
            quota, period = ((folder / f'cpu.cfs_{name}_us').read_text() for name in ('quota', 'period'))
        if int(quota) > 0:
            yield int(quota) / int(period)


def start_computing() -> None:
    """What a command does before it computes: freed memory is kept, and torch takes the cores that are left to it."""
    import torch
    keep_freed_memory()
    torch.set_num_threads(min(cores(), torch.get_num_threads()))  # OMP_NUM_THREADS may ask for fewer


def pick_device(wanted: str | None = None) -> 'torch.device':
    """The device of this name; None: the GPU if there is one, else the CPU.

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
    """A device in words, for tables; None: the one that `pick_device` picks."""
    import torch
    device = device or pick_device()
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else f'CPU, {torch.get_num_threads()} threads'


@contextmanager
def eval_mode(network: Any) -> Iterator[None]:
    """Eval mode for a module during the block, then its former mode again; other callables are left as they are."""
    was_training = getattr(network, 'training', False)
    if was_training:
        network.eval()
    try:
        yield
    finally:
        if was_training:
            network.train()


def describe_seconds(seconds: float) -> str:
    """A duration for a person who waits.

    >>> describe_seconds(50), describe_seconds(600), describe_seconds(7200)
    ('50 s', '10 min', '2.0 h')
    """
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


class Progress(Protocol):
    """What long work reports its progress to; `cli.show.ShowSteps` draws it."""

    def start(self, name: str, total: int) -> None:
        """A step of `total` iterations or images begins."""

    def advance(self, done: int, text: object = '') -> None:
        """`done` iterations or images of the step are finished; a terminal shows what str() makes of `text`."""

    def end(self, name: str, note: str) -> None:
        """A step is finished, now or by an earlier run."""

"""Keep the memory that large tensors leave behind, instead of handing it back and asking for it again each step.

glibc maps every block above 32 MB afresh and unmaps it when it is freed, so a training on a CPU has its pages cleared
by the kernel over and over.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_LARGEST_INT, _PAD = 2 ** 31 - 1, 2 ** 26


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to map no blocks and to keep up to 2 GB of freed memory at the heap's end.

    Holds for this process and those forked from it. Numbers do not change; the process stays at its peak size.

    Returns:
        False where the C library is another one; nothing is changed then.
    """
    if platform.libc_ver()[0] != 'glibc':
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST_INT), (_M_TOP_PAD, _PAD))
    return all([mallopt(name, value) == 1 for name, value in settings])

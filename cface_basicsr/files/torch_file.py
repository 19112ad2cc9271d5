"""The one reader of files that `torch.save` wrote: tensors and plain values, never an object that could run code."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from cface_basicsr.errors import UserError, check_file

_SAVE = " Where it was made, save the weights by themselves: torch.save({{'params': network.state_dict()}}, FILE)."
_NOT_READ = (
    (r'GLOBAL ([^\s,]+)', 'holds {}, so it is not read: all but tensors and plain values could run code.' + _SAVE),
    (r'(TorchScript)', 'is a {} program, not weights.' + _SAVE),
    (r'Unsupported operand 14[0-9]',
     'was written with pickle protocol 4 or newer, which torch does not read safely.' + _SAVE),
    (r"can't allocate memory", 'does not fit into the memory of this machine.'))
"""What torch says of a file that it refuses, and what we say."""


def read_torch_file(path: str | Path, expected: str, kind: str = 'weights file', *, mmap: bool = False) -> Any:
    """The content of a file, tensors on the CPU; nothing in it is run.

    Args:
        expected: a sentence for the message about a missing file.
        kind: what a message calls the file.
        mmap: leave the tensors on the disk until they are used.

    Raises:
        UserError: the file is missing, cut off or damaged, or holds more than tensors and plain values: it names what.
        OSError: the system refuses to read it.
    """
    path = check_file(path, expected, kind)
    try:
        _check_records(path)
        # not torch.load: while BasicSR reads a training state, compat puts this very function there
        return torch.serialization.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    except Exception as error:  # torch raises half a dozen kinds
        if isinstance(error, OSError) and error.filename:
            raise  # the system does not let us read it
        raise UserError(f"{kind} '{path}' {_why(error)}") from error


def _check_records(path: Path) -> None:
    """Compare every record of the zip with its CRC-32, which torch writes and does not read."""
    if not zipfile.is_zipfile(path):  # cut off, or written by torch before 1.6: nothing to compare with
        return
    with zipfile.ZipFile(path) as file:
        if record := file.testzip():
            raise _Damaged(record)


class _Damaged(Exception):
    """A record does not have its checksum any more."""


def _why(error: Exception) -> str:
    if isinstance(error, (_Damaged, zipfile.BadZipFile)):
        return f"is damaged ('{error}' is not as it was written). Take another copy of it."
    for pattern, text in _NOT_READ:
        if found := re.search(pattern, str(error)):
            return text.format(*found.groups())
    return f'cannot be read ({type(error).__name__}): it is cut off or not a PyTorch file. Copy it again.'

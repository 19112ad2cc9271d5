"""Byte ranges of a large file: nothing is kept in memory, and any number of processes can read at the same time."""

import os
from pathlib import Path
from typing import Any, BinaryIO

from cface_basicsr.errors import UserError


class ByteFile:
    """A file that is read at given offsets. Cheap to pickle; each process opens it at its first read.

    Each read names its offset (POSIX pread), so processes and threads that share an open file cannot disturb one
    another.

    Attributes:
        path: of the file.
        size: in bytes, when this object was made.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            UserError: the file is missing.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"file '{path}' is missing.")
        self.size = self.path.stat().st_size
        self._opened: BinaryIO | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_opened': None}

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from offset `start`; fewer if the file ends first.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            if self._opened is None:
                self._opened = open(self.path, 'rb', buffering=0)
            return _read_fully(self._opened.fileno(), start, min(length, max(self.size - start, 0)))
        except OSError as error:
            raise UserError(f"'{self.path}' cannot be read: {error.strerror}.") from error


def truncated(path: Path, what: str, length: int, there: int) -> UserError:
    """The error for a file that ends before `what` is complete: it needs `length` bytes and finds only `there`."""
    return UserError(f"'{path}' is truncated: {what} needs {length} bytes, but only {there} are there.\n"
                     'Copy the file again.')


def _read_fully(handle: int, start: int, length: int) -> bytes:
    """Usually one read is enough; the kernel returns at most 2 GB at a time, and less on some network drives."""
    content = os.pread(handle, length, start)
    while len(content) < length and (more := os.pread(handle, length - len(content), start + len(content))):
        content += more
    return content

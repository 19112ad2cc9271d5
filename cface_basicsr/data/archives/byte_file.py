"""Bytes of a large file by place: nothing is held in memory, and any number of processes read it."""

import os
from pathlib import Path
from typing import Any, BinaryIO

from cface_basicsr.errors import UserError


class ByteFile:
    """A file that is read by place. Cheap to pickle; opened at the first read, anew in each process.

    Reads carry their place with them (POSIX pread), so processes and threads that share an open file cannot disturb
    one another.

    Attributes:
        path: of the file.
        size: its bytes when it was named here.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            UserError: no such file.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"file '{path}' is missing.")
        self.size = self.path.stat().st_size
        self._opened: BinaryIO | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_opened': None}

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from byte `start`; fewer where the file ends before.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            if self._opened is None:
                self._opened = open(self.path, 'rb', buffering=0)
            return _read_fully(self._opened.fileno(), start, min(length, max(self.size - start, 0)))
        except OSError as error:
            raise UserError(f"'{self.path}' cannot be read: {error.strerror}.") from error


def _read_fully(handle: int, start: int, length: int) -> bytes:
    """One read as a rule; the kernel gives at most 2 GB, and less over some networks."""
    content = os.pread(handle, length, start)
    while len(content) < length and (more := os.pread(handle, length - len(content), start + len(content))):
        content += more
    return content

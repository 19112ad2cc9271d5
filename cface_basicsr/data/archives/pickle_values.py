"""What `pickle_machine.py` finds in a pickle; bytes and text stay in the file, and only their place is kept."""

import codecs
import enum
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.archives.byte_file import ByteFile
from cface_basicsr.errors import UserError


class Code(enum.IntEnum):
    """How bytes or text are written in the file: as they are, quoted with escapes, as UTF-8, as raw Unicode escapes."""

    RAW, QUOTED, UTF8, ESCAPED = range(4)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes or text that stay in the file: where, how many bytes there, how written."""

    start: int
    length: int
    code: Code
    is_text: bool = False


@dataclass
class Array:
    """A numpy array; its content stays in the file. Empty until the file has said what it holds."""

    dtype: np.dtype | None = None
    shape: tuple[int, ...] = ()
    content: Stored | None = None

    def check(self, file: ByteFile) -> None:
        """See that the content is as long as the shape says; it is read only where its length shows in no other way.

        Raises:
            UserError: it is not.
        """
        stored = self.content
        length = stored.length if stored.code == Code.RAW else len(stored_bytes(file, stored))
        if length != prod(self.shape) * self.dtype.itemsize:
            raise UserError(f"'{file.path}' is damaged: the array at byte {stored.start} has {length} bytes, expected "
                            f'{prod(self.shape) * self.dtype.itemsize}.')

    def values(self, file: ByteFile) -> NDArray[Any]:
        """The elements.

        Raises:
            UserError: the content has another length than the shape.
        """
        self.check(file)
        return np.frombuffer(stored_bytes(file, self.content), self.dtype).reshape(self.shape)


def stored_bytes(file: ByteFile, stored: Stored) -> bytes:
    """The bytes themselves; of text, its characters in Latin-1, which is how Python 3 writes bytes for Python 2.

    Raises:
        UserError: they are not written as they should be, or the file has been cut since.
    """
    raw = file.read(stored.start, stored.length)
    if len(raw) < stored.length:
        raise cut_off(file.path, stored.start, stored.length, len(raw))
    try:
        match stored.code:
            case Code.QUOTED:
                return codecs.escape_decode(raw)[0]
            case Code.UTF8:
                return raw.decode('utf-8').encode('latin-1')
            case Code.ESCAPED:
                return raw.decode('raw_unicode_escape').encode('latin-1')
        return raw
    except ValueError as error:
        raise UserError(f"'{file.path}' is damaged: the text at byte {stored.start} cannot be read.") from error


def cut_off(path: Path, place: int, length: int, there: int) -> UserError:
    """The error for a file that ends before bytes that are due."""
    return UserError(f"'{path}' is cut off: {length} bytes are due at byte {place}, there are {there}.\n"
                     'Copy the file again.')

"""What `pickle_machine.py` finds in a pickle; bytes and text stay in the file, and only their offsets are kept."""

import codecs
import enum
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.archives.byte_file import ByteFile, truncated
from cface_basicsr.errors import UserError


class Code(enum.IntEnum):
    """How the file encodes bytes or text: as they are, quoted with escapes, as UTF-8, or as raw Unicode escapes."""

    RAW, QUOTED, UTF8, ESCAPED = range(4)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes or text that stay in the file: their offset, their length in the file in bytes, and their encoding."""

    start: int
    length: int
    code: Code
    is_text: bool = False


@dataclass
class Array:
    """A numpy array whose content stays in the file; empty until the pickle has said what it holds."""

    dtype: np.dtype | None = None
    shape: tuple[int, ...] = ()
    content: Stored | None = None

    def check(self, file: ByteFile) -> None:
        """Check that the content is as long as the shape requires; it is read only if its length is not known.

        Raises:
            UserError: it is not.
        """
        stored = self.content
        length = stored.length if stored.code == Code.RAW else len(stored_bytes(file, stored))
        if length != prod(self.shape) * self.dtype.itemsize:
            raise UserError(f"'{file.path}' is damaged: expected {prod(self.shape) * self.dtype.itemsize} bytes in the "
                            f'array at byte {stored.start}, got {length}.')

    def values(self, file: ByteFile) -> NDArray[Any]:
        """The elements, in the shape of the array.

        Raises:
            UserError: the length of the content does not fit the shape.
        """
        self.check(file)
        return np.frombuffer(stored_bytes(file, self.content), self.dtype).reshape(self.shape)


def stored_bytes(file: ByteFile, stored: Stored) -> bytes:
    """The decoded bytes; text is encoded as Latin-1, because Python 3 writes bytes as such text for Python 2.

    Raises:
        UserError: they cannot be decoded, or the file has been truncated since.
    """
    raw = file.read(stored.start, stored.length)
    if len(raw) < stored.length:
        raise truncated(file.path, f'the value at byte {stored.start}', stored.length, len(raw))
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

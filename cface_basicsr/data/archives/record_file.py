"""MXNet's RecordIO files (.rec), read without MXNet.

A record consists of one or more parts: the magic number 0xced7230a, a word with the part's kind in the upper 3 bits
and its length in the lower 29, the content, and zeros up to a multiple of 4; all little endian. A payload that
contains the magic number at a multiple of 4 is split there into parts (kinds 1, 2 …, 3) and the number itself is left
out; an unsplit record is of kind 0. The payload of an image is MXNet's IRHeader (flag uint32, label float32, id uint64,
id2 uint64), then, if the flag is above 0, that many float32 labels, which replace the one in the header, then the
encoded image. (Sources: dmlc-core's recordio.h and recordio.cc, MXNet's python/mxnet/recordio.py.)
"""

import struct
from pathlib import Path
from typing import NamedTuple

from cface_basicsr.data.archives.byte_file import ByteFile, truncated
from cface_basicsr.errors import UserError

MAGIC = 0xCED7230A
LARGEST_NUMBER = 1 << 24
"""Labels are float32, which represents every whole number up to here."""
_PART = struct.Struct('<II')
_HEADER = struct.Struct('<IfQQ')
_MAGIC_BYTES = struct.pack('<I', MAGIC)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_WHOLE_READ = 16384
"""Bytes of the first read of an image: an aligned face has 5 to 10 KB, and one read is cheaper than two."""
_HEADER_READ = 64
_MOST_LABELS = 4096
"""More than any set has; a larger flag means that the file is damaged."""


class RecordHeader(NamedTuple):
    """What precedes the image in a record.

    Attributes:
        flag: 0, or the number of labels.
        labels: at least one.
        id: the number that the writer gave the record.
        has_image: whether bytes follow.
    """

    flag: int
    labels: tuple[float, ...]
    id: int
    has_image: bool

    def whole_label(self, index: int, path: Path, number: int) -> int:
        """One of the labels as an integer.

        Args:
            index: which of them.
            path: of the file, for the error message.
            number: of the record, for the error message.

        Raises:
            UserError: it is not a whole number from 0 to `LARGEST_NUMBER`.
        """
        label = self.labels[index]
        if not (0 <= label <= LARGEST_NUMBER and label.is_integer()):
            raise UserError(f"'{path}': record {number} has label {label:g}, expected one of 0 to {LARGEST_NUMBER}.")
        return int(label)


class _Part(NamedTuple):
    kind: int
    length: int
    content: bytes
    end: int


class RecordFile(ByteFile):
    """One .rec file; see `ByteFile`."""

    def header(self, offset: int) -> RecordHeader:
        """The header of the record at an offset; the image is not read.

        Raises:
            UserError: the record is missing or truncated.
        """
        content, more = self._payload(offset, _HEADER.size)
        flag, label, number, _ = self._fields(content, offset)
        begin = _HEADER.size + 4 * flag
        if len(content) < begin and more:
            content, more = self._payload(offset, begin)
        return RecordHeader(flag, self._labels(content, offset, flag, label), number, more or len(content) > begin)

    def image(self, offset: int, label: int | None = None) -> bytes:
        """The encoded image of the record at an offset, as it was stored; b'' if the record has none.

        Args:
            offset: in bytes.
            label: what the first label of the record must be, if that is known.

        Raises:
            UserError: the record is missing, truncated, or has another label.
        """
        content, _ = self._payload(offset)
        flag, first, _, _ = self._fields(content, offset)
        labels = self._labels(content, offset, flag, first)
        if label is not None and labels[0] != label:
            raise self._bad(offset, f'has label {labels[0]:g}, expected {label} according to the identity records.')
        return content[_HEADER.size + 4 * flag:]

    def end(self, offset: int) -> int:
        """The offset after the record at an offset.

        Raises:
            UserError: the record is missing or truncated.
        """
        part = self._part(offset, (_WHOLE, _FIRST), _HEADER_READ)
        while part.kind in (_FIRST, _MIDDLE):
            part = self._part(part.end, (_MIDDLE, _LAST), _HEADER_READ)
        return part.end

    def _payload(self, offset: int, enough: int | None = None) -> tuple[bytes, bool]:
        """The joined parts of a record, and whether there is more.

        Args:
            enough: stop after this many bytes.
        """
        joined, position, kinds = bytearray(), offset, (_WHOLE, _FIRST)
        while True:
            wanted = _WHOLE_READ if enough is None else max(_HEADER_READ, enough + _PART.size)
            part = self._part(position, kinds, wanted)
            content = part.content[:part.length]
            if enough is None and len(content) < part.length:
                content += self.read(position + _PART.size + len(content), part.length - len(content))
            joined += content
            whole = part.kind in (_WHOLE, _LAST)
            if whole or (enough is not None and len(joined) >= enough):
                return bytes(joined), not whole or len(content) < part.length
            joined += _MAGIC_BYTES
            position, kinds = part.end, (_MIDDLE, _LAST)

    def _part(self, offset: int, kinds: tuple[int, int], wanted: int) -> _Part:
        """The part at an offset with the beginning of its content, after checks."""
        head = self.read(offset, wanted)
        if len(head) < _PART.size:
            raise self._truncated(offset, _PART.size)
        magic, word = _PART.unpack_from(head)
        kind, length = word >> 29, word & 0x1FFFFFFF
        if magic != MAGIC:
            raise UserError(f"'{self.path}' has no record at byte {offset}: expected the magic number 0x{MAGIC:08x}, "
                            f'got 0x{magic:08x}.\nIt is not RecordIO, or damaged, or its .idx is of another file.')
        if kind not in kinds:
            raise UserError(f"'{self.path}': the part of a record at byte {offset} is of kind {kind}, expected "
                            f'{kinds[0]} or {kinds[1]}.\nThe file is damaged, or its .idx belongs to another file.')
        end = offset + _PART.size + (length + 3) // 4 * 4
        if end > self.size:
            raise self._truncated(offset, end - offset)
        return _Part(kind, length, head[_PART.size:], end)

    def _truncated(self, offset: int, length: int) -> UserError:
        return truncated(self.path, f'the record at byte {offset}', length, max(self.size - offset, 0))

    def _bad(self, offset: int, what: str) -> UserError:
        return UserError(f"'{self.path}': the record at byte {offset} {what}")

    def _fields(self, content: bytes, offset: int) -> tuple[int, float, int, int]:
        if len(content) < _HEADER.size:
            raise self._bad(offset, f'has {len(content)} bytes, expected {_HEADER.size} or more: an image header.')
        fields = _HEADER.unpack_from(content)
        if fields[0] > _MOST_LABELS:
            raise self._bad(offset, f'declares {fields[0]} labels.\nThe file is damaged, or does not hold images.')
        return fields

    def _labels(self, content: bytes, offset: int, flag: int, label: float) -> tuple[float, ...]:
        """The labels after the header, or the one in it."""
        if not flag:
            return (label,)
        if len(content) < _HEADER.size + 4 * flag:
            raise self._bad(offset, f'declares {flag} labels, but has {len(content) - _HEADER.size} bytes.')
        return struct.unpack_from(f'<{flag}f', content, _HEADER.size)

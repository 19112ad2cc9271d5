"""MXNet's RecordIO files (.rec), read without MXNet.

A record is one part or several: magic number 0xced7230a, a word with the part's kind in the upper 3 bits and its
length in the lower 29, the bytes, zeros up to a multiple of 4; all little endian. A payload that holds the magic number
at a multiple of 4 is cut there into parts (kinds 1, 2 …, 3), which come without it; a whole record is of kind 0.
An image record's payload is MXNet's IRHeader (flag uint32, label float32, id uint64, id2 uint64), then, where flag is
above 0, that many float32 labels in place of the one, then the encoded image. (dmlc-core's recordio.h and recordio.cc,
MXNet's python/mxnet/recordio.py.)
"""

import struct
from pathlib import Path
from typing import NamedTuple

from cface_basicsr.data.archives.byte_file import ByteFile
from cface_basicsr.errors import UserError

MAGIC = 0xCED7230A
LARGEST_NUMBER = 1 << 24
"""Labels are float32, which holds every whole number up to here."""
_PART = struct.Struct('<II')
_HEADER = struct.Struct('<IfQQ')
_MAGIC_BYTES = struct.pack('<I', MAGIC)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_WHOLE_READ = 16384
"""Bytes of a first read for an image: an aligned face is 5 to 10 KB, and one read is cheaper than two."""
_HEADER_READ = 64
_MOST_LABELS = 4096
"""More than any set has; a larger flag is damage."""


class RecordHeader(NamedTuple):
    """What stands before the image of a record.

    Attributes:
        flag: 0, or the number of labels.
        labels: at least one.
        id: the writer's number of the record.
        has_image: bytes follow.
    """

    flag: int
    labels: tuple[float, ...]
    id: int
    has_image: bool

    def whole_label(self, place: int, path: Path, number: int) -> int:
        """One of the labels as an integer.

        Args:
            place: which of them.
            path: of the file, and
            number: of the record, for the error.

        Raises:
            UserError: it is no whole number from 0, or larger than float32 can count.
        """
        label = self.labels[place]
        if not (0 <= label <= LARGEST_NUMBER and label.is_integer()):
            raise UserError(f"'{path}': record {number} has label {label:g}, expected a whole number from 0 to "
                            f'{LARGEST_NUMBER}.')
        return int(label)


class _Part(NamedTuple):
    kind: int
    length: int
    content: bytes
    end: int


class RecordFile:
    """One .rec file. Cheap to pickle; each process opens it when it first reads.

    Attributes:
        path: of the file.
        size: its bytes.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            UserError: no such file.
        """
        self._bytes = ByteFile(path)
        self.path, self.size = self._bytes.path, self._bytes.size

    def header(self, offset: int) -> RecordHeader:
        """The header of the record that begins at a byte; the image is not read.

        Raises:
            UserError: there is no record, or it is cut off.
        """
        content, more = self._payload(offset, _HEADER.size)
        flag, label, number, _ = self._fields(content, offset)
        begin = _HEADER.size + 4 * flag
        if len(content) < begin and more:
            content, more = self._payload(offset, begin)
        return RecordHeader(flag, self._labels(content, offset, flag, label), number, more or len(content) > begin)

    def image(self, offset: int, label: int | None = None) -> bytes:
        """The encoded image of the record that begins at a byte, as it was stored; b'' where it holds none.

        Args:
            label: what the record's first label must be, if that is known.

        Raises:
            UserError: there is no record, it is cut off, or has another label.
        """
        content, _ = self._payload(offset)
        flag, first, _, _ = self._fields(content, offset)
        labels = self._labels(content, offset, flag, first)
        if label is not None and labels[0] != label:
            raise UserError(f"'{self.path}': the record at byte {offset} has label {labels[0]:g}, expected {label}, as "
                            'the identity records list it.')
        return content[_HEADER.size + 4 * flag:]

    def end(self, offset: int) -> int:
        """The byte behind the record that begins at a byte.

        Raises:
            UserError: there is no record, or it is cut off.
        """
        part = self._part(offset, (_WHOLE, _FIRST), _HEADER_READ)
        while part.kind in (_FIRST, _MIDDLE):
            part = self._part(part.end, (_MIDDLE, _LAST), _HEADER_READ)
        return part.end

    def _payload(self, offset: int, enough: int | None = None) -> tuple[bytes, bool]:
        """The parts of a record joined, and whether there is more.

        Args:
            enough: stop as soon as that many bytes are there.
        """
        joined, position, kinds = bytearray(), offset, (_WHOLE, _FIRST)
        while True:
            wanted = _WHOLE_READ if enough is None else max(_HEADER_READ, enough + _PART.size)
            part = self._part(position, kinds, wanted)
            content = part.content[:part.length]
            if enough is None and len(content) < part.length:
                content += self._bytes.read(position + _PART.size + len(content), part.length - len(content))
            joined += content
            whole = part.kind in (_WHOLE, _LAST)
            if whole or (enough is not None and len(joined) >= enough):
                return bytes(joined), not whole or len(content) < part.length
            joined += _MAGIC_BYTES
            position, kinds = part.end, (_MIDDLE, _LAST)

    def _part(self, offset: int, kinds: tuple[int, int], wanted: int) -> _Part:
        """The part at a byte with the first of its content, after checks."""
        head = self._bytes.read(offset, wanted)
        if len(head) < _PART.size:
            raise self._cut_off(offset, _PART.size)
        magic, word = _PART.unpack_from(head)
        kind, length = word >> 29, word & 0x1FFFFFFF
        if magic != MAGIC:
            raise UserError(f"'{self.path}' has no record at byte {offset}: expected the magic number 0x{MAGIC:08x}, "
                            f'came 0x{magic:08x}.\nIt is no RecordIO file, is damaged, or its .idx belongs to another.')
        if kind not in kinds:
            raise UserError(f"'{self.path}': the part of a record at byte {offset} is of kind {kind}, expected "
                            f'{kinds[0]} or {kinds[1]}.\nThe file is damaged, or its .idx belongs to another.')
        end = offset + _PART.size + (length + 3) // 4 * 4
        if end > self.size:
            raise self._cut_off(offset, end - offset)
        return _Part(kind, length, head[_PART.size:], end)

    def _cut_off(self, offset: int, length: int) -> UserError:
        return UserError(f"'{self.path}' is cut off: the record at byte {offset} needs {length} bytes, there are "
                         f'{max(self.size - offset, 0)}.\nCopy the file again.')

    def _fields(self, content: bytes, offset: int) -> tuple[int, float, int, int]:
        if len(content) < _HEADER.size:
            raise UserError(f"'{self.path}': the record at byte {offset} has {len(content)} bytes, expected at least "
                            f'the {_HEADER.size} of an image header.')
        fields = _HEADER.unpack_from(content)
        if fields[0] > _MOST_LABELS:
            raise UserError(f"'{self.path}': the record at byte {offset} announces {fields[0]} labels.\n"
                            'The file is damaged, or holds something else than images.')
        return fields

    def _labels(self, content: bytes, offset: int, flag: int, label: float) -> tuple[float, ...]:
        """The labels behind the header, or the one in it."""
        if not flag:
            return (label,)
        if len(content) < _HEADER.size + 4 * flag:
            raise UserError(f"'{self.path}': the record at byte {offset} announces {flag} labels, and has "
                            f'{len(content) - _HEADER.size} bytes.')
        return struct.unpack_from(f'<{flag}f', content, _HEADER.size)

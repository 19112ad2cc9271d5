"""The keys of a store as a list that stays on the disk: meta_info.txt is mapped into memory and shared by processes.

A Python string takes 60 bytes and more, in every process. Here an image takes four or eight: where its line begins.
"""

import hashlib
import io
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np

_ROWS_AT_ONCE = 1 << 16
_BYTES_AT_ONCE = 1 << 18
_LINE = re.compile(rb'^([^.\s][^.\r\n]*)[^\n]*\n', re.MULTILINE)
"""A line of meta_info.txt and its key; on millions of lines several times as fast as Python's own methods."""


class KeyList(Sequence[str]):
    """Sorted keys. It equals any sequence of the same keys; a slice is a list.

    Attributes:
        sha256: of the keys, one per line, as hexadecimal digits.
    """

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: meta_info.txt; a key is what comes before a line's first dot.
        """
        self.path = path
        self._content: mmap.mmap | bytes | None = None
        kind = np.uint32 if path.stat().st_size < (1 << 32) - 1 else np.uint64
        with open(path, 'rb') as file:
            in_order, self._starts, self.sha256 = _scan(file, kind)
        if not in_order:  # not written by us: a sorted copy
            self._content = b''.join(key + b'.\n' for key in sorted(_LINE.findall(path.read_bytes() + b'\n')))
            _, self._starts, self.sha256 = _scan(io.BytesIO(self._content), kind)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[row] for row in range(*place.indices(len(self)))]
        row = range(len(self))[place]
        return self._line(int(self._starts[row]), int(self._starts[row + 1]))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield from self[start:start + _ROWS_AT_ONCE]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, KeyList):
            return self.sha256 == other.sha256
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | ({} if isinstance(self._content, bytes) else {'_content': None})

    def _line(self, start: int, end: int) -> str:
        if self._content is None:
            with open(self.path, 'rb') as file:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._content[start:end].partition(b'.')[0].decode('ascii', 'surrogateescape')


class KeyHash:
    """`KeyList.sha256` of keys that come some at a time."""

    def __init__(self) -> None:
        self._digest, self._before = hashlib.sha256(), b''

    def add(self, keys: Sequence[bytes]) -> None:
        """Add the next keys, at least one."""
        self._digest.update(self._before + b'\n'.join(keys))
        self._before = b'\n'

    def hexdigest(self) -> str:
        """Of all keys so far."""
        return self._digest.hexdigest()


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in large pieces that end with a line; the last line gets an end if it has none."""
    rest = b''
    while piece := file.read(_BYTES_AT_ONCE):
        end = piece.rfind(b'\n') + 1
        if end:
            yield rest + piece[:end]
        rest = piece[end:] if end else rest + piece
    if rest:
        yield rest + b'\n'


def line_heads(lines: bytes, mark: bytes) -> tuple[list[bytes], np.ndarray] | None:
    """What comes before the first `mark` (one byte) of each line, and where these marks are.

    It is twice as fast as a regular expression, for lines that all have such a head, with a letter at its front; None
    where one has none.
    """
    content = np.frombuffer(lines, np.uint8)
    ends, marks = np.flatnonzero(content == ord('\n')), np.flatnonzero(content == ord(mark))
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.searchsorted(marks, starts)
    if place[-1] == len(marks):
        return None
    first = marks[place]
    if (first > ends).any() or (first == starts).any() or (content[starts] <= ord(' ')).any():
        return None
    edges = np.zeros(len(content), np.int8)
    edges[starts], edges[first] = 1, -1
    kept = np.cumsum(edges, dtype=np.int8).view(bool)
    kept[ends] = True
    return content[kept].tobytes()[:-1].split(b'\n'), first


def _keys(lines: bytes) -> list[bytes]:
    """The keys of whole lines of meta_info.txt; a line without one is left out."""
    found = None if b'\r' in lines else line_heads(lines, b'.')
    return _LINE.findall(lines) if found is None else found[0]


def _scan(file: BinaryIO, kind: type) -> tuple[bool, np.ndarray, str]:
    """Whether the lines are those of different keys in order; where each begins, and the end; `KeyList.sha256`."""
    last, in_order, starts, digest = b'', True, [np.zeros(1, kind)], KeyHash()
    for lines in whole_lines(file):
        keys, ends = _keys(lines), np.flatnonzero(np.frombuffer(lines, np.uint8) == ord('\n'))
        in_order &= len(keys) == len(ends) and all(map(bytes.__lt__, [last, *keys], keys))
        starts.append(starts[-1][-1] + (ends + 1).astype(kind))
        if keys:
            digest.add(keys)
            last = keys[-1]
    return in_order, np.concatenate(starts), digest.hexdigest()

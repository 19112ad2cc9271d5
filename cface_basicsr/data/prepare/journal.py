"""The progress of a run of `cface prepare`, from which a killed run continues."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from cface_basicsr.data.layouts.source import Source
from cface_basicsr.data.prepare.packing import Packed
from cface_basicsr.files.atomic import naming


class Journal:
    """A file with one line per photograph, in order; opening it drops an incomplete last line that a kill has left."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes() if path.exists() else b''
        whole = content[:content.rfind(b'\n') + 1]
        self._length = whole.count(b'\n')
        self._lines: list[str] = []
        self._file = open(path, 'r+b' if path.exists() else 'w+b')
        self._file.truncate(len(whole))
        self._file.seek(len(whole))

    def __enter__(self) -> 'Journal':
        return self

    def __exit__(self, *error: object) -> None:
        with naming(self._file.name):  # what a full disk has not taken is tried again
            self._file.close()

    def __len__(self) -> int:
        return self._length

    def add(self, source: Source, packed: Packed) -> None:
        """Record the result for one photograph; it stays in memory until `commit`."""
        self._lines.append(json.dumps({'key': source.key, 'pixels': packed.pixels, 'reason': packed.reason}) + '\n')
        self._length += 1

    def commit(self) -> None:
        """Write what was added to the disk. Call it after committing the stores."""
        with naming(self._file.name):
            self._file.write(''.join(self._lines).encode('ascii'))
            self._file.flush()
            os.fsync(self._file.fileno())
        self._lines.clear()

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, str]]:
        """The entries in order, each with 'key', 'pixels' and 'reason'."""
        with open(path, encoding='ascii') as lines:
            for line in lines:
                yield json.loads(line)

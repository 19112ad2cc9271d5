"""From photographs to the encoded HR and LR faces, in several processes, in order, with bounded memory.

The journal of a run says how far it came, so that a killed one continues there.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cface_basicsr.data.images.align import Aligner, face_at, find_detector
from cface_basicsr.data.images.face_crop import Crop, Rejected, both_sides, center_crop, decode_photo, no_crop
from cface_basicsr.data.images.low_resolution import low_resolution, resize_whole
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.data.layouts.source import Photos, Source
from cface_basicsr.data.worker_pool import map_chunks
from cface_basicsr.files.atomic import naming
from cface_basicsr.files.face_store import FORMS, decode_image, encode_image
from cface_basicsr.files.json_file import parse_json

CHUNK = 32
"""Number of photographs that a process takes at a time; they are downscaled as one batch."""


class Packed(NamedTuple):
    """The result for one photograph.

    Attributes:
        images: the HR face and each LR face, encoded; empty if the photograph was rejected.
        pixels: hash of the HR face's pixels; empty if the photograph was rejected.
        reason: why it was rejected; empty if it was not.
    """

    images: tuple[bytes, ...]
    pixels: str
    reason: str


@dataclass(frozen=True)
class Packing:
    """How photographs are packed; it is sent to the processes.

    Attributes:
        photos: gives the bytes of a source.
        settings: what `cface prepare` was asked for.
    """

    photos: Photos
    settings: PrepareSettings

    def faces(self, source: Source) -> list[np.ndarray]:
        """The HR face of a photograph, uint8 (height, width, 3) RGB; with crop 'resize' followed by each LR face.

        What is small already goes straight to each LR size, not through HR.

        Raises:
            Rejected: the photograph gives no face.
        """
        photo, settings = decode_photo(self.photos.read(source)), self.settings
        if source.points is not None:
            return [face_at(photo, np.reshape(source.points, (-1, 2)), settings.template, settings.size)]
        if settings.crop == 'resize':
            height, width = both_sides(settings.size)
            return [resize_whole(photo, (height // scale, width // scale)) for scale in (1, *settings.scales)]
        return [self._crop(photo)]

    @cached_property
    def _crop(self) -> Crop:
        crop, size = self.settings.crop, self.settings.size
        if crop == 'align':
            return Aligner(find_detector(self.settings.weights), self.settings.template, size)
        return partial({'center': center_crop, 'none': no_crop}[crop], size=size)


def pack_chunk(packing: Packing, sources: Sequence[Source]) -> list[Packed]:
    """Pack some photographs; returns one result for each, in order."""
    faces, reasons = [], []
    for source in sources:
        try:
            faces.append(packing.faces(source))
            reasons.append('')
        except Rejected as rejected:
            reasons.append(str(rejected))
    packed = _encode(faces, packing.settings.scales, packing.settings.store) if faces else iter(())
    return [Packed((), '', reason) if reason else next(packed) for reason in reasons]


def form_of_lr(store: str) -> str:
    """The form of LR faces: that of HR, or PNG where HR loses by it."""
    return store if FORMS[store].exact else 'png'


def _encode(faces: Sequence[list[np.ndarray]], scales: tuple[int, ...], store: str) -> Iterator[Packed]:
    """One `Packed` for each photograph's HR face; LR faces that are not there are made from HR as it will be read."""
    hr, *small = map(np.stack, zip(*faces, strict=True))
    contents = [encode_image(image, store) for image in hr]
    if not FORMS[store].exact:
        hr = np.stack([decode_image(content) for content in contents])
    small = small or [low_resolution(hr, scale) for scale in scales]
    for content, image, *others in zip(contents, hr, *small, strict=True):
        pixels = hashlib.sha256(image.tobytes()).hexdigest()[:16]
        yield Packed((content, *(encode_image(other, form_of_lr(store)) for other in others)), pixels, '')


def pack_all(packing: Packing, sources: Sequence[Source], workers: int) -> Iterator[tuple[Source, Packed]]:
    """Pack photographs; yields each with its result, in order.

    Args:
        packing: how.
        sources: the photographs.
        workers: number of processes; 1: this process does the work.

    Raises:
        UserError: a process was killed (usually for lack of memory).
    """
    for chunk, packed in map_chunks(partial(pack_chunk, packing), sources, CHUNK, workers):
        yield from zip(chunk, packed, strict=True)


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
        with open(path, 'rb') as lines:
            for line in lines:
                yield parse_json(line, f"'{path}'", dict[str, str])

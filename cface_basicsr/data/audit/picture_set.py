"""The pictures of one side of an audit, from a prepared folder or a tree of photographs, and their fingerprints."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from cface_basicsr.data.audit.perceptual_hash import VIEWS, WORDS, perceptual_hashes
from cface_basicsr.data.images.face_crop import Rejected, center_crop, decode_photo
from cface_basicsr.data.layouts.source import Photos, Source, identity_name, list_sources
from cface_basicsr.data.worker_pool import map_in_order
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, decode_image, open_environment
from cface_basicsr.files.manifest import manifest_crop, manifest_settings

_CHUNK = 64
"""Pictures that a process takes at a time."""

_Progress = Callable[[int], None]
"""Called with the number of things done."""


class Reader(Protocol):
    """Gives the pictures of a set. Cheap to pickle: it travels to the working processes."""

    def picture(self, source: Source) -> np.ndarray:
        """uint8 (H, W, 3) RGB.

        Raises:
            Rejected: it cannot be read; with the reason.
        """


@dataclass(frozen=True)
class StoreReader:
    """Faces of an LMDB store."""

    path: Path

    def picture(self, source: Source) -> np.ndarray:
        """The stored face.

        Raises:
            UserError: the store has no such picture: it is damaged.
        """
        with open_environment(self.path).begin(buffers=True) as transaction:
            content = transaction.get(source.key.encode('ascii'))
            try:
                return decode_image(content if content is not None else b'')
            except UserError as error:
                raise UserError(f"LMDB '{self.path}' is damaged, picture '{source.key}': {error}\n"
                                'Make it again with `cface prepare`.') from error


@dataclass(frozen=True)
class PhotoReader:
    """Photographs, whole or their middle."""

    photos: Photos
    middle: tuple[int, int] | int | None = None

    def picture(self, source: Source) -> np.ndarray:
        """The decoded photograph, or its middle pixels."""
        photo = decode_photo(self.photos.read(source))
        return photo if self.middle is None else center_crop(photo, self.middle)


@dataclass
class PictureSet:
    """One side of an audit.

    Attributes:
        folder: as it was named.
        reader: gives the picture of a source.
        sources: sorted by key.
        crop: what the manifest says of the crop ('crop', 'size', 'template'); None: a tree, or no manifest.
        prepared: whether it is a prepared folder.
        has_identities: photographs of one person share an identity; False: identities mean nothing.
        rejected: (path, reason) of what gives no picture.
    """

    folder: Path
    reader: Reader
    sources: list[Source]
    crop: dict[str, Any] | None = None
    prepared: bool = False
    has_identities: bool = True
    rejected: list[tuple[str, str]] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """'<identity>/<image>' of each source."""
        return [source.key for source in self.sources]

    def crop_in_words(self) -> str:
        """Which part of the photographs these are."""
        if not self.prepared:
            middle = self.reader.middle
            return 'whole photographs' if middle is None else f'the middle {_sides(middle)} pixels of photographs'
        if self.crop is None:
            return 'prepared, no manifest'
        words = [self.crop.get('crop'), self.crop.get('template'), _sides(self.crop.get('size'))]
        return f'prepared, crop {" ".join(filter(None, words))}'


def _sides(size: Any) -> str:
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return f'{width}x{height}'


def open_pictures(folder: str | Path) -> PictureSet:
    """A prepared folder (it has hr.lmdb), or a tree <identity>/<image> of photographs.

    Raises:
        UserError: it is neither.
    """
    folder = Path(folder)
    if (folder / 'hr.lmdb').is_dir():
        keys = FaceStore(folder / 'hr.lmdb').keys
        layout = manifest_settings(folder).get('layout')
        return PictureSet(folder, StoreReader(folder / 'hr.lmdb'), [Source(key, key) for key in keys],
                          manifest_crop(folder), prepared=True, has_identities=layout != 'bin')
    parts = [name for name in ('train', 'test') if (folder / name / 'hr.lmdb').is_dir()]
    if parts:
        raise UserError(f"'{folder}' holds the prepared folders {' and '.join(parts)}; name one of them.")
    listing = list_sources(folder)
    return PictureSet(folder, PhotoReader(listing.photos), listing.sources, rejected=list(listing.rejected))


def open_alike(train: str | Path, test: str | Path) -> tuple[PictureSet, PictureSet]:
    """Both sides, cut alike, so that their pictures can be compared.

    Photographs are compared with a prepared folder by the same middle pixels (its crop is `center`), or whole
    (`none`).

    Raises:
        UserError: one cannot be opened; or they are cut in different ways.
    """
    sides = open_pictures(train), open_pictures(test)
    crops = [side.crop for side in sides]
    if None not in crops and crops[0] != crops[1]:
        raise UserError(f"'{train}' is {sides[0].crop_in_words()}; '{test}' is {sides[1].crop_in_words()}.\n"
                        'Pictures that were cut in different ways cannot be compared. Prepare both alike, or compare '
                        'the names alone: --names-only.')
    for tree, other in (sides, sides[::-1]):
        if not tree.prepared and other.prepared and other.crop:
            tree.reader = PhotoReader(tree.reader.photos, _middle_of(tree, other))
    return sides


def _middle_of(tree: PictureSet, prepared: PictureSet) -> tuple[int, int] | int | None:
    kind, size = prepared.crop['crop'], prepared.crop['size']
    if kind not in ('center', 'none'):
        raise UserError(f"'{prepared.folder}' is {prepared.crop_in_words()}; '{tree.folder}' holds photographs.\n"
                        'Prepare both alike, or compare the names alone: --names-only.')
    return None if kind == 'none' else tuple(size) if isinstance(size, list) else size


class Fingerprints(NamedTuple):
    """What two sets of pictures are compared by; row i belongs to `sources[i]`.

    Attributes:
        sources: those that gave a picture.
        marks: SHA-256 of each picture's pixels.
        hashes: (N, len(VIEWS), WORDS) uint64, see `perceptual_hashes`.
        rejected: (path, reason) of the others.
    """

    sources: list[Source]
    marks: list[bytes]
    hashes: np.ndarray
    rejected: list[tuple[str, str]]


def pixels_mark(picture: np.ndarray) -> bytes:
    """SHA-256 of a picture's size and pixels: equal for equal pictures, in whatever file format they lie."""
    return hashlib.sha256(b'%dx%d ' % picture.shape[:2] + picture.tobytes()).digest()


def fingerprints(pictures: PictureSet, *, hashed: bool = True, workers: int = 1,
                 progress: _Progress = lambda done: None) -> Fingerprints:
    """Read every picture once.

    Args:
        hashed: False: marks alone, in a fourth of the time; `hashes` then has no rows.
        workers: processes; no more are started than there is work for.
    """
    chunks = [pictures.sources[start:start + _CHUNK] for start in range(0, len(pictures.sources), _CHUNK)]
    look = partial(_fingerprint_chunk, pictures.reader, hashed)
    found, hashes, done = Fingerprints([], [], _no_hashes(), []), [_no_hashes()], 0
    for chunk, part in zip(chunks, map_in_order(look, chunks, min(workers, len(chunks))), strict=True):
        found.sources.extend(part.sources)
        found.marks.extend(part.marks)
        found.rejected.extend(part.rejected)
        hashes.append(part.hashes)
        done += len(chunk)
        progress(done)
    return found._replace(hashes=np.concatenate(hashes))


def _no_hashes() -> np.ndarray:
    return np.empty((0, len(VIEWS), WORDS), np.uint64)


def _fingerprint_chunk(reader: Reader, hashed: bool, sources: Sequence[Source]) -> Fingerprints:
    good, marks, hashes, rejected = [], [], [], []
    for source in sources:
        try:
            picture = reader.picture(source)
        except Rejected as error:
            rejected.append((source.path, str(error)))
            continue
        good.append(source)
        marks.append(pixels_mark(picture))
        if hashed:
            hashes.append(perceptual_hashes(picture))
    return Fingerprints(good, marks, np.stack(hashes) if hashes else _no_hashes(), rejected)


class Distinct:
    """The different pictures of a set: keys with equal pixels are one.

    Attributes:
        names: identity -> name, where identities are numbers.
        marks: of the different pictures.
        number: mark -> place in `marks`.
        hashes: (P, len(VIEWS), WORDS) of each, if there are any.
    """

    def __init__(self, pictures: PictureSet, prints: Fingerprints, names: Mapping[str, str] | None = None) -> None:
        self.pictures, self.names = pictures, names or {}
        self._sources = prints.sources
        self._rows: dict[bytes, list[int]] = defaultdict(list)
        for row, mark in enumerate(prints.marks):
            self._rows[mark].append(row)
        self.marks = list(self._rows)
        self.number = {mark: number for number, mark in enumerate(self.marks)}
        self._first = [rows[0] for rows in self._rows.values()]
        self.hashes = prints.hashes[self._first] if len(prints.hashes) else prints.hashes

    def keys(self, mark: bytes) -> tuple[str, ...]:
        """The keys of a picture."""
        return tuple(self._sources[row].key for row in self._rows[mark])

    def source(self, number: int) -> Source:
        """Where the different picture of that number lies first."""
        return self._sources[self._first[number]]

    def called(self, key: str) -> str:
        """The name of the person of a key."""
        identity = identity_name(key)
        return self.names.get(identity, identity)

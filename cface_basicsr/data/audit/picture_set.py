"""The pictures of one side of an audit, in a prepared folder or a tree of photographs, and their fingerprints."""

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
from cface_basicsr.data.layouts.folders import list_sources
from cface_basicsr.data.layouts.source import Photos, Source
from cface_basicsr.data.worker_pool import map_chunks
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, open_environment, stored_face
from cface_basicsr.files.image_keys import identity_name
from cface_basicsr.files.manifest import manifest_crop, manifest_settings

_CHUNK = 64
"""Number of pictures that a process takes at a time."""


class Reader(Protocol):
    """Gives the pictures of a set. Cheap to pickle, because it is sent to the worker processes."""

    def picture(self, source: Source) -> np.ndarray:
        """A picture, uint8 (H, W, 3) RGB.

        Raises:
            Rejected: it cannot be read.
        """


@dataclass(frozen=True)
class StoreReader:
    """Faces of an LMDB store."""

    path: Path

    def picture(self, source: Source) -> np.ndarray:
        """The stored face.

        Raises:
            UserError: the store has no such picture, so it is damaged.
        """
        return stored_face(self.path, open_environment(self.path), source.key)


@dataclass(frozen=True)
class PhotoReader:
    """Whole photographs, or their middle pixels."""

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
        folder: as the caller named it.
        reader: gives the picture of a source.
        sources: sorted by key.
        crop: 'crop', 'size' and 'template' from the manifest; None for a tree, or without a manifest.
        prepared: whether it is a prepared folder.
        has_identities: photographs of the same person share an identity; False: identities mean nothing.
        rejected: (path, reason) of what cannot be a picture.
        names: identity -> name, if identities are numbers.
    """

    folder: Path
    reader: Reader
    sources: list[Source]
    crop: dict[str, Any] | None = None
    prepared: bool = False
    has_identities: bool = True
    rejected: list[tuple[str, str]] = field(default_factory=list)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def identities(self) -> set[str]:
        """The identities by their original names."""
        return {identity_name(source.key) for source in self.sources}

    def name_of(self, key: str) -> str:
        """The name of the person that a key belongs to."""
        identity = identity_name(key)
        return self.names.get(identity, identity)

    def describe_crop(self) -> str:
        """Which part of the photographs the pictures show."""
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
    """Open a prepared folder (one with hr.lmdb) or a tree <identity>/<image> of photographs.

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
    """Open both sides with the same crop, so that their pictures can be compared.

    Against a prepared folder with the crop `center`, photographs are compared by the same middle pixels; with `none`,
    as a whole.

    Raises:
        UserError: one side cannot be opened, or they were cropped in different ways.
    """
    sides = open_pictures(train), open_pictures(test)
    crops = [side.crop for side in sides]
    if None not in crops and crops[0] != crops[1]:
        raise UserError(f"'{train}' is {sides[0].describe_crop()}; '{test}' is {sides[1].describe_crop()}.\n"
                        'Their pictures were cropped in different ways. Prepare both alike, or use --names-only.')
    for tree, other in (sides, sides[::-1]):
        if not tree.prepared and other.prepared and other.crop:
            tree.reader = PhotoReader(tree.reader.photos, _middle_of(tree, other))
    return sides


def _middle_of(tree: PictureSet, prepared: PictureSet) -> tuple[int, int] | int | None:
    kind, size = prepared.crop['crop'], prepared.crop['size']
    if kind not in ('center', 'none'):
        raise UserError(f"'{prepared.folder}' is {prepared.describe_crop()}; '{tree.folder}' holds photographs.\n"
                        'Prepare both in the same way, or compare only names: --names-only.')
    return None if kind == 'none' else tuple(size) if isinstance(size, list) else size


class Fingerprinted(NamedTuple):
    """What two sets of pictures are compared by; row i belongs to `sources[i]`.

    Attributes:
        sources: those that gave a picture.
        fingerprints: of each picture, see `fingerprint`.
        hashes: (N, len(VIEWS), WORDS) uint64, see `perceptual_hashes`.
        rejected: (path, reason) of the others.
    """

    sources: list[Source]
    fingerprints: list[bytes]
    hashes: np.ndarray
    rejected: list[tuple[str, str]]


def fingerprint(picture: np.ndarray) -> bytes:
    """SHA-256 of a picture's size and pixels, (H, W, 3) uint8: equal for equal pictures, whatever the file format."""
    return hashlib.sha256(b'%dx%d ' % picture.shape[:2] + picture.tobytes()).digest()


def fingerprint_pictures(pictures: PictureSet, *, hashed: bool = True, workers: int = 1,
                         progress: Callable[[int], None] = lambda done: None) -> Fingerprinted:
    """Read every picture once.

    Args:
        pictures: the set.
        hashed: False: only fingerprints, in a quarter of the time; `hashes` then has no rows.
        workers: number of processes.
        progress: called with the number of pictures that are done.
    """
    found, hashes, done = Fingerprinted([], [], _no_hashes(), []), [_no_hashes()], 0
    read = partial(_fingerprint_chunk, pictures.reader, hashed)
    for chunk, part in map_chunks(read, pictures.sources, _CHUNK, workers):
        found.sources.extend(part.sources)
        found.fingerprints.extend(part.fingerprints)
        found.rejected.extend(part.rejected)
        hashes.append(part.hashes)
        done += len(chunk)
        progress(done)
    return found._replace(hashes=np.concatenate(hashes))


def _no_hashes() -> np.ndarray:
    return np.empty((0, len(VIEWS), WORDS), np.uint64)


def _fingerprint_chunk(reader: Reader, hashed: bool, sources: Sequence[Source]) -> Fingerprinted:
    good, fingerprints, hashes, rejected = [], [], [], []
    for source in sources:
        try:
            picture = reader.picture(source)
        except Rejected as error:
            rejected.append((source.path, str(error)))
            continue
        good.append(source)
        fingerprints.append(fingerprint(picture))
        if hashed:
            hashes.append(perceptual_hashes(picture))
    return Fingerprinted(good, fingerprints, np.stack(hashes) if hashes else _no_hashes(), rejected)


class Distinct:
    """The distinct pictures of a set: keys with equal pixels are one picture.

    Attributes:
        pictures: the set.
        fingerprints: of the P distinct pictures.
        number: fingerprint -> its index in `fingerprints`.
        hashes: (P, len(VIEWS), WORDS) of each, if there are any.
    """

    def __init__(self, pictures: PictureSet, found: Fingerprinted) -> None:
        self.pictures, self._sources = pictures, found.sources
        self._rows: dict[bytes, list[int]] = defaultdict(list)
        for row, each in enumerate(found.fingerprints):
            self._rows[each].append(row)
        self.fingerprints = list(self._rows)
        self.number = {each: number for number, each in enumerate(self.fingerprints)}
        self._first = [rows[0] for rows in self._rows.values()]
        self.hashes = found.hashes[self._first] if len(found.hashes) else found.hashes

    def keys(self, fingerprint: bytes) -> tuple[str, ...]:
        """The keys of the picture with a fingerprint."""
        return tuple(self._sources[row].key for row in self._rows[fingerprint])

    def source(self, number: int) -> Source:
        """The first source of the distinct picture with that number."""
        return self._sources[self._first[number]]

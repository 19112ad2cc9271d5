"""Image stores: LMDB folders in BasicSR's own layout (data.mdb, meta_info.txt), images in one of `FORMS`.

A store that exists is complete (`files.store_writer`). BasicSR's own data sets read it too, unless it is raw. Readers
know the form of an image by its first bytes.
"""

import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import lmdb
import numpy as np
from PIL import Image

from cface_basicsr.errors import UserError, check_file, describe_error
from cface_basicsr.files.identities import PREPARE_COMMAND
from cface_basicsr.files.key_list import KeyList
from cface_basicsr.files.store_pages import wrong_page

MAP_SIZE = 1 << 40
"""Bytes of address space, not of disk: the file is sparse and grows with its content."""
RAW = b'CFaceRAW'
"""The first bytes of a raw image; height and width follow, then its planes R, G and B."""
_MOST_PIXELS = 1 << 26
_UNREADABLE = lmdb.Error, UnicodeEncodeError
"""What LMDB raises, and a key that is not ASCII."""
_RAW_HEAD = struct.Struct('<8sII')


class Form(NamedTuple):
    """How images are encoded.

    Attributes:
        ending, level: in meta_info.txt; level is that of zlib, or the quality.
        settings: OpenCV's, as names and values.
        exact: whether an image comes back as it was.
    """

    ending: str
    level: int
    settings: tuple[str | int, ...] = ()
    exact: bool = True


FORMS = {
    # With only the 'up' filter faces become as small as with a choice for each line, and it is 1.4 times as fast both
    # ways. Uncompressed, a filter is nothing but work.
    'png': Form('.png', 1, ('PNG_COMPRESSION', 1, 'PNG_FILTER', 'PNG_FILTER_UP')),
    'png0': Form('.png', 0, ('PNG_COMPRESSION', 0, 'PNG_FILTER', 'PNG_FILTER_NONE')),
    'jpeg': Form('.jpg', 95, ('JPEG_QUALITY', 95, 'JPEG_SAMPLING_FACTOR', 'JPEG_SAMPLING_FACTOR_444'), exact=False),
    'webp': Form('.webp', 101, ('WEBP_QUALITY', 101)),  # above 100 it is lossless
    'raw': Form('.raw', 0),
}
"""PNG at zlib level 1 (BasicSR's default too) and 0, JPEG, lossless WebP, and bare pixels, which only we read."""

_environments: dict[str, tuple[int, lmdb.Environment]] = {}


def open_environment(path: str | Path) -> lmdb.Environment:
    """The read-only LMDB environment of a folder, opened once per process.

    LMDB forbids a process to open a path twice, hence one cache per process, by real path. A forked worker inherits its
    parent's cache: it closes its copy of the environment and opens its own.

    Raises:
        UserError: the folder is missing, is not an LMDB, or is cut off.
    """
    real = os.path.realpath(path)
    owner, environment = _environments.get(real, (None, None))
    if owner != os.getpid():
        if environment is not None:
            environment.close()
        environment = _open_checked(real, path)
        _environments[real] = (os.getpid(), environment)
    return environment


def _open_checked(real: str, named: str | Path) -> lmdb.Environment:
    data_file = Path(real, 'data.mdb')
    if not data_file.is_file():
        raise UserError(f"LMDB '{named}' is missing. Expected a folder with data.mdb and meta_info.txt.\n"
                        f'Make it with {PREPARE_COMMAND}.')
    if wrong := wrong_page(data_file):
        raise _cut_off(named, wrong)
    try:
        environment = lmdb.open(real, readonly=True, lock=False, readahead=False, max_readers=512)
    except lmdb.Error as error:
        if 'already open' in str(error):
            raise UserError(f"LMDB '{named}' is already open in this process, by code that does not share it.\n"
                            'Import cface_basicsr.register first, so that BasicSR shares it too.') from error
        raise _cut_off(named, f'LMDB says: {error}') from error
    return environment


def _cut_off(named: str | Path, why: str) -> UserError:
    return UserError(f"LMDB '{named}' is damaged or cut off: {why}.\n"
                     f'Copy it again, or delete it and make it with {PREPARE_COMMAND}.')


def read_meta_info(path: str | Path) -> KeyList:
    """The keys of a store as BasicSR reads them (each line up to its first dot), sorted.

    Raises:
        UserError: meta_info.txt is missing.
    """
    return KeyList(check_file(Path(path, 'meta_info.txt'), f"'{path}' is not a finished LMDB store.\n"
                                                           f'Make it with {PREPARE_COMMAND}.'))


def encode_image(image: np.ndarray, form: str = 'png') -> bytes:
    """A uint8 HWC RGB image in one of `FORMS`."""
    if form == 'raw':
        return _RAW_HEAD.pack(RAW, *image.shape[:2]) + _split(image).tobytes()
    done, content = cv2.imencode(FORMS[form].ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _settings(form))
    if not done:
        raise ValueError(f'OpenCV cannot encode an image of shape {image.shape} and type {image.dtype}.')
    return content.tobytes()


@cache
def _settings(form: str) -> list[int]:
    """OpenCV's numbers for a form; what an older OpenCV does not know is left out."""
    named = [each if isinstance(each, int) else getattr(cv2, f'IMWRITE_{each}', None) for each in FORMS[form].settings]
    pairs = zip(named[::2], named[1::2], strict=True)
    return [each for pair in pairs if None not in pair for each in pair]


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of a uint8 HWC RGB image."""
    return encode_image(image, 'png')


def decode_image(content: bytes | memoryview) -> np.ndarray:
    """uint8 HWC RGB image of encoded bytes, of any of `FORMS`.

    Raises:
        UserError: the bytes are not an image.
    """
    if content[:len(RAW)] == RAW:
        return cv2.merge(list(_raw_planes(content)))
    height, width = encoded_size(content) if content[:4] != b'RIFF' else (0, 0)  # WebP ends at 16,383 x 16,383
    if height * width > _MOST_PIXELS:
        raise UserError(f'{len(content)} bytes claim to be an image of {width}x{height} pixels, too many for a face.')
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f'{len(content)} bytes are not an image that OpenCV can read.')
    return image


def decode_planes(content: bytes | memoryview) -> np.ndarray:
    """The image as uint8 planes (3, H, W), R, G and B: what a network takes; no more than a copy of a raw image.

    Raises:
        UserError: the bytes are not an image.
    """
    return _raw_planes(content).copy() if content[:len(RAW)] == RAW else _split(decode_image(content))


def _split(image: np.ndarray) -> np.ndarray:
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))  # three to six times as fast as a transposed copy
    return planes


def _raw_planes(raw: bytes | memoryview) -> np.ndarray:
    """The planes (3, H, W) of a raw image, as a view of its bytes."""
    if len(raw) >= _RAW_HEAD.size:
        _, height, width = _RAW_HEAD.unpack_from(raw)
        if len(raw) == _RAW_HEAD.size + 3 * height * width:
            return np.frombuffer(raw, np.uint8, offset=_RAW_HEAD.size).reshape(3, height, width)
    raise UserError(f'{len(raw)} bytes are not a whole raw image.')


def encoded_size(content: bytes) -> tuple[int, int]:
    """(height, width) of an encoded image, from its head.

    Raises:
        UserError: it has none.
    """
    if content[:len(RAW)] == RAW:
        return _raw_planes(content).shape[1:]
    try:
        if content[:4] == b'\x89PNG':  # the first chunk holds width and height; Pillow takes fifty times as long
            return struct.unpack('>II', content[16:24])[::-1]
        if content[:2] == b'\xff\xd8':
            return _jpeg_size(content)
        width, height = Image.open(io.BytesIO(content)).size
    except Exception as error:  # Pillow raises a dozen kinds of errors on damaged files
        raise UserError(f'{len(content)} bytes are not an image that OpenCV can read.') from error
    return height, width


def _jpeg_size(content: bytes | memoryview) -> tuple[int, int]:
    """From the head of the frame: a segment C0 to CF, but for three others."""
    place = 2
    while not 0xC0 <= content[place + 1] <= 0xCF or content[place + 1] in (0xC4, 0xC8, 0xCC):
        if content[place] != 0xFF:
            raise ValueError('no segment')
        place += 1 if content[place + 1] == 0xFF else 2 + struct.unpack('>H', content[place + 2:place + 4])[0]
    return struct.unpack('>HH', content[place + 5:place + 9])


def is_raw(path: str | Path) -> bool:
    """Whether a store holds raw images, which BasicSR's own data sets cannot read."""
    with open_environment(path).begin(buffers=True) as transaction, transaction.cursor() as cursor:
        return cursor.first() and cursor.value()[:len(RAW)] == RAW


def stored_face(path: str | Path, environment: lmdb.Environment, key: str,
                decode: Callable[[memoryview], np.ndarray] = decode_image) -> np.ndarray:
    """The image of a key, from the environment of a folder (`open_environment`), as `decode` gives it.

    Raises:
        UserError: the key is unknown, or its bytes are not an image.
    """
    try:
        with environment.begin(buffers=True) as transaction:
            content = transaction.get(key.encode('ascii'))
            if content is None:
                raise UserError(f"LMDB '{path}' has no image '{key}' ({environment.stat()['entries']} others).")
            try:
                return decode(content)
            except UserError as error:
                raise _cut_off(path, f"image '{key}': {error}") from error
    except _UNREADABLE as error:
        raise _cut_off(path, describe_error(error)) from error


class FaceStore:
    """Read access to one store. Cheap to pickle; each process opens the LMDB at its first read.

    Attributes:
        path: the folder.
        keys: '<identity>/<image>', sorted.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            UserError: the folder is missing or cut off, or its meta_info.txt does not match its data.mdb.
        """
        self.path = Path(path)
        entries = open_environment(self.path).stat()['entries']
        self.keys = read_meta_info(self.path)
        self._real = os.path.realpath(path)
        self._opened: tuple[int, lmdb.Environment] | None = None
        if entries != len(self.keys):
            raise _cut_off(self.path, f'meta_info.txt lists {len(self.keys)} images, data.mdb holds {entries}')

    def __len__(self) -> int:
        return len(self.keys)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_opened': None}

    def image(self, key: str) -> np.ndarray:
        """uint8 HWC RGB image of a key.

        Raises:
            UserError: the key is unknown, or its bytes are not an image.
        """
        return stored_face(self.path, self._environment(), key)

    def planes(self, key: str) -> np.ndarray:
        """The image of a key as uint8 planes (3, H, W); see `decode_planes`.

        Raises:
            UserError: as `image` does.
        """
        return stored_face(self.path, self._environment(), key, decode_planes)

    def content(self, key: str) -> bytes:
        """The encoded image of a key, as it is stored; empty for an unknown key."""
        try:
            with self._environment().begin() as transaction:
                return transaction.get(key.encode('ascii'), b'')
        except _UNREADABLE as error:
            raise _cut_off(self.path, describe_error(error)) from error

    def images(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Iterator[np.ndarray]:
        """All images in the order of the keys; `progress` is called with (images done, images in all).

        Raises:
            UserError: as `image` does.
        """
        for number, key in enumerate(self.keys, 1):
            yield self.image(key)
            progress(number, len(self))

    def _environment(self) -> lmdb.Environment:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), open_environment(self._real))
        return self._opened[1]


def open_faces(folder: str | Path) -> FaceStore:
    """The HR faces of a prepared folder; or the faces of a store, if the folder is one.

    Raises:
        UserError: see `FaceStore`.
    """
    folder = Path(folder)
    return FaceStore(folder if (folder / 'data.mdb').is_file() else folder / 'hr.lmdb')


def add_entry(digest: Any, key: bytes, value: bytes) -> None:
    """Add a key and its value, with their lengths, to a hash: what `store_sha256` is made of."""
    digest.update(len(key).to_bytes(8, 'little') + key + len(value).to_bytes(8, 'little'))
    digest.update(value)


def store_entries(path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    """All (key, encoded image) of a store, sorted by key."""
    try:
        with open_environment(path).begin() as transaction:
            yield from transaction.cursor()
    except lmdb.Error as error:
        raise _cut_off(path, describe_error(error)) from error


def store_sha256(path: str | Path) -> str:
    """SHA-256 of a store's content: keys and values with their lengths, in the order of the keys.

    The bytes of data.mdb also depend on when it was committed; this hash does not.
    """
    digest = hashlib.sha256()
    for key, value in store_entries(path):
        add_entry(digest, key, value)
    return digest.hexdigest()

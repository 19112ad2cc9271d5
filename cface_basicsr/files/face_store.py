"""Image stores: LMDB folders in BasicSR's own layout (data.mdb, lock.mdb, meta_info.txt), PNG inside.

A store that exists is complete (`files.store_writer`). BasicSR's own data sets read it too.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np

from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.identities import PREPARE_COMMAND

MAP_SIZE = 1 << 40
"""Bytes of address space, not of disk: the file is sparse and grows with its content."""
PNG_LEVEL = 1
"""zlib level; BasicSR's default too. meta_info.txt ends each line with it."""
# With only the 'up' filter faces become as small as with a choice for each line, and it is 1.4 times as fast both ways.
_PNG_SETTINGS = [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
if hasattr(cv2, 'IMWRITE_PNG_FILTER_UP'):
    _PNG_SETTINGS += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]

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


def close_environment(path: str | Path) -> None:
    """Close this process's environment of a folder, if it is open; the next reader opens it again."""
    _, environment = _environments.pop(os.path.realpath(path), (None, None))
    if environment is not None:
        environment.close()


def _open_checked(real: str, named: str | Path) -> lmdb.Environment:
    data_file = Path(real, 'data.mdb')
    if not data_file.is_file():
        raise UserError(f"LMDB '{named}' is missing. Expected a folder with data.mdb and meta_info.txt.\n"
                        f'Make it with {PREPARE_COMMAND}.')
    try:
        environment = lmdb.open(real, readonly=True, lock=False, readahead=False, max_readers=512)
    except lmdb.Error as error:
        if 'already open' in str(error):
            raise UserError(f"LMDB '{named}' is already open in this process, by code that does not share it.\n"
                            'Import cface_basicsr.register first, so that BasicSR shares it too.') from error
        raise _cut_off(named, f'LMDB says: {error}') from error
    # A page beyond the end of the file kills the process with SIGBUS when it is read, so the size is checked first.
    wanted = (environment.info()['last_pgno'] + 1) * environment.stat()['psize']
    if data_file.stat().st_size < wanted:
        environment.close()
        raise _cut_off(named, f'data.mdb has {data_file.stat().st_size} bytes, expected {wanted}')
    return environment


def _cut_off(named: str | Path, why: str) -> UserError:
    return UserError(f"LMDB '{named}' is damaged or cut off: {why}.\n"
                     f'Copy it again, or delete it and make it with {PREPARE_COMMAND}.')


def read_meta_info(path: str | Path) -> list[str]:
    """The keys of a store as BasicSR reads them (each line up to its first dot), sorted.

    Raises:
        UserError: meta_info.txt is missing.
    """
    meta_info = check_file(Path(path, 'meta_info.txt'), f"'{path}' is not a finished LMDB store.\n"
                                                        f'Make it with {PREPARE_COMMAND}.')
    with open(meta_info, encoding='ascii', errors='surrogateescape') as lines:
        return sorted(line.split('.')[0] for line in lines if line.strip())


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of a uint8 HWC RGB image."""
    done, content = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _PNG_SETTINGS)
    if not done:
        raise ValueError(f'OpenCV cannot encode an image of shape {image.shape} and type {image.dtype}.')
    return content.tobytes()


def decode_image(content: bytes | memoryview) -> np.ndarray:
    """uint8 HWC RGB image of encoded bytes.

    Raises:
        UserError: the bytes are not an image.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise UserError(f'{len(content)} bytes are not an image that OpenCV can read.')
    return image


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
        with self._environment().begin(buffers=True) as transaction:
            content = transaction.get(key.encode('ascii'))
            if content is None:
                raise UserError(f"LMDB '{self.path}' has no image '{key}' ({len(self)} others).")
            try:
                return decode_image(content)
            except UserError as error:
                raise _cut_off(self.path, f"image '{key}': {error}") from error

    def content(self, key: str) -> bytes:
        """The encoded image of a key, as it is stored; empty for an unknown key."""
        with self._environment().begin() as transaction:
            return transaction.get(key.encode('ascii'), b'')

    def _environment(self) -> lmdb.Environment:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), open_environment(self._real))
        return self._opened[1]


def add_entry(digest: Any, key: bytes, value: bytes) -> None:
    """Add a key and its value, with their lengths, to a hash: what `store_sha256` is made of."""
    digest.update(len(key).to_bytes(8, 'little') + key + len(value).to_bytes(8, 'little'))
    digest.update(value)


def store_entries(path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    """All (key, encoded image) of a store, sorted by key."""
    with open_environment(path).begin() as transaction:
        yield from transaction.cursor()


def store_sha256(path: str | Path) -> str:
    """SHA-256 of a store's content: keys and values with their lengths, in the order of the keys.

    The bytes of data.mdb also depend on when it was committed; this hash does not.
    """
    digest = hashlib.sha256()
    for key, value in store_entries(path):
        add_entry(digest, key, value)
    return digest.hexdigest()

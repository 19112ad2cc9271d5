"""Image stores: LMDB folders in BasicSR's own layout (data.mdb, lock.mdb, meta_info.txt), PNG inside.

A store is written aside, committed in batches, continued after a kill, and renamed to its place when whole; so
whoever finds a store at its place finds all of it. Stock BasicSR datasets read it too.
"""

import csv
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import lmdb
import numpy as np

from cface_basicsr.errors import UserError

MAP_SIZE = 1 << 40
"""Bytes of address space, not of disk: the file is sparse and grows with its content."""
PNG_LEVEL = 1
"""zlib level; BasicSR's default too. meta_info.txt ends each line with it."""
# The 'up' filter alone packs faces as small as a choice for each line, and is written and read 1.4 times as fast.
_PNG_SETTINGS = [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
if hasattr(cv2, 'IMWRITE_PNG_FILTER_UP'):
    _PNG_SETTINGS += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
IDENTITIES_HEADER = ['key', 'label', 'original_name']
PREPARE_COMMAND = '`cface prepare --layout casia SRC --out DIR --scale 2 4 8 --crop center`'

_environments: dict[str, tuple[int, lmdb.Environment]] = {}


def open_environment(path: str | Path) -> lmdb.Environment:
    """The read-only LMDB environment of a folder, opened once a process.

    LMDB forbids one process to open a path twice, hence one cache for the process, by real path. A forked worker
    inherits its parent's cache: it closes its copy of the environment and opens its own.

    Raises:
        UserError: the folder is missing, is no LMDB, or is cut off.
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
    """Close this process's environment of a folder, if it is open; the next reader opens it anew."""
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
        UserError: there is no meta_info.txt.
    """
    meta_info = Path(path, 'meta_info.txt')
    if not meta_info.is_file():
        raise UserError(f"'{meta_info}' is missing: '{path}' is no finished LMDB store.\n"
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
        UserError: the bytes are no image.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise UserError(f'{len(content)} bytes are no image that OpenCV can read.')
    return image


class FaceStore:
    """Read access to one store. Cheap to pickle; each process opens the LMDB when it first reads.

    Attributes:
        path: the folder.
        keys: '<identity>/<image>', sorted.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            UserError: the folder is missing, cut off, or its meta_info.txt does not fit its data.mdb.
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
            UserError: no such key, or its bytes are no image.
        """
        with self._environment().begin(buffers=True) as transaction:
            content = transaction.get(key.encode('ascii'))
            if content is None:
                raise UserError(f"LMDB '{self.path}' has no image '{key}' ({len(self)} others).")
            try:
                return decode_image(content)
            except UserError as error:
                raise _cut_off(self.path, f"image '{key}': {error}") from error

    def _environment(self) -> lmdb.Environment:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), open_environment(self._real))
        return self._opened[1]


class StoreWriter:
    """Writes one store aside, in any number of sittings, and publishes it by a rename.

    Put the images in the order of their keys; a writer opened again over an unfinished store continues it, and
    putting a key that is there already is free of cost and effect.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Args:
            path: the folder of the finished store, ending in '.lmdb'. The unfinished one stands beside it.

        Raises:
            UserError: a finished store is there already, or the name does not end in '.lmdb' (BasicSR insists).
        """
        self.path = Path(path)
        if self.path.suffix != '.lmdb':
            raise UserError(f"store '{path}': BasicSR wants a name that ends with '.lmdb'.")
        if self.path.exists():
            raise UserError(f"store '{path}' exists already. Delete it to make it again.")
        self.aside = unfinished(self.path)
        self.aside.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.aside)
        self._environment = lmdb.open(str(self.aside), map_size=MAP_SIZE)
        self._transaction = self._environment.begin(write=True)

    def __enter__(self) -> 'StoreWriter':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return self._transaction.get(key.encode('ascii')) is not None

    def __len__(self) -> int:
        return self._transaction.stat(self._environment.open_db(txn=self._transaction))['entries']

    def put(self, key: str, png: bytes) -> None:
        """Add the PNG bytes of an image under an ASCII key."""
        self._transaction.put(key.encode('ascii'), png, overwrite=False)

    def commit(self) -> None:
        """Make everything put so far outlive a kill."""
        self._transaction.commit()
        self._transaction = self._environment.begin(write=True)

    def close(self) -> None:
        """Leave the store unfinished, without what was not committed. Safe to call again."""
        if self._environment is not None:
            self._transaction.abort()
            self._environment.close()
            self._environment = None
            os.close(self._lock)

    def finish(self, manifest: dict[str, Any] | None = None) -> str:
        """Write meta_info.txt, publish the store; returns `store_sha256` of its content.

        Args:
            manifest: facts for a manifest.json inside, completed by the number of images and that hash.
        """
        self.commit()
        digest, images = self._write_meta_info(), len(self)
        if manifest is not None:
            facts = manifest | {'images': images, 'sha256': digest}
            write_text_atomically(self.aside / 'manifest.json', json.dumps(facts, indent=1))
        self.close()
        os.replace(self.aside, self.path)
        return digest

    def _write_meta_info(self) -> str:
        digest = hashlib.sha256()
        with open(self.aside / 'meta_info.txt', 'w', encoding='ascii', newline='\n') as meta_info:
            for key, png in self._transaction.cursor():
                width, height = np.frombuffer(png[16:24], '>u4')  # the first PNG chunk holds width and height
                meta_info.write(f'{key.decode("ascii")}.png ({height},{width},3) {PNG_LEVEL}\n')
                _add_entry(digest, key, png)
            meta_info.flush()
            os.fsync(meta_info.fileno())
        return digest.hexdigest()


def _add_entry(digest: Any, key: bytes, value: bytes) -> None:
    digest.update(len(key).to_bytes(8, 'little') + key + len(value).to_bytes(8, 'little'))
    digest.update(value)


def store_entries(path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    """All (key, encoded image) of a store, sorted by key."""
    with open_environment(path).begin() as transaction:
        yield from transaction.cursor()


def store_sha256(path: str | Path) -> str:
    """SHA-256 of a store's content: keys and values with their lengths, in the order of the keys.

    The bytes of data.mdb also depend on when it was committed; the content does not.
    """
    digest = hashlib.sha256()
    for key, value in store_entries(path):
        _add_entry(digest, key, value)
    return digest.hexdigest()


def lock_folder(path: Path) -> int:
    """Claim an unfinished product for this process, until `os.close` of the returned descriptor or a kill.

    Raises:
        UserError: another process is at work on it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UserError(f"another process is writing '{path}'. Wait for it, or end it, then start again.") from error
    return descriptor


def unfinished(path: Path) -> Path:
    """Where a product is built before it is renamed to `path`."""
    return path.with_name(f'.{path.name}.unfinished')


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file aside, then rename it."""
    aside = unfinished(path)
    with open(aside, 'w', encoding='utf-8', errors='surrogateescape', newline='') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def identities_file(path: str | Path) -> Path:
    """The identities.csv of a prepared folder, or the file itself."""
    path = Path(path)
    return path / 'identities.csv' if path.is_dir() else path


def read_identities(folder_or_csv: str | Path) -> tuple[list[str], np.ndarray]:
    """Keys and labels of identities.csv (columns key, label, original_name), sorted by key.

    Returns:
        (keys, labels): N strings and an int64 array (N,) with values 0 .. C-1.

    Raises:
        UserError: the file is missing, or a line is not of the form.
    """
    path = identities_file(folder_or_csv)
    if not path.is_file():
        raise UserError(f"'{path}' is missing. Expected a table with the columns {', '.join(IDENTITIES_HEADER)}.\n"
                        f'Make it with {PREPARE_COMMAND}.')
    with open(path, encoding='utf-8', errors='surrogateescape', newline='') as file:
        rows = csv.reader(file)
        if next(rows, [])[:2] != IDENTITIES_HEADER[:2]:
            raise UserError(f"'{path}': expected the first line '{','.join(IDENTITIES_HEADER)}'.")
        try:
            pairs = sorted((row[0], int(row[1])) for row in rows)
        except (IndexError, ValueError) as error:
            raise UserError(f"'{path}', line {rows.line_num}: expected 'key,label,original name'.") from error
    return [key for key, _ in pairs], np.array([label for _, label in pairs], np.int64)

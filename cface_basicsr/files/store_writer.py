"""Writing an image store: aside, committed in batches, continued after a kill, renamed when complete."""

import errno
import hashlib
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import lock, naming, publish, reserve, unfinished
from cface_basicsr.files.face_store import FORMS, MAP_SIZE, add_entry, encoded_size
from cface_basicsr.files.manifest import write_manifest

_LOCK_SIZE = 8192
"""Bytes of lock.mdb for LMDB's default of 126 readers."""
_LEAST_ROOM = 1 << 20


class StoreWriter:
    """Writes one store aside, in any number of runs, and publishes it by a rename.

    Put the images in the order of their keys; a writer opened again on an unfinished store continues it, and putting a
    key that it already holds costs nothing and changes nothing.
    """

    def __init__(self, path: str | Path, form: str = 'png') -> None:
        """
        Args:
            path: the folder of the finished store, ending in '.lmdb'. The unfinished one is next to it.
            form: of the images, one of `face_store.FORMS`, for meta_info.txt.

        Raises:
            UserError: a finished store exists, or the name does not end in '.lmdb' (BasicSR insists).
        """
        self.path, self.form = Path(path), FORMS[form]
        if self.path.suffix != '.lmdb':
            raise UserError(f"store '{path}': BasicSR needs a name that ends with '.lmdb'.")
        if self.path.exists():
            raise UserError(f"store '{path}' exists already. Delete it to make it again.")
        self.aside = unfinished(self.path)
        self.aside.mkdir(parents=True, exist_ok=True)
        self._lock = ExitStack()
        self._lock.enter_context(lock(self.aside))
        data = self.aside / 'data.mdb'
        if data.exists() and data.stat().st_size < 2 * mmap.PAGESIZE:
            data.unlink()  # a full disk has cut off the head, so nothing was committed
        reserve(self.aside / 'lock.mdb', _LOCK_SIZE)
        with self._writing():
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

    def put(self, key: str, content: bytes) -> None:
        """Add an encoded image under an ASCII key."""
        with self._writing():
            self._transaction.put(key.encode('ascii'), content, overwrite=False)

    def commit(self) -> None:
        """Write everything put so far to disk, so that it outlives a kill."""
        with self._writing():
            self._transaction.commit()
            self._transaction = self._environment.begin(write=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """LMDB's errors as the system's. On a full disk LMDB may speak of an input/output error."""
        try:
            yield
        except lmdb.Error as error:
            full = shutil.disk_usage(self.aside).free < _LEAST_ROOM
            code = errno.ENOSPC if full or os.strerror(errno.ENOSPC) in str(error) else errno.EIO
            raise OSError(code, os.strerror(code) if code == errno.ENOSPC else str(error), str(self.path)) from error

    def close(self) -> None:
        """Leave the store unfinished, without anything uncommitted. Safe to call again."""
        if self._environment is not None:
            self._transaction.abort()
            self._environment.close()
            self._environment = None
            self._lock.close()

    def finish(self, manifest: dict[str, Any] | None = None) -> str:
        """Write meta_info.txt and publish the store; returns `store_sha256` of its content.

        Args:
            manifest: facts for a manifest.json inside, to which the number of images and that hash are added.
        """
        self.commit()
        with naming(self.path):
            digest, images = self._write_meta_info(), len(self)
        if manifest is not None:
            write_manifest(self.aside, manifest | {'images': images, 'sha256': digest})
        self.close()
        # Readers take no lock, but LMDB's package would remember this file by its number. A later file may get that,
        # and another store would be called open already.
        (self.aside / 'lock.mdb').unlink()
        publish(self.aside, self.path)
        return digest

    def _write_meta_info(self) -> str:
        digest = hashlib.sha256()
        with open(self.aside / 'meta_info.txt', 'w', encoding='ascii', newline='\n') as meta_info:
            for key, content in self._transaction.cursor():
                height, width = encoded_size(content)
                meta_info.write(f'{key.decode("ascii")}{self.form.ending} ({height},{width},3) {self.form.level}\n')
                add_entry(digest, key, content)
            meta_info.flush()
            os.fsync(meta_info.fileno())
        return digest.hexdigest()

"""Stores on a disk that is full: an error that says so, never a killed process, and no damage that stays."""

import errno
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest

from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.store_writer import StoreWriter
from tests.small_data import close_environment

FACES = {f'{row:03d}/0': np.random.default_rng(row).integers(0, 256, (64, 64, 3), np.uint8) for row in range(8)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / 'disk'
    disk.mkdir()
    made = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', str(disk)], check=False,
                          capture_output=True) if sys.platform == 'linux' and os.geteuid() == 0 else None
    if made is None or made.returncode:
        pytest.skip('needs the right to mount a small file system')
    yield disk
    subprocess.run(['umount', '-l', str(disk)], check=True)


def _write(path: Path) -> None:
    with StoreWriter(path) as writer:
        for key, face in FACES.items():
            writer.put(key, encode_png(face))
            writer.commit()
        writer.finish()


def _try(path: Path) -> None:
    try:
        _write(path)
    except OSError as error:
        os._exit(7 if error.errno == errno.ENOSPC and error.filename.startswith(str(path.parent)) else 8)


@pytest.mark.parametrize('size', [4, 8, 12, 16, 20, 24, 40, 64, 90, 110, 120])
def test_a_full_disk_is_named_whenever_it_fills_and_the_next_run_completes_the_store(
        size: int, small_disk: Path) -> None:
    """Without reserved room the process would be killed (SIGBUS), and a head cut off could not be read again."""
    path = small_disk / 'hr.lmdb'
    subprocess.run(['mount', '-o', f'remount,size={size}k', str(small_disk)], check=True)
    child = multiprocessing.get_context('fork').Process(target=_try, args=(path,))
    child.start()
    child.join()
    assert child.exitcode == 7
    subprocess.run(['mount', '-o', 'remount,size=9m', str(small_disk)], check=True)
    _write(path)
    store = FaceStore(path)
    assert store.keys == sorted(FACES) and all(np.array_equal(store.image(key), face) for key, face in FACES.items())
    close_environment(path)


def test_an_error_of_lmdb_that_is_not_of_a_full_disk_keeps_its_words(tmp_path: Path) -> None:
    class Broken:
        abort = staticmethod(lambda: None)

        def put(self, *entry: bytes, overwrite: bool) -> None:
            raise lmdb.Error('mdb_put: Input/output error')

    with StoreWriter(tmp_path / 'hr.lmdb') as writer:
        writer._transaction.abort()
        writer._transaction = Broken()
        with pytest.raises(OSError, match="mdb_put: Input/output error: '.*/hr.lmdb'") as raised:
            writer.put('a/0', b'')
    assert raised.value.errno == errno.EIO

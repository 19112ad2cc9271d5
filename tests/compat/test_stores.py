"""LMDB folders: opened once a process, and large enough."""

from pathlib import Path

import cv2
import lmdb
import numpy as np

from tests.compat.tiny_training import holds_by_row, patched
from tests.small_data import close_environment


def make_store(pictures: Path, out: Path, names: list[str]) -> Path:
    from basicsr.utils import lmdb_util
    lmdb_util.make_lmdb_from_imgs(str(pictures), str(out), names, [name.split('.')[0] for name in names])
    return out


def test_two_data_sets_of_one_process_share_an_lmdb(pictures: Path, tmp_path: Path) -> None:
    with patched():
        store = str(make_store(pictures / 'gt', tmp_path / 'gt.lmdb', ['00.png', '01.png']))

    def check() -> None:
        from basicsr.utils import FileClient
        clients = [FileClient('lmdb', db_paths=[store], client_keys=['gt']) for _ in range(2)]
        read = {client.get('01', 'gt') for client in clients}
        assert len(read) == 1
        assert cv2.imdecode(np.frombuffer(read.pop(), np.uint8), -1).shape == (16, 16, 3)

    holds_by_row(check, 'lmdb-shared', defect=lmdb.Error)
    close_environment(store)


def test_an_lmdb_holds_large_pictures_behind_a_small_first_one(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / '0.png'), np.zeros((4, 4, 3), np.uint8))
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    cv2.imwrite(str(tmp_path / '1.png'), noise)
    tried = iter(range(9))

    def check() -> None:
        store = make_store(tmp_path, tmp_path / f'{next(tried)}.lmdb', ['0.png', '1.png'])
        with lmdb.open(str(store), readonly=True, lock=False) as environment, environment.begin() as transaction:
            assert np.array_equal(cv2.imdecode(np.frombuffer(transaction.get(b'1'), np.uint8), -1), noise)

    holds_by_row(check, 'lmdb-map-size', defect=lmdb.Error)

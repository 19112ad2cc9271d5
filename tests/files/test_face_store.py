"""Stores: BasicSR reads them, a kill harms nothing, damage is named."""

import os
import pickle
import struct
import zlib
from pathlib import Path

import lmdb
import numpy as np
import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import unfinished
from cface_basicsr.files.face_store import (
    FaceStore,
    decode_image,
    encode_png,
    open_environment,
    store_sha256,
)
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.store_writer import StoreWriter
from tests.small_data import close_environment


def noise(seed: int, height: int = 8, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(path: Path, names: str = 'ab', seed: int = 0) -> Path:
    with StoreWriter(path) as writer:
        for number, name in enumerate(names):
            writer.put(f'p/{name}', encode_png(noise(seed + number)))
        writer.finish()
    return path


def test_images_come_back_as_they_were(tmp_path: Path) -> None:
    store = FaceStore(write(tmp_path / 'hr.lmdb'))
    assert store.keys == ['p/a', 'p/b'] and len(store) == 2
    assert np.array_equal(store.image('p/b'), noise(1))


def test_a_png_holds_rgb_and_each_line_is_the_difference_to_the_one_above() -> None:
    image = noise(3)
    png = encode_png(image)
    start = png.index(b'IDAT')
    raw = zlib.decompress(png[start + 4:start + 4 + struct.unpack('>I', png[start - 4:start])[0]])
    lines = np.frombuffer(raw, np.uint8).reshape(8, 1 + 6 * 3)[:, 1:].reshape(8, 6, 3)
    assert np.array_equal(np.cumsum(lines, axis=0, dtype=np.uint8), image)
    assert np.array_equal(decode_image(png), image)


def test_meta_info_is_sorted_and_in_basicsrs_format(tmp_path: Path) -> None:
    store = write(tmp_path / 'hr.lmdb', 'cab')
    assert (store / 'meta_info.txt').read_text() == 'p/a.png (8,6,3) 1\np/b.png (8,6,3) 1\np/c.png (8,6,3) 1\n'
    assert not unfinished(store).exists()


def test_basicsrs_own_paired_data_set_reads_our_stores(tmp_path: Path) -> None:
    from basicsr.data.paired_image_dataset import PairedImageDataset
    for name, size in (('hr', 16), ('lr', 4)):
        with StoreWriter(tmp_path / f'{name}.lmdb') as writer:
            writer.put('p/1', encode_png(noise(1, size, size)))
            writer.finish()
    stock = PairedImageDataset({'dataroot_gt': str(tmp_path / 'hr.lmdb'), 'dataroot_lq': str(tmp_path / 'lr.lmdb'),
                                'io_backend': {'type': 'lmdb'}, 'scale': 4, 'phase': 'val'})
    item = stock[0]
    assert np.array_equal((item['gt'] * 255).round().byte().permute(1, 2, 0).numpy(), noise(1, 16, 16))
    assert np.array_equal((item['lq'] * 255).round().byte().permute(1, 2, 0).numpy(), noise(1, 4, 4))


def test_the_environment_is_opened_once_under_any_name(tmp_path: Path) -> None:
    store = write(tmp_path / 'hr.lmdb')
    (tmp_path / 'link.lmdb').symlink_to(store)
    assert open_environment(store) is open_environment(str(tmp_path / 'link.lmdb'))
    close_environment(store)


def test_a_forked_child_reads_while_its_parent_has_the_store_open(tmp_path: Path) -> None:
    store = FaceStore(write(tmp_path / 'hr.lmdb'))
    store.image('p/a')
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(store.image('p/b'), noise(1)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(store.image('p/a'), noise(0))


def test_a_store_travels_to_another_process(tmp_path: Path) -> None:
    store = FaceStore(write(tmp_path / 'hr.lmdb'))
    store.image('p/a')
    assert np.array_equal(pickle.loads(pickle.dumps(store)).image('p/a'), noise(0))


def test_an_unfinished_store_is_continued_from_its_last_commit(tmp_path: Path) -> None:
    path = tmp_path / 'hr.lmdb'
    first = StoreWriter(path)
    first.put('p/a', encode_png(noise(0)))
    first.commit()
    first.put('p/b', b'never committed')
    first.close()
    assert not path.exists()
    with StoreWriter(path) as second:
        assert 'p/a' in second and 'p/b' not in second and len(second) == 1
        second.put('p/a', b'ignored: it is there already')
        second.put('p/b', encode_png(noise(1)))
        digest = second.finish()
    assert digest == store_sha256(path) == store_sha256(write(tmp_path / 'unbroken.lmdb'))


def test_a_finished_store_has_no_lock_file_by_whose_number_lmdb_would_refuse_another_store(tmp_path: Path) -> None:
    store = FaceStore(write(tmp_path / 'hr.lmdb'))
    store.image('p/a')
    assert {path.name for path in (tmp_path / 'hr.lmdb').iterdir()} == {'data.mdb', 'meta_info.txt'}


def test_the_hash_sees_keys_and_values_but_not_commits(tmp_path: Path) -> None:
    base = store_sha256(write(tmp_path / 'a.lmdb', 'ab'))
    assert base != store_sha256(write(tmp_path / 'b.lmdb', 'ac'))
    assert base != store_sha256(write(tmp_path / 'c.lmdb', 'ab', seed=5))


def test_two_writers_of_one_store_are_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / 'hr.lmdb'), pytest.raises(UserError, match='another process'):
        StoreWriter(tmp_path / 'hr.lmdb')


def test_a_finished_store_is_not_written_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='exists already'):
        StoreWriter(write(tmp_path / 'hr.lmdb'))
    with pytest.raises(UserError, match='ends with'):
        StoreWriter(tmp_path / 'hr')


def test_a_missing_store_names_the_path_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.lmdb' is missing(.|\n)*cface prepare"):
        FaceStore(tmp_path / 'no.lmdb')


@pytest.mark.parametrize('left', [-4096, 100, 0])
def test_a_store_that_was_cut_off_is_refused_before_it_is_read(tmp_path: Path, left: int) -> None:
    path = write(tmp_path / 'hr.lmdb')
    size = os.path.getsize(path / 'data.mdb')
    os.truncate(path / 'data.mdb', left if left >= 0 else size + left)
    with pytest.raises(UserError, match=r'damaged or cut off(.|\n)*cface prepare'):
        FaceStore(path)


def test_a_store_whose_list_does_not_match_its_data_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / 'hr.lmdb')
    (path / 'meta_info.txt').write_text('p/a.png (8,6,3) 1\n')
    with pytest.raises(UserError, match='lists 1 images, data.mdb holds 2'):
        FaceStore(path)
    (path / 'meta_info.txt').unlink()
    with pytest.raises(UserError, match='meta_info.txt'):
        FaceStore(path)


def test_an_absent_key_and_a_broken_picture_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / 'hr.lmdb')
    with pytest.raises(UserError, match="no image 'p/z'"):
        FaceStore(path).image('p/z')
    close_environment(path)
    with lmdb.open(str(path), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        transaction.put(b'p/a', b'no PNG')
    with pytest.raises(UserError, match="image 'p/a'"):
        FaceStore(path).image('p/a')


def test_identities_are_sorted_by_key_whatever_the_order_of_lines(tmp_path: Path) -> None:
    (tmp_path / 'identities.csv').write_text('key,label,original_name\nb/1,1,"b,x/1.jpg"\na/1,0,a/1.jpg\n')
    keys, labels = read_identities(tmp_path)
    assert keys == ['a/1', 'b/1'] and labels.tolist() == [0, 1]


@pytest.mark.parametrize('text', ['', 'a/1,0,x\n', 'key,label,original_name\na/1,zero,x\n', 'key,label,o\na/1\n'])
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / 'identities.csv').write_text(text)
    with pytest.raises(UserError, match='identities.csv'):
        read_identities(tmp_path)

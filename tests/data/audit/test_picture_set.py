"""Each side of an audit is a prepared folder or a tree of photographs, and both must have the same crop."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cface_basicsr.data.audit import picture_set
from cface_basicsr.data.audit.picture_set import Distinct, fingerprint, fingerprint_pictures, open_alike, open_pictures
from cface_basicsr.data.layouts.source import Source
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import encode_png
from cface_basicsr.files.store_writer import StoreWriter
from tests.photos import photo, write_tree


def prepared(folder: Path, pictures: dict[str, np.ndarray], **settings: Any) -> Path:
    folder.mkdir(parents=True)
    with StoreWriter(folder / 'hr.lmdb') as store:
        for key in sorted(pictures):
            store.put(key, encode_png(np.ascontiguousarray(pictures[key])))
        store.finish()
    if settings:
        content = {'settings': {'crop': 'center', 'size': 128, 'template': None} | settings}
        (folder / 'manifest.json').write_text(json.dumps(content))
    return folder


def test_a_tree_and_a_prepared_folder_of_the_same_pictures_have_the_same_fingerprints(tmp_path: Path) -> None:
    pictures = {f'p{number % 2}/{number}': photo(number) for number in range(4)}
    tree = fingerprint_pictures(open_pictures(write_tree(tmp_path / 'tree', pictures)))
    store = fingerprint_pictures(open_pictures(prepared(tmp_path / 'data', pictures)))
    assert [source.key for source in tree.sources] == [source.key for source in store.sources] == sorted(pictures)
    assert tree.fingerprints == store.fingerprints and (tree.hashes == store.hashes).all()
    assert len(set(tree.fingerprints)) == 4


def test_a_fingerprint_is_the_hash_of_size_and_pixels() -> None:
    picture = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert fingerprint(picture) == hashlib.sha256(b'2x3 ' + bytes(range(18))).digest()
    assert fingerprint(picture) != fingerprint(picture.reshape(3, 2, 3))
    assert fingerprint(picture.repeat(2, axis=1)[:, ::2]) == fingerprint(picture)  # whatever its layout in memory


def test_what_cannot_be_read_is_listed_and_the_rest_is_compared(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / 'tree', {'a/1': photo(0), 'a/2': photo(1)})
    (tree / 'a' / '0.jpg').write_bytes(b'no image')
    found = fingerprint_pictures(open_pictures(tree))
    assert [source.key for source in found.sources] == ['a/1', 'a/2'] and found.hashes.shape == (2, 3, 2)
    assert found.rejected == [('a/0.jpg', 'not an image')]


def test_several_processes_give_the_same_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_set, '_CHUNK', 2)
    opened = open_pictures(prepared(tmp_path / 'data', {f'a/{number}': photo(number, 32) for number in range(7)}))
    done: list[int] = []
    one, two = fingerprint_pictures(opened), fingerprint_pictures(opened, workers=2, progress=done.append)
    assert one.sources == two.sources and one.fingerprints == two.fingerprints and (one.hashes == two.hashes).all()
    assert done == [2, 4, 6, 7]


def test_photographs_are_cropped_as_the_prepared_side_was(tmp_path: Path) -> None:
    photograph = photo(0, 250)
    tree = write_tree(tmp_path / 'tree', {'a/1': photograph})
    data = prepared(tmp_path / 'data', {'b/1': photograph[61:189, 61:189]}, size=128)
    for sides in (open_alike(tree, data), open_alike(data, tree)):
        assert fingerprint_pictures(sides[0]).fingerprints == fingerprint_pictures(sides[1]).fingerprints
    assert open_alike(tree, data)[0].describe_crop() == 'the middle 128x128 pixels of photographs'
    assert open_pictures(tree).describe_crop() == 'whole photographs'


def test_a_size_of_two_numbers_is_height_and_width(tmp_path: Path) -> None:
    photograph = photo(0, 250)
    tree = write_tree(tmp_path / 'tree', {'a/1': photograph})
    data = prepared(tmp_path / 'data', {'b/1': photograph[69:181, 77:173]}, size=[112, 96])
    train, test = open_alike(tree, data)
    assert fingerprint_pictures(train).fingerprints == fingerprint_pictures(test).fingerprints
    assert test.describe_crop().endswith('center 96x112')


def test_aligned_faces_and_photographs_are_not_compared(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / 'tree', {'a/1': photo(0)})
    data = prepared(tmp_path / 'data', {'b/1': photo(0)}, crop='align', template='arcface')
    with pytest.raises(UserError, match='prepared, crop align arcface 128x128.*holds photographs.\n.*--names-only'):
        open_alike(tree, data)


def test_different_crops_are_not_compared(tmp_path: Path) -> None:
    center = prepared(tmp_path / 'center', {'a/1': photo(0)}, crop='center')
    align = prepared(tmp_path / 'align', {'a/1': photo(0)}, crop='align', template='sphereface')
    with pytest.raises(UserError, match='cropped in different ways'):
        open_alike(center, align)
    assert open_alike(center, center)[0].crop == {'crop': 'center', 'size': 128, 'template': None}


def test_a_folder_without_manifest_is_compared_as_it_is(tmp_path: Path) -> None:
    one, two = prepared(tmp_path / 'a', {'a/1': photo(0)}), prepared(tmp_path / 'b', {'a/1': photo(0)}, crop='align')
    assert open_alike(one, two)[0].describe_crop() == 'prepared, no manifest'


def test_the_layout_tells_whether_there_are_identities(tmp_path: Path) -> None:
    assert not open_pictures(prepared(tmp_path / 'bin', {'0/0': photo(0)}, layout='bin')).has_identities
    assert open_pictures(prepared(tmp_path / 'casia', {'0/0': photo(0)}, layout='casia')).has_identities


def test_the_folder_above_train_and_test_is_refused(tmp_path: Path) -> None:
    for part in ('train', 'test'):
        prepared(tmp_path / part, {'a/1': photo(0, 32)})
    with pytest.raises(UserError, match='holds the prepared folders train and test; name one of them'):
        open_pictures(tmp_path)
    with pytest.raises(UserError, match='is missing'):
        open_pictures(tmp_path / 'nowhere')


def test_equal_pictures_of_a_set_are_one(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / 'tree', {'1/a': photo(0), '1/b': photo(1), '2/c': photo(0)})
    opened = open_pictures(tree)
    opened.names = {'2': 'Ann Lee'}
    found = Distinct(opened, fingerprint_pictures(opened))
    assert [found.keys(each) for each in found.fingerprints] == [('1/a', '2/c'), ('1/b',)]
    assert found.source(0) == Source('1/a', '1/a.png') and found.hashes.shape == (2, 3, 2)
    assert (opened.name_of('2/c'), opened.name_of('1/a')) == ('Ann Lee', '1')

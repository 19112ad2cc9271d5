"""Stores taken apart: every byte as it was stored, under a name that stays in the folder."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.data.unpacked_store import unpack_store
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FORMS, FaceStore, encode_image
from cface_basicsr.files.store_writer import StoreWriter
from tests.small_data import smooth_images


def write_store(path: Path, contents: dict[str, bytes]) -> FaceStore:
    with StoreWriter(path) as store:
        for key, content in contents.items():
            store.put(key, content)
        store.finish()
    return FaceStore(path)


@pytest.mark.parametrize(('form', 'kind'), [('png', 'PNG'), ('png0', 'PNG'), ('jpeg', 'JPEG'), ('webp', 'WEBP')])
def test_each_file_has_the_bytes_of_the_store_and_the_ending_of_its_kind(tmp_path: Path, form: str, kind: str) -> None:
    faces = smooth_images(2, seed=1, size=24)
    contents = {'ann/0': encode_image(faces[0], form), 'bob/a%2Eb': encode_image(faces[1], form)}
    done = []
    unpack_store(write_store(tmp_path / 'hr.lmdb', contents), tmp_path / 'out', lambda *counts: done.append(counts))
    files = {str(path.relative_to(tmp_path / 'out')): path.read_bytes()
             for path in (tmp_path / 'out').rglob('*') if path.is_file()}
    assert files == {f'{key}{FORMS[form].ending}': content for key, content in contents.items()}
    assert {Image.open(io.BytesIO(content)).format for content in files.values()} == {kind}
    assert done == [(1, 2), (2, 2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['hr.lmdb', 'out']


def test_raw_images_become_png_with_the_same_pixels(tmp_path: Path) -> None:
    face, = smooth_images(1, seed=2, size=20)
    unpack_store(write_store(tmp_path / 'hr.lmdb', {'ann/0': encode_image(face, 'raw')}), tmp_path / 'out')
    assert (np.asarray(Image.open(tmp_path / 'out/ann/0.png')) == face).all()


def test_what_a_killed_run_left_is_not_in_the_folder(tmp_path: Path) -> None:
    left = tmp_path / '.out.unfinished' / 'eve'
    left.mkdir(parents=True)
    (left / '0.png').write_bytes(b'half')
    face, = smooth_images(1, seed=3, size=20)
    unpack_store(write_store(tmp_path / 'hr.lmdb', {'ann/0': encode_image(face)}), tmp_path / 'out')
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['ann']


@pytest.mark.parametrize('key', ['/tmp/small', 'ann//0', 'ann/'])
def test_a_key_that_leads_out_of_the_folder_is_refused_and_nothing_is_written(tmp_path: Path, key: str) -> None:
    face, = smooth_images(1, seed=4, size=20)
    store = write_store(tmp_path / 'hr.lmdb', {key: encode_image(face)})
    with pytest.raises(UserError, match=f"image '{key}' leads out of the folder"):
        unpack_store(store, tmp_path / 'out')
    assert [path.name for path in tmp_path.iterdir()] == ['hr.lmdb']


def test_other_bytes_and_a_folder_that_exists_are_refused(tmp_path: Path) -> None:
    gif = io.BytesIO()
    Image.new('RGB', (8, 8)).save(gif, 'GIF')
    store = write_store(tmp_path / 'hr.lmdb', {'ann/0': gif.getvalue()})
    with pytest.raises(UserError, match="image 'ann/0' is in none of the forms .* it begins with 47 49 46 38"):
        unpack_store(store, tmp_path / 'out')
    (tmp_path / 'out').mkdir()
    with pytest.raises(UserError, match='out. exists'):
        unpack_store(store, tmp_path / 'out')

"""The forms of stored images: what comes back, what others make of it, what a damaged one gives."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import (
    FORMS,
    FaceStore,
    decode_image,
    decode_planes,
    encode_image,
    encoded_size,
    is_raw,
)
from cface_basicsr.files.store_writer import StoreWriter
from tests.small_data import smooth_images

FACE = np.ascontiguousarray(smooth_images(1, seed=5, size=40)[0, :, :24])


@pytest.mark.parametrize('form', FORMS)
def test_an_image_comes_back_in_its_size_and_unless_by_jpeg_as_it_was(form: str) -> None:
    content = encode_image(FACE, form)
    back = decode_image(content)
    assert encoded_size(content) == back.shape[:2] == (40, 24)
    assert np.array_equal(back, FACE) == FORMS[form].exact == (form != 'jpeg')
    assert np.abs(back.astype(int) - FACE).mean() < 2
    assert np.array_equal(decode_image(memoryview(content)), back)
    planes = decode_planes(memoryview(content))
    assert planes.flags.c_contiguous and planes.flags.writeable and np.array_equal(planes, back.transpose(2, 0, 1))


@pytest.mark.parametrize(('form', 'name'), [('png', 'PNG'), ('png0', 'PNG'), ('jpeg', 'JPEG'), ('webp', 'WEBP')])
def test_pillow_sees_the_same_picture_but_for_raw(form: str, name: str) -> None:
    content = encode_image(FACE, form)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == name
        assert np.abs(np.asarray(picture.convert('RGB')).astype(int) - decode_image(content)).max() <= 1


def test_a_raw_image_is_its_planes_behind_its_size() -> None:
    content = encode_image(FACE, 'raw')
    assert content[:16] == b'CFaceRAW' + bytes([40, 0, 0, 0, 24, 0, 0, 0])
    assert content[16:] == b''.join(FACE[..., plane].tobytes() for plane in range(3))


@pytest.mark.parametrize('length', [0, 7, 8, 12, 16, 16 + 3 * 40 * 24 - 1])
def test_a_raw_image_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(UserError, match=f'^{length} bytes are not'):
        decode_image(encode_image(FACE, 'raw')[:length])


@pytest.mark.parametrize('form', FORMS)
def test_a_store_says_its_form_in_meta_info_and_its_reader_looks_at_the_content(tmp_path: Path, form: str) -> None:
    with StoreWriter(tmp_path / 'hr.lmdb', form) as writer:
        writer.put('p/1', encode_image(FACE, form))
        writer.finish()
    line = {'png': '.png (40,24,3) 1', 'png0': '.png (40,24,3) 0', 'jpeg': '.jpg (40,24,3) 95',
            'webp': '.webp (40,24,3) 101', 'raw': '.raw (40,24,3) 0'}[form]
    assert (tmp_path / 'hr.lmdb/meta_info.txt').read_text() == f'p/1{line}\n'
    (tmp_path / 'hr.lmdb/meta_info.txt').write_text('p/1.bmp (1,1,3) 7\n')
    assert np.array_equal(FaceStore(tmp_path / 'hr.lmdb').image('p/1'), decode_image(encode_image(FACE, form)))
    assert is_raw(tmp_path / 'hr.lmdb') == (form == 'raw')

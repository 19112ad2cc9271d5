"""Photographs of telephones: read where the library for them is installed, and named with it where it is not."""

import base64
import sys
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.images import face_crop
from cface_basicsr.data.images.face_crop import Rejected, decode_photo, upright_size
from cface_basicsr.data.images.face_images import find_faces
from cface_basicsr.enhancing.photo_file import read_photo

TURNED = base64.b64decode(
    'AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAZ9tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA'
    'AAAERAAAIAAQAAAAABwwABAAAAAAAAALAAAgAAAAACcwABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp'
    'bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA3mlwcnAAAAC+aXBjbwAAAHhodmNDAQNwAAAAAAAAAAAAHvAA/P34+AAADwNgAAEAGE'
    'ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAi'
    'QAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAAA5waXhpAAAAAAEIAAAACWlyb3QDAAAAGGlwbWEAAAAAAAAAAQABBY'
    'ECAwSFAAAAGmlyZWYAAAAAAAAADmNkc2MAAgABAAEAAADcbWRhdAAAAKwoAa8J4NcRzCrhz6X4ywp2C9XzTLbZB7gww41vDuWcUxjcS1EbPyzb'
    'o8ErC9B7tx+S5qoe8Lp0PZI8av2O+1O8yt+e6u5ndq3Z2MwKvcTJC2fQF+rnMb4v7CHVUfFe3Km96q51QwzLkLsne5Ks6zbA9ynsiXhySkraLF'
    'mwJQJR4qUnuHmnb5oRxJokwbob5AieOAU/YWOsWgy5FYWUXCXiDXh7Ib9wOb7QKsgwAAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAA'
    'AAAA')
"""A HEIF file of 96x64 pixels that pillow-heif has written with EXIF orientation 6, red = 2 x, green = 3 y,
blue = 255 - 2 x: upright it is 64x96, and x and y are those of the file as it was stored."""


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    face_crop._have_heif_read.cache_clear()


def test_a_heif_photograph_is_read_upright(tmp_path: Path) -> None:
    pytest.importorskip('pi_heif', reason='HEIF photographs need pi-heif')
    (tmp_path / 'IMG_0001.HEIC').write_bytes(TURNED)
    (found,) = find_faces([tmp_path])
    photo = read_photo(found.path)
    assert upright_size(TURNED) == (64, 96) and (decode_photo(TURNED) == photo.pixels).all()
    rows, columns = np.mgrid[:96, :64]  # a quarter turn clockwise: x is the row, y is counted from the right
    expected = np.stack([2 * rows, 3 * (63 - columns), 255 - 2 * rows], axis=-1)
    assert photo.pixels.shape == expected.shape and np.abs(photo.pixels.astype(int) - expected).max() < 12


def test_without_the_library_the_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'pi_heif', None)
    with pytest.raises(Rejected, match='a HEIF photograph, which needs one more library: pip install pi-heif'):
        decode_photo(TURNED)
    with pytest.raises(Rejected, match='not an image'):
        decode_photo(TURNED.replace(b'heic', b'none'))

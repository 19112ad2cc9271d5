"""Photographs of any kind to RGB, and the crops."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.data.images.face_crop import Rejected, center_crop, decode_photo, no_crop


def encoded(image: Image.Image, kind: str = 'PNG', **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def ramp(height: int, width: int) -> np.ndarray:
    return (np.arange(height * width * 3) % 251).astype(np.uint8).reshape(height, width, 3)


def test_the_centre_crop_of_a_casia_photo_starts_at_61() -> None:
    photo = ramp(250, 250)
    assert np.array_equal(center_crop(photo, 128), photo[61:189, 61:189])


def test_photos_of_other_sizes_give_their_middle_pixels_unscaled() -> None:
    photo = ramp(218, 178)
    assert np.array_equal(center_crop(photo, 128), photo[45:173, 25:153])
    assert np.array_equal(center_crop(ramp(129, 128), 128), ramp(129, 128)[:128])


def test_a_crop_may_be_taller_than_wide() -> None:
    photo = ramp(250, 250)
    assert np.array_equal(center_crop(photo, (112, 96)), photo[69:181, 77:173])
    assert no_crop(ramp(112, 96), (112, 96)).shape == (112, 96, 3)
    with pytest.raises(Rejected, match='112x96 pixels, expected 96x112'):
        no_crop(ramp(96, 112), (112, 96))


def test_too_small_photos_and_wrong_sizes_are_rejected_with_their_size() -> None:
    with pytest.raises(Rejected, match='200x127 pixels, smaller than the 128x128 crop'):
        center_crop(ramp(127, 200), 128)
    with pytest.raises(Rejected, match='130x128 pixels, expected 128x128'):
        no_crop(ramp(128, 130), 128)


def test_grey_16_bit_and_transparent_photos_become_rgb() -> None:
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    assert np.array_equal(decode_photo(encoded(Image.fromarray(grey))), np.stack([grey] * 3, -1))
    assert np.array_equal(decode_photo(encoded(Image.fromarray(grey.astype(np.uint16) * 257))),
                          np.stack([grey] * 3, -1))
    half = Image.new('RGBA', (1, 1), (0, 0, 0, 51))
    assert decode_photo(encoded(half)).tolist() == [[[204, 204, 204]]]
    assert decode_photo(encoded(Image.new('RGB', (2, 2), (9, 8, 7)).convert('P'))).shape == (2, 2, 3)


def test_a_photo_is_turned_upright_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    photo = Image.fromarray(ramp(2, 3))
    assert np.array_equal(decode_photo(encoded(photo, exif=exif)), np.rot90(ramp(2, 3), -1))


@pytest.mark.parametrize(('content', 'reason'), [
    (b'', 'empty file'), (b'hello', 'not an image'), (encoded(Image.fromarray(ramp(64, 64)), 'JPEG')[:700], 'damaged'),
    (encoded(Image.fromarray(ramp(64, 64)))[:400], 'damaged'),
    (encoded(Image.new('F', (2, 2)), 'TIFF'), 'no fixed range')])
def test_what_cannot_be_used_is_rejected_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        decode_photo(content)

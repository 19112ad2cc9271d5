import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from cface_basicsr.data.images.face_crop import upright
from cface_basicsr.enhancing.photo import eight_bits
from cface_basicsr.enhancing.photo_file import read_photo, write_photo
from cface_basicsr.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
TURNED = {1: PIXELS, 3: PIXELS[::-1, ::-1], 6: PIXELS.transpose(1, 0, 2)[:, ::-1], 8: PIXELS.transpose(1, 0, 2)[::-1]}


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274], exif[271] = orientation, 'a camera'
    return exif


@pytest.mark.parametrize('orientation', TURNED)
def test_a_photograph_is_read_upright_and_stays_upright(tmp_path, orientation):
    Image.fromarray(PIXELS).save(tmp_path / 'in.png', exif=exif_of(orientation))
    photo = read_photo(tmp_path / 'in.png')
    assert (photo.pixels == TURNED[orientation]).all()
    write_photo(tmp_path / 'out.png', photo)
    with Image.open(tmp_path / 'out.png') as written:
        assert (np.asarray(written) == TURNED[orientation]).all()
        assert dict(written.getexif()) | {274: 1} == {274: 1, 271: 'a camera'}
        assert written.getexif().get(274, 1) == 1


def test_profile_alpha_and_times_are_kept(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    alpha = np.arange(54, dtype=np.uint8).reshape(6, 9) * 4
    Image.fromarray(np.dstack([PIXELS, alpha])).save(tmp_path / 'in.png', icc_profile=profile)
    os.utime(tmp_path / 'in.png', (1e9, 1.1e9))
    photo = read_photo(tmp_path / 'in.png')
    assert (photo.pixels == PIXELS).all() and (photo.alpha == alpha).all()
    write_photo(tmp_path / 'out.png', photo)
    with Image.open(tmp_path / 'out.png') as written:
        assert (np.asarray(written) == np.dstack([PIXELS, alpha])).all()
        assert written.info['icc_profile'] == profile
    assert (tmp_path / 'out.png').stat().st_mtime == 1.1e9


@pytest.mark.parametrize('orientation', range(1, 9))
def test_pixels_are_turned_as_pillow_turns_them(orientation):
    image = Image.fromarray(PIXELS)
    image.getexif()[274] = orientation
    assert (upright(PIXELS, orientation) == np.asarray(ImageOps.exif_transpose(image))).all()


@pytest.mark.parametrize('ending', ['png', 'tif'])  # Pillow turns a TIFF by itself
def test_turned_pixels_and_alpha_belong_together(tmp_path, ending):
    alpha = np.arange(54, dtype=np.uint8).reshape(6, 9) * 4
    Image.fromarray(np.dstack([PIXELS, alpha])).save(tmp_path / f'in.{ending}', exif=exif_of(6))
    photo = read_photo(tmp_path / f'in.{ending}')
    assert (photo.pixels == TURNED[6]).all()
    assert (photo.alpha == alpha.T[:, ::-1]).all()


def test_sixteen_bits_are_kept(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (5, 4, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'in.png'), deep[..., ::-1])
    photo = read_photo(tmp_path / 'in.png')
    assert photo.pixels.dtype == np.uint16 and (photo.pixels == deep).all()
    assert (eight_bits(photo.pixels) == np.rint(deep / 257)).all()
    write_photo(tmp_path / 'out.png', photo)
    assert (cv2.imread(str(tmp_path / 'out.png'), cv2.IMREAD_UNCHANGED)[..., ::-1] == deep).all()


def test_a_photograph_that_is_too_large_is_refused_by_its_header(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / 'in.png')
    monkeypatch.setattr('cface_basicsr.enhancing.photo_file.LARGEST', 50)
    monkeypatch.setattr('cface_basicsr.enhancing.photo_file.decode_whole', None)
    with pytest.raises(UserError, match=r"in.png' cannot be .*: 9x6 pixels; expected at most 50 in all"):
        read_photo(tmp_path / 'in.png')


def test_what_is_no_photograph_is_refused_in_one_line(tmp_path):
    (tmp_path / 'text.jpg').write_bytes(b'no image')
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(buffer, 'JPEG')
    (tmp_path / 'half.jpg').write_bytes(buffer.getvalue()[:900])
    for name in ('text.jpg', 'half.jpg', 'missing.jpg'):
        with pytest.raises(UserError, match=name):
            read_photo(tmp_path / name)


@pytest.mark.parametrize(('channels', 'kept'), [(b'RGB ', True), (b'GRAY', False), (b'CMYK', False)])
def test_a_profile_for_other_channels_than_those_of_the_result_is_left_out(tmp_path, channels, kept):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    profile[16:20] = channels
    Image.fromarray(PIXELS).save(tmp_path / 'in.jpg', icc_profile=bytes(profile))
    write_photo(tmp_path / 'out.png', read_photo(tmp_path / 'in.jpg'))
    with Image.open(tmp_path / 'out.png') as written:
        assert written.info.get('icc_profile') == (bytes(profile) if kept else None)


def test_a_damaged_profile_is_refused_before_anything_is_computed(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / 'in.jpg', icc_profile=b'no profile')
    with pytest.raises(UserError, match=r"in.jpg' cannot be read as a photograph: its colour profile is damaged; save"):
        read_photo(tmp_path / 'in.jpg')

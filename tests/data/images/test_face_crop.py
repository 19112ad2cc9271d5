"""Photographs of any kind to RGB, and the crops."""

import ast
import io
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cface_basicsr
from cface_basicsr.data.images.face_crop import Rejected, center_crop, decode_photo, no_crop, upright_size
from cface_basicsr.data.images.face_images import read_face
from cface_basicsr.errors import UserError


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


# Kinds of files. Each is written by hand or by OpenCV, and the expected pixels are a sum on the values in the file.
_RANDOM = np.random.default_rng(0)
_GREY, _COLOUR, _ALPHA = (_RANDOM.integers(0, 65536, (4, 3, channels)).astype(np.uint16) for channels in (1, 3, 4))
_TIMES_ALPHA = (_ALPHA // 2 + [0, 0, 0, 32768]).astype(np.uint16)
_GREY[0] = [[0], [65535], [257 * 7 + 129]]  # the last one is nearer to 8 than to 7, and >> 8 makes 7 of it


def png(values: np.ndarray, colour_type: int, before: bytes = b'') -> bytes:
    """A PNG of 16 bits per channel: 0 grey, 2 colour, 4 grey and alpha, 6 colour and alpha."""
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
    header = struct.pack('>IIBBBBB', values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + (chunk(before[:4], before[4:]) if before else b'')
            + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def tiff(values: np.ndarray, photometric: int, order: str = '<', **more: tuple[int, int]) -> bytes:
    """An uncompressed TIFF; `more`: tags t<number> as (type, value)."""
    height, width, channels = values.shape
    bits, content = 8 * values.itemsize, values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = {256: (3, width), 257: (3, height), 258: (3, bits), 259: (3, 1), 262: (3, photometric), 273: (4, 8),
            277: (3, channels), 278: (3, height), 279: (4, len(content))} | {int(name[1:]): tag for name, tag in
                                                                             more.items()}
    place = 8 + len(content)
    bits_of_all = struct.pack(f'{order}{channels}H', *[bits] * channels)
    entries, behind = b'', place + 2 + 12 * len(tags) + 4
    for number, (kind, value) in sorted(tags.items()):
        count = channels if number == 258 else 1
        packed = struct.pack(order + 'HHI', number, kind, count)
        if number == 258 and channels > 2:
            entries += packed + struct.pack(order + 'I', behind)
        elif number == 258:
            entries += packed + bits_of_all.ljust(4, b'\0')
        else:
            entries += packed + struct.pack(order + ('Hxx' if kind == 3 else 'I'), value)
    directory = struct.pack(order + 'H', len(tags)) + entries + struct.pack(order + 'I', 0) + bits_of_all
    return {'<': b'II*\0', '>': b'MM\0*'}[order] + struct.pack(order + 'I', place) + content + directory


def to_eight(values: np.ndarray) -> np.ndarray:
    """Rounded v * 255 / 65535, in three channels, on white if there is alpha."""
    *colour, alpha = np.moveaxis(values.astype(float), 2, 0) if values.shape[2] in (2, 4) else (
        *np.moveaxis(values.astype(float), 2, 0), 65535.0)
    mixed = [each * alpha / 65535 + 65535 - alpha for each in (colour if len(colour) == 3 else colour * 3)]
    return np.stack([np.round(each * 255 / 65535) for each in mixed], -1).astype(np.uint8)


def pnm(kind: bytes, values: np.ndarray) -> bytes:
    return kind + b' 3 4 65535\n' + values.astype('>u2').tobytes()


KINDS: dict[str, tuple[bytes, np.ndarray]] = {
    'PNG, grey': (png(_GREY, 0), to_eight(_GREY)),
    'PNG, colour': (png(_COLOUR, 2), to_eight(_COLOUR)),
    'PNG, grey and alpha': (png(_ALPHA[..., :2], 4), to_eight(_ALPHA[..., :2])),
    'PNG, colour and alpha': (png(_ALPHA, 6), to_eight(_ALPHA)),
    'PNG, a transparent grey': (png(_GREY, 0, b'tRNS\0\0'), np.where(_GREY == 0, 255, to_eight(_GREY))),
    'PNG, a transparent colour': (png(_COLOUR, 2, b'tRNS' + _COLOUR[1, 1].astype('>u2').tobytes()), np.where(
        (_COLOUR == _COLOUR[1, 1]).all(-1, keepdims=True), 255, to_eight(_COLOUR))),
    'PGM': (pnm(b'P5', _GREY), to_eight(_GREY)),
    'PGM, as text': (b'P2 3 4 65535\n' + ' '.join(map(str, _GREY.ravel())).encode(), to_eight(_GREY)),
    'PPM': (pnm(b'P6', _COLOUR), to_eight(_COLOUR)),
    'TIFF, grey': (tiff(_GREY, 1), to_eight(_GREY)),
    'TIFF, grey, big endian': (tiff(_GREY, 1, '>'), to_eight(_GREY)),
    'TIFF, grey, 0 is white': (tiff(_GREY, 0), to_eight(65535 - _GREY)),
    'TIFF, colour': (tiff(_COLOUR, 2), to_eight(_COLOUR)),
    'TIFF, colour, big endian': (tiff(_COLOUR, 2, '>'), to_eight(_COLOUR)),
    'TIFF, colour and alpha': (tiff(_ALPHA, 2, t338=(3, 2)), to_eight(_ALPHA)),
    'TIFF, colour times alpha': (tiff(_TIMES_ALPHA, 2, t338=(3, 1)), np.round(
        (_TIMES_ALPHA[..., :3] + 65535.0 - _TIMES_ALPHA[..., 3:]) / 257)),
    'TIFF, 8 bits, 0 is white': (tiff((_GREY >> 8).astype(np.uint8), 0), np.repeat(255 - (_GREY >> 8), 3, 2)),
    'TIFF, one bit': (encoded(Image.fromarray(_GREY[..., 0] > 9999), 'TIFF'), np.repeat(255 * (_GREY > 9999), 3, 2)),
    'CMYK': (encoded(Image.new('CMYK', (3, 4), (0, 51, 255, 0)), 'TIFF'), np.full((4, 3, 3), [255, 204, 0])),
}


@pytest.mark.parametrize('kind', KINDS)
def test_a_file_of_any_kind_gives_its_values_rounded_to_8_bit(kind: str, tmp_path: Path) -> None:
    content, expected = KINDS[kind]
    assert np.array_equal(decode_photo(content), expected)
    (tmp_path / 'a').write_bytes(content)
    assert np.array_equal(read_face(tmp_path / 'a'), expected)  # so `cface enhance` sees what `cface prepare` packs
    assert upright_size(content) == (3, 4)


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """What a file must hold so that this orientation shows `values`."""
    upside = {1: values, 2: values[:, ::-1], 3: values[::-1, ::-1], 4: values[::-1]}
    return upside[orientation] if orientation < 5 else {
        5: values, 6: values[:, ::-1], 7: values[::-1, ::-1], 8: values[::-1]}[orientation].transpose(1, 0, 2)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_16_bits_are_turned_upright_like_8(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    lying = {channels: turned(values, orientation) for channels, values in ((1, _GREY), (3, _COLOUR))}
    for channels, values in lying.items():
        files = [png(values, channels - 1, b'eXIf' + exif.tobytes()[6:]),
                 tiff(values, 1 if channels == 1 else 2, t274=(3, orientation))]
        for content in files:
            assert np.array_equal(decode_photo(content), to_eight(_GREY if channels == 1 else _COLOUR))
            assert upright_size(content) == (3, 4)
    jpeg = encoded(Image.fromarray(ramp(2, 3)), 'JPEG', exif=exif)
    assert upright_size(jpeg) == decode_photo(jpeg).shape[1::-1]


@pytest.mark.parametrize(('content', 'reason'), [
    (tiff(_COLOUR.astype(np.float32), 2, t339=(3, 3)), 'a kind of TIFF that cannot be read; save it with 8 or 16 bits'),
    (tiff(_GREY.astype(np.float32), 1, t339=(3, 3)), 'floating-point pixels have no fixed range'),
    (b'Pf 3 4 -1.0\n' + _GREY.astype('<f4').tobytes(), 'floating-point pixels have no fixed range'),
    (tiff(_GREY.astype(np.uint32), 1), 'whole numbers of 32 bits or with a sign have no fixed range'),
    (tiff(_GREY.astype(np.int16), 1, t339=(3, 2)), 'whole numbers of 32 bits or with a sign have no fixed range'),
    (tiff(_ALPHA, 5), '16 bits per channel, stored in a way that cannot be read'),
    (tiff(_COLOUR, 2, t284=(3, 2)), 'cannot be read|damaged'),
    (encoded(Image.new('LAB', (2, 2)), 'TIFF'), 'save it as RGB'),
])
def test_pixels_whose_values_cannot_be_known_are_refused_in_one_line(
        content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=f'^.*({reason}).*$'):
        decode_photo(content)
    (tmp_path / 'a').write_bytes(content)
    with pytest.raises(UserError, match=f"^'.*/a' cannot be read as an image: .*({reason}).*$"):
        read_face(tmp_path / 'a')


def test_a_very_large_photo_is_read_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.fromarray(ramp(9, 9)))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 80)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert np.array_equal(decode_photo(content), ramp(9, 9))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 40)
    with pytest.raises(Rejected, match='damaged image .DecompressionBombError: Image size .81 pixels. exceeds limit'):
        decode_photo(content)


def test_no_other_module_opens_image_files() -> None:
    """By Pillow, OpenCV, matplotlib, scikit-image, imageio or torchvision. Stores are not files of users."""
    names = {'imread', 'imdecode', 'imreadmulti', 'read_image', 'decode_image', 'pil_loader', 'imload'}
    package = Path(cface_basicsr.__file__).parent
    found = set()
    for path in package.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
            if called.split('.')[-1] in names and called != 'decode_image' or re.search(r'\bImage\.open$', called):
                found.add((path.relative_to(package).as_posix(), called))
    assert found == {('data/images/face_crop.py', 'Image.open'), ('data/images/face_crop.py', 'cv2.imdecode'),
                     ('files/face_store.py', 'cv2.imdecode'), ('files/face_store.py', 'Image.open')}

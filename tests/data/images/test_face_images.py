import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cface_basicsr.data.images.face_images import (
    find_faces,
    fits,
    in_batches,
    read_face,
    scale_for,
    to_low_resolution,
    write_face,
)
from cface_basicsr.errors import UserError


@pytest.fixture
def colour():
    return np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def test_lossless_colour_files_are_read_exactly(colour, tmp_path):
    for suffix in ('png', 'bmp', 'tiff', 'ppm', 'webp'):
        Image.fromarray(colour).save(tmp_path / f'a.{suffix}', lossless=True)
        np.testing.assert_array_equal(read_face(tmp_path / f'a.{suffix}'), colour)


def test_grey_and_one_bit_become_three_equal_channels(colour, tmp_path):
    grey = colour[..., 0]
    for name in ('a.png', 'a.pgm'):
        Image.fromarray(grey).save(tmp_path / name)
        np.testing.assert_array_equal(read_face(tmp_path / name), np.repeat(grey[..., None], 3, axis=2))
    Image.fromarray(grey > 100).save(tmp_path / 'bit.png')
    np.testing.assert_array_equal(read_face(tmp_path / 'bit.png')[..., 1], np.where(grey > 100, 255, 0))


@pytest.mark.parametrize('name', ['a.png', 'a.tiff', 'a.pgm'])
def test_sixteen_bit_grey_is_scaled(name, tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (6, 5)).astype(np.uint16)
    values[0, :3] = 0, 65535, 257 * 7 + 128
    cv2.imwrite(str(tmp_path / name), values)
    expected = np.round(values / 65535 * 255)
    np.testing.assert_array_equal(read_face(tmp_path / name), np.repeat(expected[..., None], 3, axis=2))


@pytest.mark.parametrize('name', ['a.png', 'a.tiff', 'a.ppm'])
def test_sixteen_bit_colour_is_scaled_not_truncated(name, tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / name), values[..., ::-1])
    np.testing.assert_array_equal(read_face(tmp_path / name), np.round(values / 65535 * 255))


@pytest.mark.parametrize('full', [255, 65535])
def test_transparent_pixels_are_blended_with_white(full, tmp_path):
    values = np.zeros((2, 2, 4), dtype=np.uint8 if full == 255 else np.uint16)
    values[..., 0] = full  # blue in OpenCV's order
    values[0, :, 3] = full, 0
    values[1, :, 3] = full // 5, full
    cv2.imwrite(str(tmp_path / 'a.png'), values)
    np.testing.assert_array_equal(read_face(tmp_path / 'a.png'),
                                  [[[0, 0, 255], [255, 255, 255]], [[204, 204, 255], [0, 0, 255]]])


def test_palettes_are_looked_up_even_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 2]], dtype=np.uint8), mode='P')
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / 'a.png')
    image.save(tmp_path / 'b.png', transparency=0)
    image.save(tmp_path / 'c.gif')
    expected = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [70, 80, 90]]])
    np.testing.assert_array_equal(read_face(tmp_path / 'a.png'), expected)
    np.testing.assert_array_equal(read_face(tmp_path / 'c.gif'), expected)
    expected[0, 0] = 255
    np.testing.assert_array_equal(read_face(tmp_path / 'b.png'), expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied(orientation, tmp_path):
    upright = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
              5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1), 7: np.rot90(upright.transpose(1, 0, 2), 2),
              8: np.rot90(upright, -1)}[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    for name in ('a.png', 'a.tiff', 'a.webp'):
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, lossless=True)
        np.testing.assert_array_equal(read_face(tmp_path / name), upright, err_msg=name)


def test_the_orientation_of_a_sixteen_bit_colour_png_is_applied_too(tmp_path):
    upright = np.random.default_rng(0).integers(0, 65536, (6, 4, 3)).astype(np.uint16)
    content = cv2.imencode('.png', np.rot90(upright, 1)[..., ::-1])[1].tobytes()
    exif = Image.Exif()
    exif[274] = 6
    Image.new('RGB', (1, 1)).save(tmp_path / 'donor.png', exif=exif)
    donor = (tmp_path / 'donor.png').read_bytes()
    at = donor.index(b'eXIf') - 4
    chunk = donor[at:at + 12 + int.from_bytes(donor[at:at + 4], 'big')]
    (tmp_path / 'a.png').write_bytes(content[:33] + chunk + content[33:])  # after the IHDR chunk
    np.testing.assert_array_equal(read_face(tmp_path / 'a.png'), np.round(upright / 257))


def test_damaged_and_foreign_files_are_refused(colour, tmp_path):
    for suffix in ('png', 'jpg'):
        Image.fromarray(np.kron(colour, np.ones((20, 20, 1), np.uint8))).save(tmp_path / f'a.{suffix}')
        content = (tmp_path / f'a.{suffix}').read_bytes()
        (tmp_path / f'cut.{suffix}').write_bytes(content[:len(content) * 2 // 3])
        with pytest.raises(UserError, match='cannot be read as an image'):
            read_face(tmp_path / f'cut.{suffix}')
    for name, content in [('text.png', b'hello'), ('empty.png', b'')]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f'{name}.*cannot be read as an image'):
            read_face(tmp_path / name)
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / 'float.tiff')
    with pytest.raises(UserError, match='floating-point'):
        read_face(tmp_path / 'float.tiff')
    with pytest.raises(UserError, match='is missing'):
        read_face(tmp_path / 'none.png')


@given(st.binary(max_size=60))
def test_random_bytes_never_give_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp('bytes') / 'a.png'
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + content)
    with pytest.raises(UserError):
        read_face(path)


def test_folders_are_searched_and_names_kept(colour, tmp_path):
    for name in ('in/b/2.JPG', 'in/b/1.png', 'in/a.bmp', 'in/notes.txt', 'in/.hidden.png', 'in/out/old.png',
                 'in/.git/x.png', 'single.dat'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    found = find_faces([tmp_path / 'single.dat', tmp_path / 'in'], skip=tmp_path / 'in' / 'out')
    assert [face.name.as_posix() for face in found] == ['single.dat', 'a.bmp', 'b/1.png', 'b/2.JPG']
    assert found[3].path == tmp_path / 'in/b/2.JPG'


def test_missing_paths_and_folders_without_images_are_refused(tmp_path):
    with pytest.raises(UserError, match='is missing'):
        find_faces([tmp_path / 'none'])
    with pytest.raises(UserError, match='holds no images'):
        find_faces([tmp_path])


@given(st.integers(1, 200))
def test_a_crop_is_enlarged_or_shrunk_by_a_twentieth_at_most_as_a_face_of_a_photograph_is(side):
    face = np.zeros((side, side, 3), np.uint8)
    fitting = []
    for size in (16, 32, 64):
        try:
            fitting.append(to_low_resolution(face, size).shape[0])
        except UserError as error:
            assert f'up to {size}x{size}' in str(error)
    assert fitting == [size for size in (16, 32, 64) if 10 <= side <= 1.05 * size]
    assert [fits(side, scale) for scale in (8, 4, 2)] == [side <= 16, side <= 33, side <= 67]
    assert scale_for({8: side, 4: side, 2: side}) == (8 if side <= 16 else 4 if side <= 32 else 2)


def test_the_exact_size_is_kept_and_other_crops_are_squared_and_resized():
    face = np.random.default_rng(0).integers(0, 256, (20, 25, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_low_resolution(face[:16, :16], 16), face[:16, :16])
    square = Image.fromarray(face[:, 2:22])
    expected = np.asarray(square.resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
    difference = np.abs(to_low_resolution(face, 32) - expected)
    assert np.median(difference) == 0 and difference.max() <= 12  # Pillow clips between its two passes


def test_a_crop_that_does_not_fit_says_what_would():
    with pytest.raises(UserError, match=r'30x28 pixels.*short side 10 to 16\); use a network for x4 or x2'):
        to_low_resolution(np.zeros((28, 30, 3), np.uint8), 16)
    with pytest.raises(UserError, match='resize or crop it first'):
        to_low_resolution(np.zeros((300, 300, 3), np.uint8), 64)
    with pytest.raises(UserError, match='60x16 pixels is not a face crop'):
        to_low_resolution(np.zeros((16, 60, 3), np.uint8), 16)


def test_writing_overwrites_only_when_asked(colour, tmp_path):
    path = tmp_path / 'new' / 'a.png'
    write_face(path, colour)
    np.testing.assert_array_equal(read_face(path), colour)
    with pytest.raises(UserError, match='exists; --overwrite'):
        write_face(path, colour + 1)
    np.testing.assert_array_equal(read_face(path), colour)
    write_face(path, colour + 1, overwrite=True)
    np.testing.assert_array_equal(read_face(path), colour + 1)
    assert [entry.name for entry in path.parent.iterdir()] == ['a.png']


def test_batches_are_in_order_and_the_last_is_short():
    assert list(in_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]

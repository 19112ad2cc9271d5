"""CelebA's folders and text files, as they are distributed."""

import json
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.images.align import template_points, warp_face
from cface_basicsr.data.layouts.celeba import list_celeba
from cface_basicsr.data.layouts.source import Listing
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from tests.noise_photos import pixels, write_photo

LANDMARKS_HEAD = ('lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x '
                  'rightmouth_y')
ALIGNED = {'000001': (69, 109, 106, 113, 77, 142, 73, 152, 108, 154),
           '000002': (69, 110, 107, 112, 81, 135, 70, 151, 108, 153),
           '000003': (76, 112, 104, 106, 108, 128, 74, 156, 98, 158),
           '000004': (72, 113, 108, 108, 101, 138, 71, 155, 101, 151)}
WILD = {'000001': (165, 184, 244, 176, 196, 249, 194, 271, 266, 260),
        '000002': (140, 204, 220, 204, 168, 254, 146, 289, 226, 289),
        '000003': (244, 104, 264, 105, 263, 121, 235, 134, 251, 140),
        '000004': (796, 539, 984, 539, 930, 687, 762, 756, 915, 756)}
BOXES = {'000001': (95, 71, 226, 313), '000002': (72, 94, 221, 306), '000003': (216, 59, 91, 126),
         '000004': (622, 257, 564, 781)}
PEOPLE = {'000001': 2880, '000002': 2937, '000003': 8692, '000004': 2880}
PARTS = {'000001': 0, '000002': 1, '000003': 2, '000004': 2}


def rows(table: dict[str, tuple[int, ...]], *head: str) -> str:
    """In the official form: right-aligned numbers, separated by several blanks."""
    lines = [f'{name}.jpg {" ".join(f"{value:4d}" for value in values)} ' for name, values in table.items()]
    return '\n'.join([*head, *lines]) + '\n'


def text_files(anno: Path, evaluation: Path) -> None:
    for folder in (anno, evaluation):
        folder.mkdir(parents=True, exist_ok=True)
    (anno / 'identity_CelebA.txt').write_text(''.join(f'{name}.jpg {who}\n' for name, who in PEOPLE.items()))
    (evaluation / 'list_eval_partition.txt').write_text(''.join(f'{name}.jpg {part}\n' for name, part in PARTS.items()))
    (anno / 'list_landmarks_align_celeba.txt').write_text(rows(ALIGNED, '4', LANDMARKS_HEAD))
    (anno / 'list_landmarks_celeba.txt').write_text(rows(WILD, '4', LANDMARKS_HEAD))
    (anno / 'list_bbox_celeba.txt').write_text(rows(BOXES, '4', 'image_id x_1 y_1 width height'))


def aligned_images(folder: Path, ending: str = 'jpg') -> Path:
    for name in PEOPLE:
        write_photo(folder / f'{name}.{ending}', 178, 218)
    return folder


def wild_images(folder: Path) -> Path:
    for name, (width, height) in {'000001': (409, 687), '000002': (423, 600), '000003': (500, 606),
                                  '000004': (1300, 1100)}.items():
        write_photo(folder / f'{name}.jpg', width, height)
    return folder


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    """The official tree, with the aligned images."""
    text_files(tmp_path / 'CelebA' / 'Anno', tmp_path / 'CelebA' / 'Eval')
    aligned_images(tmp_path / 'CelebA' / 'Img' / 'img_align_celeba')
    return tmp_path / 'CelebA'


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """The same with the images in the wild, and all text files in the folder above them."""
    text_files(tmp_path / 'wild', tmp_path / 'wild')
    wild_images(tmp_path / 'wild' / 'img_celeba')
    return tmp_path / 'wild'


def settings(**values: object) -> PrepareSettings:
    return PrepareSettings(**({'scales': (2,), 'layout': 'celeba'} | values))


def keys(listing: Listing) -> list[str]:
    return [source.key for source in listing.sources]


def test_images_are_sorted_by_identity_and_the_centre_is_cropped(celeba: Path, tmp_path: Path) -> None:
    report = prepare(celeba, tmp_path / 'out', settings(scales=(2, 8)))
    store = FaceStore(tmp_path / 'out' / 'hr.lmdb')
    assert store.keys == ['02880/000001', '02880/000004', '02937/000002', '08692/000003']
    original = pixels(celeba / 'Img' / 'img_align_celeba' / '000004.jpg')
    assert np.array_equal(store.image('02880/000004'), original[45:173, 25:153])
    assert report.notes == [f"4 images in '{celeba}/Img/img_align_celeba' (aligned, 178x218), partition all."]
    layout = json.loads((tmp_path / 'out' / 'manifest.json').read_text())['layout']
    assert layout['files'] == {'identity': str(celeba / 'Anno' / 'identity_CelebA.txt')}
    assert layout['kind'] == 'aligned, 178x218'


@pytest.mark.parametrize('below', ['', 'Img', 'Img/img_align_celeba'])
def test_text_files_are_found_from_any_folder_of_the_tree(celeba: Path, below: str) -> None:
    assert len(list_celeba(celeba / below, settings()).sources) == 4


def test_text_files_elsewhere_must_be_named(celeba: Path, tmp_path: Path) -> None:
    (tmp_path / 'elsewhere').mkdir()
    (celeba / 'Anno').rename(tmp_path / 'elsewhere' / 'Anno')
    with pytest.raises(UserError, match=r'identity_CelebA.txt is missing(.|\n)*--annotations'):
        list_celeba(celeba, settings())
    assert len(list_celeba(celeba, settings(annotations=tmp_path / 'elsewhere')).sources) == 4


def test_the_png_version_and_csv_files_are_accepted_too(tmp_path: Path) -> None:
    aligned_images(tmp_path / 'archive' / 'img_align_celeba' / 'img_align_celeba', 'png')
    (tmp_path / 'archive' / 'identity_CelebA.csv').write_text('000001.jpg,2880\n000002.jpg,2937\n')
    listing = list_celeba(tmp_path / 'archive', settings())
    assert keys(listing) == ['02880/000001', '02937/000002']
    assert listing.rejected == [(f'{name}.png', 'not in identity_CelebA.csv') for name in ('000003', '000004')]


def test_only_the_test_partition_is_listed_when_asked_for(celeba: Path) -> None:
    listing = list_celeba(celeba, settings(partition='test'))
    assert keys(listing) == ['02880/000004', '08692/000003'] and listing.rejected == []
    assert listing.notes == [f"2 images in '{celeba}/Img/img_align_celeba' (aligned, 178x218), partition test."]
    assert set(listing.files) == {'identity', 'partition'}


def test_images_that_the_text_files_name_but_the_folder_lacks_are_noted(celeba: Path) -> None:
    (celeba / 'Img' / 'img_align_celeba' / '000003.jpg').unlink()
    for partition in ('test', 'all'):
        listing = list_celeba(celeba, settings(partition=partition))
        assert listing.facts['images_lacking'] == ['000003']
        assert '1 images in ' in listing.notes[1] and 'are not in the folder: 000003.' in listing.notes[1]


def test_faces_are_aligned_by_the_landmarks_of_the_aligned_images(celeba: Path, tmp_path: Path) -> None:
    prepare(celeba, tmp_path / 'out', settings(scales=(2, 4, 8), crop='align', template='sphereface', size=(112, 96)))
    store = FaceStore(tmp_path / 'out' / 'hr.lmdb')
    for key in ('02880/000001', '08692/000003'):
        name = key.split('/')[1]
        photo = pixels(celeba / 'Img' / 'img_align_celeba' / f'{name}.jpg')
        expected = warp_face(photo, np.reshape(ALIGNED[name], (5, 2)), template_points('sphereface', (112, 96)),
                             (112, 96))
        assert expected.shape == (112, 96, 3) and np.array_equal(store.image(key), expected)
    assert FaceStore(tmp_path / 'out' / 'lr_x8.lmdb').image('02880/000001').shape == (14, 12, 3)


def test_faces_in_the_wild_are_aligned_by_the_landmarks_in_the_wild(wild: Path, tmp_path: Path) -> None:
    prepare(wild, tmp_path / 'out', settings(crop='align', template='arcface', size=112))
    photo = pixels(wild / 'img_celeba' / '000002.jpg')
    expected = warp_face(photo, np.reshape(WILD['000002'], (5, 2)), template_points('arcface', 112), 112)
    assert np.array_equal(FaceStore(tmp_path / 'out' / 'hr.lmdb').image('02937/000002'), expected)


def test_a_box_of_the_faces_size_gives_exactly_its_pixels(wild: Path, tmp_path: Path) -> None:
    boxes = BOXES | {'000001': (95, 71, 128, 128), '000002': (200, 94, 100, 128), '000003': (1, 2, 0, 0)}
    (wild / 'list_bbox_celeba.txt').write_text(rows(boxes, '4', 'image_id x_1 y_1 width height'))
    report = prepare(wild, tmp_path / 'out', settings(crop='box'))
    store = FaceStore(tmp_path / 'out' / 'hr.lmdb')
    photo = pixels(wild / 'img_celeba' / '000001.jpg')
    assert np.array_equal(store.image('02880/000001'), photo[71:199, 95:223])
    photo = pixels(wild / 'img_celeba' / '000002.jpg')  # 14 more columns on either side make it square
    assert np.array_equal(store.image('02937/000002'), photo[94:222, 186:314])
    assert report.rejected[0] == ('000003.jpg', 'empty box (0x0) in list_bbox_celeba.txt')


def test_landmarks_in_the_wild_on_aligned_images_are_refused_by_name_and_position(celeba: Path, tmp_path: Path) -> None:
    align = {'crop': 'align', 'template': 'arcface'}
    path = celeba / 'Anno' / 'list_landmarks_celeba.txt'
    with pytest.raises(UserError, match=r'is for images of another size: these are aligned, and '
                                        'list_landmarks_align_celeba.txt belongs'):
        prepare(celeba, tmp_path / 'out', settings(landmarks=path, **align))
    path.rename(tmp_path / 'mine.txt')
    with pytest.raises(UserError, match=r"landmark \(244, 176\) of '000001.jpg' lies outside the 178x218 pixels"):
        prepare(celeba, tmp_path / 'out', settings(landmarks=tmp_path / 'mine.txt', **align))
    assert not (tmp_path / 'out').exists()


def test_aligned_landmarks_on_images_in_the_wild_are_refused(wild: Path) -> None:
    with pytest.raises(UserError, match='these are in the wild, and list_landmarks_celeba.txt belongs'):
        list_celeba(wild, settings(crop='align', template='arcface',
                                   landmarks=wild / 'list_landmarks_align_celeba.txt'))


@pytest.mark.parametrize(('crop', 'message'), [('center', 'need not be in the middle'),
                                               ('box', 'for the images in the wild')])
def test_crops_that_do_not_suit_the_images_are_refused(celeba: Path, wild: Path, crop: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list_celeba(wild if crop == 'center' else celeba, settings(crop=crop))


def test_a_truncated_text_file_is_refused(celeba: Path) -> None:
    path = celeba / 'Anno' / 'list_landmarks_align_celeba.txt'
    path.write_text(''.join(path.read_text().splitlines(True)[:-1]))
    with pytest.raises(UserError, match='declares 4 lines but holds 3: it is truncated'):
        list_celeba(celeba, settings(crop='align', template='arcface'))


def test_changed_images_in_the_folder_of_the_aligned_ones_are_refused(celeba: Path) -> None:
    write_photo(celeba / 'Img' / 'img_align_celeba' / '000002.jpg', 128, 128)
    with pytest.raises(UserError, match=r"000002.jpg' has 128x128 pixels, but CelebA's aligned images have 178x218"):
        list_celeba(celeba, settings())


def test_no_images_or_two_kinds_are_refused(celeba: Path, tmp_path: Path) -> None:
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='has no images called 000001.jpg'):
        list_celeba(tmp_path / 'empty', settings())
    wild_images(celeba / 'Img' / 'img_celeba')
    with pytest.raises(UserError, match='holds images of CelebA 2 times'):
        list_celeba(celeba, settings())
    assert len(list_celeba(celeba / 'Img' / 'img_celeba', settings(crop='box', annotations=celeba)).sources) == 4


def test_without_landmarks_an_alignment_may_use_a_detector_and_the_message_says_so(celeba: Path) -> None:
    (celeba / 'Anno' / 'list_landmarks_align_celeba.txt').unlink()
    with pytest.raises(UserError, match=r'list_landmarks_align_celeba.txt is missing(.|\n)*a detector find the '
                                        r'landmarks: --weights DIR\.$'):
        list_celeba(celeba, settings(crop='align', template='arcface', size=112))

"""Landmarks from a file: which images they belong to, and whether they fit."""

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

from cface_basicsr.data.images.align import template_points
from cface_basicsr.data.layouts.folders import list_sources
from cface_basicsr.data.layouts.landmarks import assign_landmarks, read_landmarks
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.data.layouts.source import Listing
from cface_basicsr.data.prepare.packing import Packed, Packing, pack_chunk
from cface_basicsr.errors import UserError
from tests.noise_photos import pixels, write_photo

FACE = '10 10 30 10 20 20 12 30 28 30'


def line(name: str, points: np.ndarray) -> str:
    return f'{name} {" ".join(f"{value:.4f}" for value in points.ravel())}\n'


def listed(folder: Path, *names: str, size: int = 40) -> Listing:
    for name in names:
        write_photo(folder / name, size, size)
    return list_sources(folder)


def taken(listing: Listing, folder: Path, text: str) -> Listing:
    path = folder / 'landmarks.txt'
    path.write_text(text)
    assign_landmarks(listing, read_landmarks(path), path)
    return listing


@pytest.mark.parametrize(('size', 'template'), [((112, 96), 'sphereface'), (112, 'arcface')])
def test_landmarks_that_are_the_shifted_template_give_exactly_those_pixels(tmp_path: Path, size: int | tuple[int, int],
                                                                         template: str) -> None:
    points = template_points(template, size) + [31, 17]
    listing = taken(listed(tmp_path / 'src', 'a/1.png', size=160), tmp_path, line('a/1.png', points))
    face = Packing(listing.photos, PrepareSettings((2,), 'align', size, template=template)).faces(listing.sources[0])[0]
    height, width = (size, size) if isinstance(size, int) else size
    assert np.array_equal(face, pixels(tmp_path / 'src/a/1.png')[17:17 + height, 31:31 + width])


def packed_by_arcface(listing: Listing) -> list[Packed]:
    return pack_chunk(Packing(listing.photos, PrepareSettings((2,), 'align', 32, template='arcface')), listing.sources)


def test_a_name_is_a_path_or_a_unique_file_name(tmp_path: Path) -> None:
    listing = listed(tmp_path / 'src', 'a/1.png', 'a/2.png', 'b/1.png')
    taken(listing, tmp_path, f'b/1.png {FACE}\n2.png {FACE.replace("28", "29")}\nc/9.png {FACE}\n')
    assert {source.path: source.points[8] for source in listing.sources} == {'a/2.png': 29, 'b/1.png': 28}
    assert listing.rejected == [('a/1.png', 'no landmarks in landmarks.txt')]
    assert listing.notes == [f"landmarks for 2 images from '{tmp_path}/landmarks.txt'. 1 images have none. "
                             '1 lines name no image.']
    assert listing.files['landmarks'] == tmp_path / 'landmarks.txt'


@pytest.mark.parametrize(('disk', 'text'), [('NFC', 'NFD'), ('NFD', 'NFC')])
def test_an_accent_may_be_one_character_or_two(tmp_path: Path, disk: str, text: str) -> None:
    listing = listed(tmp_path / 'src', normalize(disk, 'José/é.png'))
    assert len(taken(listing, tmp_path, normalize(text, f'José/é.png {FACE}\n')).sources) == 1


def test_a_file_name_that_two_images_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 names fit several images, for example '1.png'"):
        taken(listed(tmp_path / 'src', 'a/1.png', 'b/1.png'), tmp_path, f'1.png {FACE}\n')


def test_a_file_about_other_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='for none of the 1 images: it names x.png, the source has a/1.png'):
        taken(listed(tmp_path / 'src', 'a/1.png'), tmp_path, f'x.png {FACE}\n')


def test_landmarks_of_larger_images_are_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"landmark \(50, 10\) of 'a/1.png' lies outside the 40x40 pixels\n"
                                        r'\(and so in 1 of 2 images examined\)'):
        taken(listed(tmp_path / 'src', 'a/1.png', 'a/2.png'), tmp_path,
              f'a/1.png {FACE.replace("30 10", "50 10")}\na/2.png {FACE}\n')


def test_of_many_faces_only_the_one_beyond_the_border_is_rejected(tmp_path: Path) -> None:
    names = [f'a/{number}.png' for number in range(30)]
    listing = listed(tmp_path / 'src', *names)
    taken(listing, tmp_path, ''.join(f'{name} {FACE if name != "a/7.png" else FACE.replace("30 10", "40 10")}\n'
                                     for name in names))
    packed = packed_by_arcface(listing)
    assert {source.path: each.reason for source, each in zip(listing.sources, packed, strict=True) if each.reason} == {
        'a/7.png': 'landmark (40, 10) lies outside the 40x40 pixels'}


def test_five_landmarks_in_one_place_are_rejected(tmp_path: Path) -> None:
    listing = taken(listed(tmp_path / 'src', 'a/1.png'), tmp_path, f'a/1.png {"7 7 " * 5}\n')
    assert packed_by_arcface(listing)[0].reason == (
        'the five landmarks are all in one place')


def test_eyes_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'landmarks.txt').write_text('1.png 30 10 10 10 20 20 28 30 12 30\n')
    with pytest.raises(UserError, match='x1 is right of x2'):
        read_landmarks(tmp_path / 'landmarks.txt')

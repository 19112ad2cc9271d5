"""LFW's folders, and the pairs of its protocol."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.layouts.lfw import list_lfw
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from tests.noise_photos import pixels, write_photo

PAIRS = '2\t1\nAJ_Cook\t1\t2\nAJ_Cook\t1\tÁlvaro_B\t1\nÁlvaro_B\t1\t3\nAJ_Cook\t2\tÁlvaro_B\t2\n'
SETTINGS = PrepareSettings(scales=(2,), size=32, layout='lfw')


def images(folder: Path) -> Path:
    for name in ('AJ_Cook/AJ_Cook_0001.png', 'AJ_Cook/AJ_Cook_0002.png', 'Álvaro_B/Álvaro_B_0001.png',
                 'Álvaro_B/Álvaro_B_0002.png'):
        write_photo(folder / name)
    return folder


@pytest.mark.parametrize('below', ['', 'lfw-deepfunneled', 'archive/lfw_funneled'])
def test_the_folder_of_people_is_found_below_the_archives_top_folder(tmp_path: Path, below: str) -> None:
    images(tmp_path / 'lfw' / below)
    listing = list_lfw(tmp_path / 'lfw')
    assert [source.key for source in listing.sources] == [
        '%C3%81lvaro_B/%C3%81lvaro_B_0001', '%C3%81lvaro_B/%C3%81lvaro_B_0002', 'AJ_Cook/AJ_Cook_0001',
        'AJ_Cook/AJ_Cook_0002']
    assert listing.facts['images_in'] == str(tmp_path / 'lfw' / below)
    assert listing.pairs is None and 'no pairs.txt next to or inside' in listing.notes[-1]


@pytest.mark.parametrize('place', ['pairs.txt', 'lfw/pairs.txt', 'lfw/lfw_funneled/pairs.txt'])
def test_pairs_next_to_or_inside_the_folder_are_found(tmp_path: Path, place: str) -> None:
    images(tmp_path / 'lfw' / 'lfw_funneled')
    (tmp_path / place).write_text(PAIRS, encoding='utf-8')
    listing = list_lfw(tmp_path / 'lfw')
    assert listing.files['pairs'] == tmp_path / place and listing.rejected == []
    assert listing.pairs[1] == ('AJ_Cook/AJ_Cook_0001', '%C3%81lvaro_B/%C3%81lvaro_B_0001', False, 0)


def test_pairs_in_other_places_can_be_named(tmp_path: Path) -> None:
    (tmp_path / 'mine.txt').write_text(PAIRS, encoding='utf-8')
    assert len(list_lfw(images(tmp_path / 'lfw'), pairs=tmp_path / 'mine.txt').pairs) == 4
    with pytest.raises(UserError, match=r"no.txt' is missing"):
        list_lfw(tmp_path / 'lfw', pairs=tmp_path / 'no.txt')


def test_people_are_compared_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / 'people.txt').write_text('1\n3\nAJ_Cook\t3\nBo_Bo\t1\nÁlvaro_B\t2\n', encoding='utf-8')
    listing = list_lfw(images(tmp_path / 'lfw'))
    assert listing.facts['people'] == {'people': 3, 'images': 6, 'differs': [['AJ_Cook', 3, 2], ['Bo_Bo', 1, 0]]}
    assert any('2 people differ: AJ_Cook (expected 3, found 2), Bo_Bo (expected 1, found 0)' in note
               for note in listing.notes)


def test_files_with_other_names_are_rejected(tmp_path: Path) -> None:
    write_photo(images(tmp_path / 'lfw') / 'AJ_Cook' / 'AJ_Cook_2.png')
    assert list_lfw(tmp_path / 'lfw').rejected == [
        ('AJ_Cook/AJ_Cook_2.png', 'is not called AJ_Cook_ and four digits')]


def test_folders_without_lfw_or_with_two_of_it_are_refused(tmp_path: Path) -> None:
    write_photo(tmp_path / 'other' / 'Ann' / '1.png')
    with pytest.raises(UserError, match='<Name>_0001.jpg.*--layout folders'):
        list_lfw(tmp_path / 'other')
    for name in ('lfw', 'lfw_funneled'):
        images(tmp_path / 'both' / name)
    with pytest.raises(UserError, match=r'holds LFW 2 times: (.|\n)*lfw, (.|\n)*lfw_funneled'):
        list_lfw(tmp_path / 'both')


def test_the_prepared_folder_has_the_pairs_and_says_which_images_are_missing(tmp_path: Path) -> None:
    (tmp_path / 'pairs.txt').write_text(PAIRS, encoding='utf-8')
    source = images(tmp_path / 'lfw')
    write_photo(source / 'AJ_Cook' / 'AJ_Cook_0002.png', 31, 40)
    report = prepare(source, tmp_path / 'out', SETTINGS)
    rows = list(csv.reader((tmp_path / 'out' / 'pairs.csv').open()))
    assert rows == [['left', 'right', 'same', 'fold'],
                    ['AJ_Cook/AJ_Cook_0001', 'AJ_Cook/AJ_Cook_0002', '1', '0'],
                    ['AJ_Cook/AJ_Cook_0001', '%C3%81lvaro_B/%C3%81lvaro_B_0001', '0', '0'],
                    ['%C3%81lvaro_B/%C3%81lvaro_B_0001', '%C3%81lvaro_B/%C3%81lvaro_B_0003', '1', '1'],
                    ['AJ_Cook/AJ_Cook_0002', '%C3%81lvaro_B/%C3%81lvaro_B_0002', '0', '1']]
    assert ('pairs.csv: 2 of its 5 images, in 3 of its 4 pairs, are not in the prepared folder: '
            '%C3%81lvaro_B/%C3%81lvaro_B_0003 (not in the source), AJ_Cook/AJ_Cook_0002 (31x40 pixels, smaller than '
            'the 32x32 crop).') in report.notes[-1]
    manifest = json.loads((tmp_path / 'out' / 'manifest.json').read_text())
    assert manifest['layout']['files'] == {'pairs': str(tmp_path / 'pairs.txt')}
    assert manifest['layout']['pairs_missing'][0] == ['%C3%81lvaro_B/%C3%81lvaro_B_0003', 'not in the source']
    assert set(manifest['sha256']) == {'hr.lmdb', 'lr_x2.lmdb', 'identities.csv', 'pairs.csv'}
    assert np.array_equal(FaceStore(tmp_path / 'out' / 'hr.lmdb').image('AJ_Cook/AJ_Cook_0001'),
                          pixels(source / 'AJ_Cook' / 'AJ_Cook_0001.png')[4:36, 4:36])
    assert prepare(source, tmp_path / 'out', SETTINGS).notes == report.notes


def test_other_pairs_for_the_same_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'pairs.txt').write_text(PAIRS, encoding='utf-8')
    prepare(images(tmp_path / 'lfw'), tmp_path / 'out', SETTINGS)
    (tmp_path / 'pairs.txt').write_text('1\nAJ_Cook 1 2\nAJ_Cook 1 Álvaro_B 1\n', encoding='utf-8')
    with pytest.raises(UserError, match='was made with files_sha256'):
        prepare(tmp_path / 'lfw', tmp_path / 'out', SETTINGS)


def test_a_holdout_makes_no_pairs(tmp_path: Path) -> None:
    (tmp_path / 'pairs.txt').write_text(PAIRS, encoding='utf-8')
    report = prepare(images(tmp_path / 'lfw'), tmp_path / 'out', PrepareSettings(scales=(2,), size=32, layout='lfw',
                                                                                 holdout=1))
    assert report.notes[-1] == '--holdout divides the people: no pairs.csv is made.'
    assert not list((tmp_path / 'out').rglob('pairs.csv'))

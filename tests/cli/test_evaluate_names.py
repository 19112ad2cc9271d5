"""Features are joined to every list of images, however the names are written, and the numbers are the same."""

import json
import unicodedata
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import make_pairs
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.image_keys import image_key
from tests.blufr_file import write_blufr_file
from tests.references import slow_protocols

PEOPLE = ['A.J._Cook', 'Ann de Lee', "Bob_O'Neil", 'Eve', 'José_Peña', 'Zoë_Ray']
LABELS = np.repeat(range(6), 4)
IMAGES = [(PEOPLE[label], number) for label, number in zip(LABELS, [1, 2, 3, 4] * 6, strict=True)]
TRIALS = [([0, 4, 8], [1, 2, 5, 6, 9, 10, 12, 13, 16, 17]), ([12, 16, 20], [13, 14, 17, 18, 21, 22, 0, 1, 8, 9])]
WRITTEN = {'folder and name': '{0}/{0}_{1:04d}', 'path': '/home/me/lfw/{0}/{0}_{1:04d}.jpg', 'name': '{0}_{1:04d}',
           'file name': '{0}_{1:04d}.jpg', 'key': ''}
DATA = {'folder': ('lfw', '.'), 'identities.csv': ('lfw', 'identities.csv'), 'pairs.txt': ('lfw', 'pairs.txt'),
        'pairs.csv': ('lfw', 'pairs.csv'), 'saved pairs.csv': ('lfw', 'saved.csv'), 'named pairs.txt': (
            'lfw', '.', '--pairs', 'pairs.txt'), 'BLUFR': ('blufr', 'blufr.mat'), 'BLUFR of folder': (
                'blufr', '.', '--config', 'blufr.mat'), 'BLUFR of identities': (
                    'blufr', 'identities.csv', '--config', 'blufr.mat')}


@pytest.fixture(scope='module')
def lfw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A folder that `cface prepare` made of photographs with pairs.txt, its other lists, and features (24, 12)."""
    root = tmp_path_factory.mktemp('named')
    random = np.random.default_rng(5)
    for person, number in IMAGES:
        path = root / 'photos' / person / f'{person}_{number:04d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    folded = make_pairs(LABELS, folds=2, pairs_per_fold=12, seed=1)
    lines = ['2\t6']
    for row in np.argsort(folded.fold, kind='stable'):
        (left, i), (right, j) = (IMAGES[image] for image in folded.pairs[row])
        lines.append(f'{left}\t{i}\t{j}' if folded.same[row] else f'{left}\t{i}\t{right}\t{j}')
    (root / 'pairs.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    prepare(root / 'photos', root / 'data', PrepareSettings(scales=(2,), size=16, layout='lfw'))
    data = root / 'data'
    (data / 'pairs.txt').write_text((root / 'pairs.txt').read_text(encoding='utf-8'), encoding='utf-8')
    (data / 'saved.csv').write_text('\ufeff' + (data / 'pairs.csv').read_text().replace(',', ';'), encoding='utf-8')
    write_blufr_file(data / 'blufr.mat', [f'{person}/{person}_{number:04d}' for person, number in IMAGES],
                     LABELS.tolist(), TRIALS)
    features = random.normal(size=(6, 12))[LABELS] + 1.2 * random.normal(size=(24, 12))
    return data, features.astype(np.float32)


def evaluated(data: Path, words: tuple[str, ...], features: Path) -> dict[str, float]:
    protocol, where, *more = (str(data / word) if '.' in word else word for word in words)
    done = CliRunner().invoke(app, ['evaluate', protocol, where, *more, '--features', str(features), '--json'])
    if done.exception:
        raise done.exception
    return next(iter(json.loads(done.stdout)['runs'][0]['measured'].values()))['per_fold']


def write(folder: Path, features: np.ndarray, lines: list[str]) -> Path:
    np.save(folder / 'f.npy', features)
    (folder / 'f.keys.txt').write_text('\n'.join(lines), encoding='utf-8')
    return folder / 'f.npy'


@pytest.mark.parametrize(('data', 'written', 'accents'), product(DATA, WRITTEN, ['NFC', 'NFD']))
def test_every_list_finds_the_features_however_they_are_named(
        lfw: tuple[Path, np.ndarray], tmp_path: Path, data: str, written: str, accents: str) -> None:
    folder, features = lfw
    if written == 'key' and accents == 'NFD':
        pytest.skip('a key is written in one way')
    order = np.random.default_rng(2).permutation(24)
    names = [WRITTEN[written].format(*IMAGES[row]) or image_key(*IMAGES[row]) for row in order]
    path = write(tmp_path, features[order], [unicodedata.normalize(accents, name) for name in names])
    found = evaluated(folder, DATA[data], path)
    if data.startswith('BLUFR'):
        slow = [slow_protocols.blufr_rates(features, LABELS.tolist(), gallery, probe, .001, .01)
                for gallery, probe in TRIALS]
        assert found == {'features/vr': pytest.approx([vr for vr, _ in slow]),
                         'features/dir': pytest.approx([dir_ for _, dir_ in slow])}
    else:
        rows = {key: row for row, key in enumerate(image_key(*image) for image in IMAGES)}
        table = [line.split(',') for line in (folder / 'pairs.csv').read_text().splitlines()[1:]]
        scores = [slow_protocols.cosine(features[rows[left]], features[rows[right]]) for left, right, *_ in table]
        plain = slow_protocols.folds_accuracy(scores, [same == '1' for *_, same, _ in table],
                                              [int(fold) for *_, fold in table])
        assert found['features/accuracy'] == pytest.approx(plain)


def test_the_prepared_folder_has_all_pairs_of_names_with_dots_accents_apostrophes_and_blanks(
        lfw: tuple[Path, np.ndarray]) -> None:
    keys, labels = read_identities(lfw[0])
    assert sorted(image_key(*image) for image in IMAGES) == keys and len(set(labels)) == 6
    named = {key for line in (lfw[0] / 'pairs.csv').read_text().splitlines()[1:] for key in line.split(',')[:2]}
    assert named <= set(keys) and len({key.split('/')[0] for key in named}) == 6


@pytest.mark.parametrize(('disk', 'text'), [('NFD', 'NFC'), ('NFC', 'NFD')])
def test_a_folder_with_the_other_kind_of_accents_than_pairs_txt_is_prepared_with_its_pairs(
        tmp_path: Path, disk: str, text: str) -> None:
    name, other = (unicodedata.normalize(disk, each) for each in ('José_Peña', 'Zoë'))
    for person in (name, other):
        for number in (1, 2):
            path = tmp_path / 'lfw' / person / f'{person}_{number:04d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(path)
    (tmp_path / 'pairs.txt').write_text(unicodedata.normalize(text, '1\nJosé_Peña\t1\t2\nJosé_Peña\t1\tZoë\t2\n'))
    (tmp_path / 'people.txt').write_text(unicodedata.normalize(text, 'José_Peña\t2\nZoë\t2\n'))
    report = prepare(tmp_path / 'lfw', tmp_path / 'data', PrepareSettings(scales=(2,), size=16, layout='lfw'))
    lines = (tmp_path / 'data/pairs.csv').read_text().splitlines()
    first, second, stranger = image_key(name, 1), image_key(name, 2), image_key(other, 2)
    assert lines[1:] == [f'{first},{second},1,0', f'{first},{stranger},0,0']
    assert not any('differ' in note or 'not in the' in note for note in report.notes)


def test_missing_images_are_advised_on_by_what_was_given(lfw: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    folder, features = lfw
    path = write(tmp_path, features[:3], [image_key(*image) for image in IMAGES[:3]])
    for data in ('pairs.csv', 'pairs.txt'):
        with pytest.raises(UserError, match='not among the 3 here') as caught:
            evaluated(folder, ('lfw', data), path)
        assert 'Give features of all images that the pairs name' in str(caught.value)
        assert 'prepare' not in str(caught.value).lower()
    (tmp_path / 'pairs.txt').write_text('1\nEve\t1\t9\nEve\t1\tZoë_Ray\t1\n', encoding='utf-8')
    full = write(tmp_path, features, [image_key(*image) for image in IMAGES])
    with pytest.raises(UserError, match='names 1 images(.|\n)*Prepare it again'):
        evaluated(folder, ('lfw', '.', '--pairs', str(tmp_path / 'pairs.txt')), full)


def test_a_name_without_its_folder_that_two_people_share_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'pairs.csv').write_text('left,right,same,fold\na/1,a/2,1,0\na/1,b/1,0,0\na/1,a/2,1,1\na/1,b/1,0,1\n')
    path = write(tmp_path, np.eye(2, dtype=np.float32), ['1.jpg', '2.jpg'])
    with pytest.raises(UserError, match="'1' may be 'a/1' or 'b/1'"):
        evaluated(tmp_path, ('lfw', 'pairs.csv'), path)

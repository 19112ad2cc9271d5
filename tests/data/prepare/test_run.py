"""Preparing a folder: nothing is dropped silently, killed runs continue, and results do not depend on how they ran."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.data.images.align import Aligner, find_detector, main_face, template_points
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.data.prepare.packing import CHUNK
from cface_basicsr.data.prepare.run import PrepareReport, PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, store_entries, store_sha256
from cface_basicsr.files.identities import read_identities
from tests.small_data import close_environment

SHARED = Path(__file__).parents[4] / 'shared'
SMALL = PrepareSettings(scales=(2, 4), size=32)


def photo(path: Path, seed: int, size: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=95)


def photos(root: Path, identities: int, images: int) -> Path:
    for person in range(identities):
        for number in range(images):
            photo(root / f'{person:03d}' / f'{number:02d}.png', person * 100 + number)
    return root


def data_of(folder: Path) -> dict[str, object]:
    """All data in a prepared folder, whatever the files look like."""
    stores = sorted(path for path in folder.rglob('*.lmdb') if not path.name.startswith('.'))
    tables = sorted([*folder.rglob('identities.csv'), *folder.rglob('meta_info.txt')])
    content = {str(path.relative_to(folder)): list(store_entries(path)) for path in stores}
    for path in stores:
        close_environment(path)
    return content | {str(path.relative_to(folder)): path.read_bytes() for path in tables}


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp('source'), identities=6, images=8)


@pytest.fixture(scope='module')
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('built') / 'faces'
    prepare(source, out, SMALL)
    return out


def test_stores_hold_the_crop_and_its_downscaled_versions(source: Path, built: Path) -> None:
    hr = FaceStore(built / 'hr.lmdb')
    assert len(hr) == 48
    crop = np.asarray(Image.open(source / '002' / '05.png'))[4:36, 4:36]
    assert np.array_equal(hr.image('002/05'), crop)
    for scale in SMALL.scales:
        lr = FaceStore(built / f'lr_x{scale}.lmdb')
        assert lr.keys == hr.keys
        assert np.array_equal(lr.image('002/05'), low_resolution(crop[None], scale)[0])


def test_labels_are_dense_and_sorted_like_the_keys(built: Path) -> None:
    keys, labels = read_identities(built)
    assert keys == FaceStore(built / 'hr.lmdb').keys
    assert labels.tolist() == [person for person in range(6) for _ in range(8)]
    rows = list(csv.reader((built / 'identities.csv').open()))
    assert rows[0] == ['key', 'label', 'original_name'] and rows[1] == ['000/00', '0', '000/00.png']


def test_the_manifest_has_the_hash_of_every_file(built: Path) -> None:
    manifest = json.loads((built / 'manifest.json').read_text())
    assert manifest['images'] == 48 and manifest['identities'] == 6 and manifest['settings']['crop'] == 'center'
    assert set(manifest['sha256']) == {'hr.lmdb', 'lr_x2.lmdb', 'lr_x4.lmdb', 'identities.csv'}
    for name in ('hr.lmdb', 'lr_x2.lmdb', 'lr_x4.lmdb'):
        assert manifest['sha256'][name] == store_sha256(built / name)
    assert sorted(path.name for path in built.iterdir()) == ['hr.lmdb', 'identities.csv', 'lr_x2.lmdb', 'lr_x4.lmdb',
                                                            'manifest.json']


def test_a_second_run_says_that_everything_is_finished(source: Path, built: Path) -> None:
    before = (built / 'manifest.json').stat().st_mtime_ns
    report = prepare(source, built, SMALL)
    assert report.already_finished and report.parts[''].images == 48
    assert (built / 'manifest.json').stat().st_mtime_ns == before


def test_other_settings_for_the_same_folder_are_refused_with_both(source: Path, built: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'scales = \[2, 4\](.|\n)*scales = \[2, 8\]'):
        prepare(source, built, PrepareSettings(scales=(2, 8), size=32))
    with pytest.raises(UserError, match='source_sha256'):
        prepare(photos(tmp_path / 'other', 2, 2), built, SMALL)


CRASH = """
import os, signal, sys
from cface_basicsr.data.prepare.run import PrepareSettings, prepare

def kill(done, total):
    if done >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == '__main__':
    settings = PrepareSettings(scales=(2, 4), size=32, holdout=int(sys.argv[3]))
    prepare(sys.argv[1], sys.argv[2], settings, commit_every=10, progress=kill)
"""


@pytest.mark.slow
@pytest.mark.parametrize('holdout', [0, 2])
def test_a_killed_run_continues_and_equals_an_uninterrupted_one(source: Path, tmp_path: Path, holdout: int) -> None:
    script = tmp_path / 'crash.py'
    script.write_text(CRASH)
    settings = PrepareSettings(scales=(2, 4), size=32, holdout=holdout)
    run = subprocess.run([sys.executable, script, source, tmp_path / 'killed', str(holdout), '25'], check=False)
    assert run.returncode == -signal.SIGKILL
    assert not list((tmp_path / 'killed').rglob('manifest.json'))
    seen = []
    prepare(source, tmp_path / 'killed', settings, progress=lambda done, total: seen.append(done))
    assert seen[:2] == [20, 21]  # 20 were committed: said at once, before the first new one
    prepare(source, tmp_path / 'uninterrupted', settings)
    assert data_of(tmp_path / 'killed') == data_of(tmp_path / 'uninterrupted')
    assert not list((tmp_path / 'killed').rglob('.*'))


def test_a_run_stopped_between_two_renames_continues(source: Path, built: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    from cface_basicsr.data.prepare import run as module

    def stop(accepted: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, 'identity_table', stop)
        prepare(source, tmp_path / 'out', SMALL)
    assert (tmp_path / 'out' / 'hr.lmdb').is_dir() and not (tmp_path / 'out' / 'manifest.json').exists()
    prepare(source, tmp_path / 'out', SMALL)
    assert data_of(tmp_path / 'out') == data_of(built)


@pytest.mark.slow
def test_several_processes_build_the_same(built: Path, source: Path, tmp_path: Path) -> None:
    assert 48 > CHUNK  # otherwise there is work for only one process
    prepare(source, tmp_path / 'out', SMALL, workers=2)
    assert data_of(tmp_path / 'out') == data_of(built)


@pytest.fixture(scope='module')
def mess(tmp_path_factory: pytest.TempPathFactory) -> PrepareReport:
    """The report on a source with every kind of problem."""
    root = photos(tmp_path_factory.mktemp('mess'), identities=2, images=3)
    photo(root / '000' / 'img.0.png', 1001)
    photo(root / '000' / 'img.1.png', 1002)
    photo(root / '001' / '00.jpg', 1003)
    photo(root / 'Zoë' / '1.png', 1004)
    (root / '001' / 'copy.png').write_bytes((root / '001' / '01.png').read_bytes())
    (root / '001' / 'damaged.png').write_bytes((root / '001' / '01.png').read_bytes()[:900])
    (root / '001' / 'notes.txt').write_text('no image')
    photo(root / '001' / 'small.png', 1005, size=31)
    (root / 'empty').mkdir()
    (root / 'ruined').mkdir()
    (root / 'ruined' / '1.jpg').write_bytes(b'')
    return prepare(root, root.parent / 'mess_out', SMALL)


def test_problems_are_listed_with_their_reasons(mess: PrepareReport) -> None:
    rejected = dict(mess.rejected)
    assert sorted(rejected) == ['001/damaged.png', '001/notes.txt', '001/small.png', 'empty/', 'ruined/',
                                'ruined/1.jpg']
    assert 'damaged' in rejected['001/damaged.png'] and rejected['001/notes.txt'] == 'not an image'
    assert rejected['001/small.png'] == '31x31 pixels, smaller than the 32x32 crop'
    assert rejected['ruined/'] == 'empty identity: none of 1 files gave a face'
    assert json.loads((mess.parts[''].folder / 'manifest.json').read_text())['rejected'] == [
        list(line) for line in mess.rejected]


def test_names_that_would_merge_get_different_keys_and_are_listed(mess: PrepareReport) -> None:
    keys = FaceStore(mess.parts[''].folder / 'hr.lmdb').keys
    assert {'000/img%2E0', '000/img%2E1', '001/00+jpg', '001/00+png', 'Zo%C3%AB/1'} <= set(keys)
    assert {source.path for source in mess.renamed} == {'000/img.0.png', '000/img.1.png', '001/00.jpg', '001/00.png',
                                                        'Zoë/1.png'}


def test_original_names_are_kept_and_labels_stay_dense(mess: PrepareReport) -> None:
    rows = list(csv.DictReader((mess.parts[''].folder / 'identities.csv').open(encoding='utf-8')))
    assert {row['key']: row['original_name'] for row in rows}['Zo%C3%AB/1'] == 'Zoë/1.png'
    assert {int(row['label']) for row in rows} == {0, 1, 2} and len(rows) == mess.parts[''].images == 11


def test_equal_pictures_are_kept_and_listed(mess: PrepareReport) -> None:
    assert mess.parts[''].duplicates == [['001/01', '001/copy']]


def test_held_out_identities_are_disjoint_and_chosen_by_the_seed(source: Path, tmp_path: Path) -> None:
    chosen = {}
    for seed in (0, 1, 2):
        out = tmp_path / str(seed)
        prepare(source, out, PrepareSettings(scales=(2,), size=32, holdout=2, seed=seed))
        parts = {name: {key.split('/')[0] for key in FaceStore(out / name / 'hr.lmdb').keys}
                 for name in ('train', 'test')}
        assert len(parts['test']) == 2 and len(parts['train']) == 4 and not parts['test'] & parts['train']
        assert sorted(set(read_identities(out / 'train')[1].tolist())) == [0, 1, 2, 3]
        chosen[seed] = frozenset(parts['test'])
    assert len(set(chosen.values())) > 1


def test_an_identity_without_two_usable_photographs_is_never_held_out(tmp_path: Path) -> None:
    root = photos(tmp_path / 'source', identities=3, images=2)
    (root / '000' / '00.png').write_bytes(b'broken')
    report = prepare(root, tmp_path / 'out', PrepareSettings(scales=(2,), size=32, holdout=2))
    assert report.parts['test'].images == 4 and report.parts['train'].images == 1
    with pytest.raises(UserError, match='--holdout 3: of 3 identities in the source, 2'):
        prepare(root, tmp_path / 'more', PrepareSettings(scales=(2,), size=32, holdout=3))
    assert not (tmp_path / 'more').exists()


def test_a_source_without_a_usable_photograph_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'source' / 'a').mkdir(parents=True)
    (tmp_path / 'source' / 'a' / '1.jpg').write_text('no image')
    with pytest.raises(UserError, match='no usable face'):
        prepare(tmp_path / 'source', tmp_path / 'out', SMALL)


def orl(root: Path) -> Path:
    """As the Olivetti faces: 92x112 pixels, and a few other files."""
    for name in ('s1/1.pgm', 's1/2.pgm', 's2/1.pgm', 's2/2.pgm', 's2/10.pgm'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (112, 92), np.uint8)).save(root / name)
    (root / 's2' / 'README').write_text('text')
    return root


@pytest.mark.parametrize('holdout', [0, 1])
def test_where_nothing_is_usable_the_reasons_are_counted_and_what_helps_is_said(tmp_path: Path, holdout: int) -> None:
    source, out = orl(tmp_path / 'orl'), tmp_path / 'out'
    with pytest.raises(UserError) as refused:
        prepare(source, out, PrepareSettings(scales=(2, 4, 8), holdout=holdout))
    example = 's1/1.pgm' if not holdout else 's[12]/1.*.pgm'
    assert re.search(rf'5 of 6: 92x112 pixels, smaller than the 128x128 crop \({example}\); 1 of 6: not an image '
                     r'\(s2/README\)\.\n--size 88 takes them as they are; --crop align finds the faces and enlarges '
                     'them.$', str(refused.value))
    assert str(refused.value).count('\n') <= 2 and not out.exists()
    report = prepare(source, out, PrepareSettings(scales=(2, 4, 8), size=88, holdout=holdout))
    assert sum(part.images for part in report.parts.values()) == 5


@pytest.mark.parametrize(('settings', 'reason', 'advised'), [
    (PrepareSettings(scales=(2,), crop='none'), '5 of 6: 92x112 pixels, expected 128x128', '--crop center'),
    (PrepareSettings(scales=(2,), size=256), '5 of 6: 92x112 pixels, smaller than the 256x256 crop', '--size 92 takes'),
    (PrepareSettings(scales=(64,)), '5 of 6: 92x112 pixels, smaller than the 128x128 crop', '--size 64 takes'),
    (PrepareSettings(scales=(128,)), '5 of 6: 92x112 pixels, smaller than the 128x128 crop', '\n--crop align finds')])
def test_advice_suits_the_reason(tmp_path: Path, settings: PrepareSettings, reason: str, advised: str) -> None:
    with pytest.raises(UserError) as refused:
        prepare(orl(tmp_path / 'orl'), tmp_path / 'out', settings)
    assert reason in str(refused.value) and advised in str(refused.value)


def test_a_part_without_a_usable_photograph_keeps_the_work_on_the_other(tmp_path: Path) -> None:
    source = photos(tmp_path / 'source', identities=2, images=2)
    for name in ('00.png', '01.png'):
        (source / '000' / name).write_bytes(b'broken')
    with pytest.raises(UserError, match="gave no usable face for train/: 2 of 2: not an image .000/00.png..$"):
        prepare(source, tmp_path / 'out', PrepareSettings(scales=(2,), size=32, holdout=1))
    assert (tmp_path / 'out' / '.prepare.unfinished').is_dir()


@pytest.mark.parametrize(('values', 'message'), [
    ({'layout': 'lfv'}, '--layout'), ({'crop': 'middle'}, '--crop'), ({'scales': (3,)}, 'that divide the HR size'),
    ({'scales': ()}, 'at least one'), ({'crop': 'align'}, '--template'), ({'template': 'arcface'}, 'belong to')])
def test_settings_that_do_not_fit_are_refused_before_any_work(tmp_path: Path, values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, tmp_path / 'out', PrepareSettings(**({'scales': (2,)} | values)))
    assert not os.listdir(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / 'weights').is_dir(), reason='needs ../shared with the detector and photographs')
def test_faces_of_real_photographs_are_found_and_a_landscape_is_listed(tmp_path: Path) -> None:
    """Prepared with the detector, 112x96: a second detection finds the landmarks on SphereFace's template."""
    for person in ('0000001', '0000002'):
        (tmp_path / 'source' / person).mkdir(parents=True)
        for image in ('001.jpg', '002.jpg'):
            shutil.copy(SHARED / 'data' / 'casia_like' / person / image, tmp_path / 'source' / person)
    Image.fromarray(np.full((250, 250, 3), 90, np.uint8)).save(tmp_path / 'source' / '0000002' / 'wall.png')
    settings = PrepareSettings(scales=(2, 4, 8), size=(112, 96), crop='align', template='sphereface',
                               weights=SHARED / 'weights')
    report = prepare(tmp_path / 'source', tmp_path / 'out', settings)
    assert report.parts[''].images == 4 and report.rejected == [('0000002/wall.png', 'no face found')]
    store = FaceStore(tmp_path / 'out' / 'hr.lmdb')
    aligner = Aligner(find_detector(SHARED / 'weights'), 'sphereface', (112, 96))
    for key in store.keys:
        again = main_face(aligner.detect(store.image(key)), 96, 112)
        assert np.abs(again - template_points('sphereface', (112, 96))).mean() < 4
    assert FaceStore(tmp_path / 'out' / 'lr_x8.lmdb').image(store.keys[0]).shape == (14, 12, 3)

"""TinyFace and QMUL-SurvFace from their official trees."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from cface_basicsr.data.layouts.small_faces import list_survface, list_tinyface
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.listed_search import SURVFACE, TINYFACE
from cface_basicsr.evaluation.pairs_file import read_pairs
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.measuring.search_protocol import SurvFaceProtocol, TinyFaceProtocol
from tests.noise_photos import pixels, write_photo
from tests.small_face_trees import write_list, write_pairs, write_tree

GALLERY, PROBE = {'1_a.jpg': 1, '1_b.jpg': 1, '20_a.jpg': 20}, {'1_c.jpg': 1, '20_b.png': 20}
OTHERS = ['far.away.jpg', '7_z.jpg']
SETTINGS = PrepareSettings(scales=(2, 4), layout='tinyface', crop='resize', size=32)


def tinyface(root: Path) -> Path:
    write_tree(root, GALLERY, PROBE, OTHERS)
    return root


def survface(root: Path) -> Path:
    write_tree(root, GALLERY, PROBE, OTHERS, SURVFACE)
    names = [*GALLERY, *PROBE]
    write_pairs(root / 'Face_Verification_Test_Set', [(names[0], names[1])] * 5 + [(names[0], names[3])] * 15,
                [(names[0], OTHERS[0])] * 20)
    return root


@pytest.mark.parametrize('above', ['', 'tinyface', 'archive/tinyface'])
def test_people_are_those_of_the_lists_and_each_distractor_is_its_own(tmp_path: Path, above: str) -> None:
    tinyface(tmp_path / 'x' / above)
    listing = list_tinyface(tmp_path / 'x')
    assert {source.key: source.path for source in listing.sources} == {
        '00001/1_a': 'Gallery_Match/1_a.jpg', '00001/1_b': 'Gallery_Match/1_b.jpg', '00001/1_c': 'Probe/1_c.jpg',
        '00020/20_a': 'Gallery_Match/20_a.jpg', '00020/20_b': 'Probe/20_b.png',
        'distractor-7_z/7_z': 'Gallery_Distractor/7_z.jpg',
        'distractor-far%2Eaway/far%2Eaway': 'Gallery_Distractor/far.away.jpg'}
    assert listing.rejected == [] and [*listing.files] == ['gallery', 'probe']
    assert listing.notes == [f"7 images in '{tmp_path / 'x' / above / 'Testing_Set'}': 3 in Gallery_Match, 2 in Probe, "
                             '2 in Gallery_Distractor.']


def test_lists_may_be_in_the_folder_of_the_evaluation(tmp_path: Path) -> None:
    tinyface(tmp_path)
    (tmp_path / 'Face_Identification_Evaluation').mkdir()
    for part in (TINYFACE.gallery, TINYFACE.probe):
        (tmp_path / 'Testing_Set' / part.file).rename(tmp_path / 'Face_Identification_Evaluation' / part.file)
    assert len(list_tinyface(tmp_path).sources) == 7


def test_the_training_set_is_a_partition_of_its_own(tmp_path: Path) -> None:
    write_photo(tinyface(tmp_path) / 'Training_Set' / '3' / '3_a.jpg', 20, 20)
    assert [source.key for source in list_tinyface(tmp_path, 'train').sources] == ['3/3_a']
    with pytest.raises(UserError, match="--partition of tinyface 'val' is unknown"):
        list_tinyface(tmp_path, 'val')
    with pytest.raises(UserError, match='has no Training_Set'):
        list_tinyface(tmp_path / 'Testing_Set', 'train')


def test_faces_go_straight_to_each_size_and_keep_their_pixels_where_they_have_it(tmp_path: Path) -> None:
    tinyface(tmp_path / 'x')
    face = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(face).save(tmp_path / 'x' / 'Testing_Set' / 'Probe' / '20_b.png')
    prepare(tmp_path / 'x', tmp_path / 'out', SETTINGS)
    assert np.array_equal(FaceStore(tmp_path / 'out' / 'lr_x4.lmdb').image('00020/20_b'), face)
    for store, size in (('hr', 32), ('lr_x2', 16), ('lr_x4', 8)):
        for key, path in (('00001/1_c', 'Probe/1_c.jpg'), ('distractor-7_z/7_z', 'Gallery_Distractor/7_z.jpg')):
            photo = pixels(tmp_path / 'x' / 'Testing_Set' / path)
            side = min(photo.shape[:2])
            top, left = ((length - side) // 2 for length in photo.shape[:2])
            cut = photo[top:top + side, left:left + side].astype(np.float32)
            planes = [Image.fromarray(cut[..., channel]).resize((size, size), Image.Resampling.BICUBIC)
                      for channel in range(3)]  # Pillow's bicubic is the same kernel, and exact for floats
            found = FaceStore(tmp_path / 'out' / f'{store}.lmdb').image(key)
            assert np.abs(found - np.stack(planes, -1).clip(0, 255)).max() <= 0.51
    manifest = json.loads((tmp_path / 'out' / 'manifest.json').read_text())
    assert manifest['kernel'] == 'antialiased bicubic, a = -0.5, of the photograph, rounded to 8 bit'
    settings = manifest['settings']
    assert settings['crop'] == 'resize' and set(settings['files_sha256']) == {'gallery', 'probe'}


def test_a_killed_run_goes_on_to_the_same_stores(tmp_path: Path) -> None:
    tinyface(tmp_path / 'x')
    whole = prepare(tmp_path / 'x', tmp_path / 'whole', SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / 'x', tmp_path / 'out', SETTINGS, progress=_stop, commit_every=1)
    assert prepare(tmp_path / 'x', tmp_path / 'out', SETTINGS).parts[''].files == whole.parts[''].files


def _stop(done: int, total: int) -> None:
    if done == 3:
        raise KeyboardInterrupt


def test_a_prepared_folder_has_the_protocols_search(tmp_path: Path) -> None:
    prepare(tinyface(tmp_path / 'x'), tmp_path / 'out', SETTINGS)
    search = TinyFaceProtocol(tmp_path / 'x' / 'Testing_Set', read_identities(tmp_path / 'out')[0])
    assert search.compared.settings == {'probes': 2, 'gallery': 3, 'distractors': 2, 'parts': 2}


def test_the_verification_pairs_become_pairs_in_ten_folds(tmp_path: Path) -> None:
    settings = PrepareSettings(scales=(2,), layout='survface', crop='resize', size=32)
    report = prepare(survface(tmp_path / 'x'), tmp_path / 'out', settings)
    keys, _ = read_identities(tmp_path / 'out')
    assert keys[-2:] == ['unmated_probe-7_z/7_z', 'unmated_probe-far%2Eaway/far%2Eaway']
    folded = read_pairs(tmp_path / 'out' / 'pairs.csv', keys)
    assert np.bincount(folded.fold).tolist() == [4] * 10 and folded.same.sum() == 20
    pairs = [tuple(keys[row] for row in pair) for pair in folded.pairs]
    assert pairs[:4] == [('00001/1_a', '00001/1_b')] * 2 + [('00001/1_a', keys[-1])] * 2
    assert pairs[-4:] == [('00001/1_a', '00001/1_c')] * 2 + [('00001/1_a', keys[-1])] * 2
    assert 'pairs: 40 from' in report.notes[-1]
    search = SurvFaceProtocol(tmp_path / 'x' / SURVFACE.root, keys)
    assert search.compared.settings['unmated'] == 2 and search.compared.settings['people'] == 2


def test_without_the_verification_set_there_are_no_pairs(tmp_path: Path) -> None:
    write_tree(tmp_path, GALLERY, PROBE, OTHERS, SURVFACE)
    listing = list_survface(tmp_path / SURVFACE.root)
    assert listing.pairs is None and 'so no pairs.csv is made' in listing.notes[-1]


def _write_pairs(folder: Path, cells: object) -> None:
    savemat(folder / 'Face_Verification_Test_Set/positive_pairs_names.mat', {'positive_pairs_names': cells})


@pytest.mark.parametrize(('break_it', 'message'), [
    (lambda root: (root / SURVFACE.root / 'gallery/1_b.jpg').unlink(),
     "gallery_img_ID_pairs.mat' names 1 of 3 images that '.*gallery' lacks, first 1_b.jpg. Take lists and images"),
    (lambda root: write_list(root / SURVFACE.root, SURVFACE.gallery, {'1_a.jpg': -1}), 'expected whole numbers from 0'),
    (lambda root: (root / SURVFACE.root / SURVFACE.probe.file).write_bytes(b'x'), 'cannot be read as a MATLAB file'),
    (lambda root: (root / SURVFACE.root / 'unmated_probe').rename(root / 'elsewhere'),
     'has no Face_Identification_Test_Set/{gallery, mated_probe, unmated_probe}'),
    (lambda root: write_pairs(root / 'Face_Verification_Test_Set', [('1_a.jpg', '1_x.jpg')] * 10, []),
     "1.* images of '.*positive_pairs_names.mat' are missing among 7 keys, first 1_x"),
    (lambda root: write_pairs(root / 'Face_Verification_Test_Set', [('1_a.jpg', '1_b.jpg')] * 9, []),
     'positive_pairs_names: expected 10 or more rows of two file names, got object of shape .9, 2'),
    (lambda root: _write_pairs(root, np.ones((12, 2))), 'expected 10 or more rows of two file names, got float64'),
    (lambda root: _write_pairs(root, np.ones((2, 3, 4))), 'of shape .2, 3, 4'),
])
def test_another_release_is_refused_in_one_line(tmp_path: Path, break_it: Callable[[Path], object],
                                                message: str) -> None:
    break_it(survface(tmp_path / 'x'))
    with pytest.raises(UserError, match=message) as refused:
        list_survface(tmp_path / 'x')
    assert '\n' not in str(refused.value)


def test_an_image_that_its_list_does_not_name_is_rejected(tmp_path: Path) -> None:
    write_photo(survface(tmp_path) / SURVFACE.root / 'gallery' / 'new.jpg')
    assert list_survface(tmp_path).rejected == [('gallery/new.jpg', 'not in gallery_img_ID_pairs.mat')]

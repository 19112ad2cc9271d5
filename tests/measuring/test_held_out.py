"""One test set: its numbers are those of their parts, and few pairs keep few images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.data.images.align import template_points, warp_face
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.evaluation.verification import kfold_accuracy, make_pairs, verification_rate_at_far
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.measuring import request
from cface_basicsr.measuring.held_out import OpenTestSet, Recognizer, few_pairs
from cface_basicsr.measuring.protocols import protocols_of
from cface_basicsr.measuring.results import Faces, Run, load_scores
from cface_basicsr.recognizers.load import load_recognizer
from tests.measuring.conftest import PLACES
from tests.small_data import write_small_data
from tests.tiny_stages import write_recognizer


@pytest.fixture(scope='module')
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenTestSet:
    folder = tmp_path_factory.mktemp('test_set')
    write_small_data(folder / 'test', identities=20, images=3)
    recognizer = Recognizer(load_recognizer(write_recognizer(folder / 'r.pth')), 'a' * 64)
    return OpenTestSet('held-out', request.TestSet(pairs_per_fold=8, faces=3, far=0.1), folder / 'test', 8,
                       {'r': recognizer})


def measured(opened: OpenTestSet, system: str, folder: Path) -> Run:
    run = Run(system, 8)
    opened.measure(run, opened.embed(system), folder)
    return run


def images(opened: OpenTestSet, store: str) -> np.ndarray:
    return np.stack([FaceStore(opened.faces.folder / store).image(key) for key in opened.faces.keys])


def test_numbers_are_those_of_their_parts(opened: OpenTestSet, tmp_path: Path) -> None:
    found = measured(opened, 'Bicubic', tmp_path).measured['held-out']
    sr = super_resolve(BicubicUpsampler(scale=8), images(opened, 'lr_x8.lmdb'))
    psnr, ssim = psnr_ssim(*(part.transpose(0, 3, 1, 2) for part in (sr, images(opened, 'hr.lmdb'))))
    features = extract_features(opened.networks['r'], sr)
    pairs, open_set = opened.protocols
    scores = cosine_scores(features, pairs.folded.pairs)
    accuracy = kfold_accuracy(scores, pairs.folded.same, pairs.folded.fold)
    dir_ = open_set.measure('r', features)
    assert {key: found.numbers[key] for key in ('psnr', 'ssim', 'r/accuracy', 'r/accuracy_std', 'r/vr', 'r/dir')} == {
        'psnr': psnr.mean().item(), 'ssim': pytest.approx(ssim.mean().item()), 'r/accuracy': accuracy.mean,
        'r/accuracy_std': accuracy.std, 'r/vr': verification_rate_at_far(scores, pairs.folded.same, 0.1),
        'r/dir': dir_.numbers['r/dir']}
    assert found.per_fold == {'r/accuracy': accuracy.per_fold.tolist(), 'r/dir': dir_.per_fold['r/dir']}
    same, kept = load_scores(tmp_path / found.scores)
    assert (same == pairs.folded.same).all() and (kept['r'] == scores).all()


@pytest.mark.parametrize(('wanted', 'genuine', 'said'), [
    ('all', [8, 7], 'each has as many pairs as it has room for: 15 of the 15 pairs of one person'),
    ('most', [7, 7], 'all have as many pairs as the smallest one has room for: 14 of the 15 pairs of one person')])
def test_a_test_set_may_ask_for_all_pairs_of_one_person_or_for_folds_of_one_size(wanted: str, genuine: list[int],
                                                                                 said: str) -> None:
    labels = np.repeat(np.arange(6), [4, 3, 3, 2, 2, 2])
    pairs, _ = protocols_of(request.TestSet(pairs_per_fold=wanted, folds=2), [f'{row}/a' for row in labels], labels,
                            'tests.one')
    assert sorted(np.bincount(pairs.folded.fold, pairs.folded.same), reverse=True) == genuine
    assert f'folds share no identity, and {said};' in pairs.compared.note
    outcome = pairs.measure('r', np.eye(6, dtype=np.float32)[labels])
    assert outcome.numbers['r/accuracy'] == outcome.numbers['r/vr'] == 1 and len(outcome.scores) == 2 * sum(genuine)


def test_hr_has_no_psnr_and_an_ssim_of_one(opened: OpenTestSet, tmp_path: Path) -> None:
    numbers = measured(opened, 'HR', tmp_path).measured['held-out'].numbers
    assert numbers['psnr'] is None and numbers['ssim'] == 1.0


def test_shown_faces_are_of_different_people_and_are_where_it_says(opened: OpenTestSet, tmp_path: Path) -> None:
    assert len({opened.faces.labels[row] for row in opened.shown}) == 3
    run, faces = measured(opened, 'HR', tmp_path), Faces('held-out', [])
    opened.save_low(faces, tmp_path)
    assert list(run.faces) == faces.keys == list(faces.low[8]) == [opened.faces.keys[row] for row in opened.shown]
    hr, lr = images(opened, 'hr.lmdb'), images(opened, 'lr_x8.lmdb')
    for row, key in zip(opened.shown, faces.keys, strict=True):
        for path, wanted in ((run.faces[key], hr), (faces.low[8][key], lr)):
            assert (_picture(tmp_path / path) == wanted[row]).all()


def _picture(path: Path) -> np.ndarray:
    from PIL import Image
    with Image.open(path) as image:
        return np.asarray(image)


def test_on_the_way_fewer_images_are_measured_in_the_same_way(opened: OpenTestSet, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    network = BicubicUpsampler(scale=8)
    whole = measured(opened, 'Bicubic', tmp_path).measured['held-out'].numbers
    used = np.unique(opened.protocols[0].folded.pairs)
    assert opened.along_the_way(network)['r'] == whole['r/accuracy']  # all pairs: there are fewer than 300 images
    monkeypatch.setattr('cface_basicsr.measuring.held_out.CURVE_IMAGES', 30)
    rows = np.unique(few_pairs(opened.protocols[0].folded, 30).pairs)
    assert len(rows) < len(used)
    sr = super_resolve(network, images(opened, 'lr_x8.lmdb')[rows])
    psnr, _ = psnr_ssim(*(part.transpose(0, 3, 1, 2) for part in (sr, images(opened, 'hr.lmdb')[rows])))
    assert opened.along_the_way(network)['psnr'] == pytest.approx(psnr.mean().item())


def test_the_fingerprint_follows_what_decides_the_numbers(opened: OpenTestSet) -> None:
    def fingerprint(scale: int = 8, sha256: str = 'a' * 64, **options: object) -> str:
        recognizer = Recognizer(opened.networks['r'], sha256)
        settings = request.TestSet(**{'pairs_per_fold': 8, 'faces': 3, 'far': 0.1, **options})
        return OpenTestSet('held-out', settings, opened.faces.folder, scale, {'r': recognizer}).fingerprint()
    assert fingerprint() == opened.fingerprint() == fingerprint(like='lfw')  # whose tables it fills changes no number
    assert len({fingerprint(), fingerprint(scale=4), fingerprint(sha256='b' * 64), fingerprint(pairs_per_fold=6),
                fingerprint(far_identification=0.1), fingerprint(faces=1)}) == 6


def test_the_fingerprint_follows_what_a_pairs_file_says_and_not_where_it_is(
        opened: OpenTestSet, tmp_path: Path) -> None:
    keys = opened.faces.keys

    def fingerprint(name: str, right: str) -> str:
        lines = ['left,right,same,fold', *(f'{keys[0]},{keys[3]},0,{fold}' for fold in range(2)),
                 *(f'{keys[0]},{right},1,{fold}' for fold in range(2))]
        (tmp_path / name).write_text('\n'.join(lines) + '\n')
        settings = request.TestSet(pairs=str(tmp_path / name))
        return OpenTestSet('held-out', settings, opened.faces.folder, 8, opened.recognizers).fingerprint()
    assert fingerprint('a.csv', keys[1]) == fingerprint('b.csv', keys[1]) != fingerprint('a.csv', keys[2])


def test_few_pairs_keep_both_kinds_in_each_fold_and_few_images() -> None:
    labels = np.repeat(np.arange(60), 4)
    pairs = make_pairs(labels, pairs_per_fold=40)
    few = few_pairs(pairs, 100)
    assert len(np.unique(few.pairs)) <= 100 < len(np.unique(pairs.pairs))
    for fold in range(10):
        kinds = few.same[few.fold == fold]
        assert kinds.sum() == (~kinds).sum() > 0
    all_of_them = few_pairs(pairs, 10_000)
    assert (all_of_them.pairs == pairs.pairs).all()


def test_a_missing_store_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no hr\.lmdb.*\nMake it: cface prepare .* --scale 8"):
        OpenTestSet('LFW', request.TestSet(), tmp_path, 8, {})


# ------------------------------------------------------------------------------------ dlib's recognizer on centre crops

@pytest.fixture
def centred(tmp_path: Path) -> Path:
    folder = write_small_data(tmp_path / 'centred', identities=20, images=3)
    (folder / 'manifest.json').write_text(json.dumps({'settings': {'crop': 'center'}}))
    return folder


def of_centre_crops(folder: Path) -> OpenTestSet:
    own = Recognizer(load_recognizer(write_recognizer(folder / 'r.pth')), 'a' * 64)
    return OpenTestSet('held-out', request.TestSet(pairs_per_fold=8, faces=0, far=0.1), folder, 8,
                       {'r': own, 'judge': Recognizer(load_recognizer('dlib'), 'b' * 64)})


def test_dlibs_recognizer_sees_centre_crops_aligned_by_the_landmarks_of_hr_and_others_do_not(
        centred: Path, detector: Any) -> None:
    opened = of_centre_crops(centred)
    assert detector.calls == 60
    assert opened.notes()[0].startswith('The judge sees faces that are aligned')
    assert not any('features will be poor' in note for note in opened.notes())
    features = opened.embed('HR').features
    assert list(features) == ['r', 'judge']
    hr, place = images(opened, 'hr.lmdb'), template_points('arcface', 128)
    chips = np.stack([warp_face(image, PLACES, place, 128) for image in hr])
    for name, seen in (('r', hr), ('judge', chips)):
        np.testing.assert_allclose(features[name], extract_features(opened.networks[name], seen), atol=1e-5)


def test_the_accuracy_along_the_way_is_by_the_same_aligned_faces(centred: Path, detector: Any) -> None:
    opened = of_centre_crops(centred)
    numbers = opened.along_the_way(BicubicUpsampler(scale=8))
    run = Run('Bicubic', 8)
    opened.measure(run, opened.embed('Bicubic'), centred)
    assert numbers['judge'] == run.measured['held-out'].numbers['judge/accuracy']


def test_without_landmarks_it_sees_them_as_they_are_and_the_note_says_why(centred: Path, detector: Any) -> None:
    detector.blind = 60
    opened = of_centre_crops(centred)
    assert opened.notes()[0].startswith('Judge not applicable: no landmarks are found on 60 of 60 originals')
    assert any('its features will be poor' in note for note in opened.notes())

"""One test set: the numbers are those of the whole-set protocol, and few pairs keep few images."""

from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.benchmark.file import HeldOut
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import evaluate_images
from cface_basicsr.evaluation.features import extract_features
from cface_basicsr.evaluation.verification import make_pairs
from cface_basicsr.measuring.gauge import Gauge, Recognizer, few_pairs
from cface_basicsr.measuring.results import load_scores
from cface_basicsr.recognizers.load import load_recognizer
from tests.small_data import write_small_data
from tests.tiny_stages import write_recognizer


@pytest.fixture(scope='module')
def gauge(tmp_path_factory: pytest.TempPathFactory) -> Gauge:
    folder = tmp_path_factory.mktemp('gauge')
    write_small_data(folder / 'test', identities=20, images=3)
    recognizer = Recognizer(load_recognizer(write_recognizer(folder / 'r.pth')), 'a' * 64)
    return Gauge('held-out', HeldOut(pairs_per_fold=8, faces=3, far=0.1), folder / 'test', 8, {'r': recognizer})


def test_numbers_are_those_of_the_whole_set_protocol(gauge: Gauge, tmp_path: Path) -> None:
    images = gauge.super_resolved(None)
    measured = gauge.measure(images, tmp_path / 's.npz')
    wanted = evaluate_images(images, gauge.hr, gauge.pairs.pairs, gauge.pairs.same,
                             {'r': gauge.recognizers['r'].network}, folds=gauge.pairs.fold, far=0.1)
    features = extract_features(gauge.recognizers['r'].network, images)
    assert measured.numbers == pytest.approx(wanted | gauge.open_set.numbers('r', features))
    assert np.mean(measured.per_fold['r']) == pytest.approx(wanted['r/accuracy'])
    same, scores = load_scores(tmp_path / 's.npz')
    assert (same == gauge.pairs.same).all() and scores['r'].shape == same.shape


def test_hr_has_no_psnr_and_an_ssim_of_one(gauge: Gauge, tmp_path: Path) -> None:
    numbers = gauge.measure(gauge.hr, tmp_path / 's.npz').numbers
    assert numbers['psnr'] is None and numbers['ssim'] == 1.0


def test_shown_faces_are_of_different_people_and_lie_where_it_says(gauge: Gauge, tmp_path: Path) -> None:
    assert len({gauge.labels[row] for row in gauge.shown()}) == 3
    paths = gauge.save_faces(gauge.hr, tmp_path / 'a/b', tmp_path)
    assert all((tmp_path / path).is_file() for path in paths.values())
    assert list(paths) == [gauge.keys[row] for row in gauge.shown()]


def test_the_mark_follows_what_decides_the_numbers(gauge: Gauge) -> None:
    def mark(scale: int = 8, sha256: str = 'a' * 64, **options: object) -> str:
        recognizer = Recognizer(gauge.recognizers['r'].network, sha256)
        settings = HeldOut(**{'pairs_per_fold': 8, 'faces': 3, 'far': 0.1, **options})
        return Gauge('held-out', settings, gauge.folder, scale, {'r': recognizer}).mark()
    assert mark() == gauge.mark() == mark(faces=1)  # how many faces are shown changes no number
    assert mark() == mark(like='lfw')  # nor does whose tables it fills
    assert len({mark(), mark(scale=4), mark(sha256='b' * 64), mark(pairs_per_fold=6),
                mark(far_identification=0.1)}) == 5


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


def test_a_missing_store_is_named_with_what_makes_it(gauge: Gauge, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test set 'LFW': '.*hr\.lmdb' is missing"):
        Gauge('LFW', HeldOut(), tmp_path, 8, {})


def test_the_mark_follows_what_stands_in_the_pairs_file_and_not_where_it_lies(gauge: Gauge, tmp_path: Path) -> None:
    def mark(name: str, right: str) -> str:
        lines = ['left,right,same,fold', *(f'{gauge.keys[0]},{gauge.keys[3]},0,{fold}' for fold in range(2)),
                 *(f'{gauge.keys[0]},{right},1,{fold}' for fold in range(2))]
        (tmp_path / name).write_text('\n'.join(lines) + '\n')
        return Gauge('held-out', HeldOut(pairs=str(tmp_path / name)), gauge.folder, 8, gauge.recognizers).mark()
    assert mark('a.csv', gauge.keys[1]) == mark('b.csv', gauge.keys[1]) != mark('a.csv', gauge.keys[2])

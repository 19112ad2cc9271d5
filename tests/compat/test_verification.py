"""Verification at each validation: the accuracy that `cface evaluate pairs` would find for the same faces."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.compat import verification
from cface_basicsr.compat.verification import check_verification
from cface_basicsr.errors import UserError
from cface_basicsr.measuring.measure import FaceSet, measure
from cface_basicsr.measuring.protocol import PairsProtocol
from cface_basicsr.recognizers.load import load_recognizer
from tests.small_data import write_small_data
from tests.tiny_stages import build, stage_options, write_recognizer, write_tiny_data

FOLDS = 3


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_data(tmp_path_factory.mktemp('tiny'))
    write_small_data(folder / 'many', identities=8, images=3, seed=2)
    write_recognizer(folder / 'judge.pth', seed=4)
    return folder


def options(data: Path, **verification: Any) -> dict[str, Any]:
    """Of stage 1, validated on 24 faces."""
    faces = {'dataroot_gt': str(data / 'many/hr.lmdb'), 'dataroot_lq': str(data / 'many/lr_x8.lmdb'),
             'num_images': None}
    asked = {'recognizer': str(data / 'judge.pth'), 'folds': FOLDS} | verification
    return stage_options(1, data, {'datasets': {'val': faces}, 'val': {'verification': asked, 'batch_size': 5}})


class Board:
    """Stands in for TensorBoard's writer."""

    def __init__(self) -> None:
        self.scalars: dict[str, float] = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name] = value

    def add_image(self, *arguments: Any) -> None:
        pass


def validated(opt: dict[str, Any], folder: Path) -> tuple[Any, dict[str, float]]:
    """A model that has been validated, and what TensorBoard shows."""
    from basicsr.data import build_dataloader, build_dataset
    model, board = build(opt, folder), Board()
    section = model.opt['datasets']['val']
    loader = build_dataloader(build_dataset(section), section, num_gpu=0, sampler=None, seed=0)
    model.validation(loader, 7, board, save_img=False)
    return model, board.scalars


def test_the_accuracy_is_that_of_the_protocol_on_the_networks_pictures(data: Path, tmp_path: Path) -> None:
    model, shown = validated(options(data), tmp_path)
    faces, judge = FaceSet.open(data / 'many', 8), load_recognizer(data / 'judge.pth')
    protocol = PairsProtocol.drawn(faces.keys, faces.labels, folds=FOLDS, pairs_per_fold='most', seed=0, far=None)
    expected = measure(model.net_g.eval(), faces, {'judge': judge}, [protocol]).numbers['judge/accuracy']
    assert 0 < expected < 1
    assert model.metric_results['verification'] == pytest.approx(expected)
    assert shown['metrics/casia_test/verification'] == pytest.approx(expected)
    assert model.best_metric_results['casia_test']['verification'] == {
        'better': 'higher', 'val': model.metric_results['verification'], 'iter': 7}


def test_the_judge_is_loaded_once_for_the_check_and_all_sets_and_sees_several_faces_at_once(
        data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, seen = [], []
    monkeypatch.setattr(verification, 'load_recognizer', lambda path: (loaded.append(path), load_recognizer(path))[1])
    monkeypatch.setattr(SphereFace20, 'forward', lambda self, x, before=SphereFace20.forward: (
        seen.append(len(x)), before(self, x))[1])
    verification._load.cache_clear()
    opt = options(data)
    opt['val']['batch_size'] = 1
    opt['datasets']['val_2'] = opt['datasets']['val'] | {'name': 'again', 'num_images': 12}
    checked = {**opt, 'datasets': {name: section | {'scale': 8} for name, section in opt['datasets'].items()}}
    check_verification(checked)
    seen.clear()
    model, _ = validated(opt, tmp_path)
    assert loaded == [data / 'judge.pth'] and seen[-3:] == [8, 8, 8] and 1 not in seen
    pictures = {row: np.full((side, side, 3), row, np.uint8) for row, side in enumerate((128, 64, 128))}
    found = model.verified_faces['casia_test'].features(pictures, 'cpu')
    assert {row: each.shape for row, each in found.items()} == dict.fromkeys(range(3), found[0].shape)


def test_other_metrics_stay_as_they_are_and_it_works_without_any(data: Path, tmp_path: Path) -> None:
    plain, seen = options(data), options(data)
    del plain['val']['verification']
    results = [validated(opt, tmp_path / str(number))[0].metric_results for number, opt in enumerate((plain, seen))]
    assert results[1].pop('verification') > 0 and results[0] == results[1] and results[0]['psnr'] > 0
    seen['val']['metrics'] = None
    assert list(validated(seen, tmp_path / 'alone')[0].metric_results) == ['verification']


def test_it_changes_no_random_number(data: Path, tmp_path: Path) -> None:
    states = []
    for number, asked in enumerate((True, False)):
        opt = options(data)
        if not asked:
            del opt['val']['verification']
        torch.manual_seed(0)
        np.random.seed(0)
        validated(opt, tmp_path / str(number))
        states.append((torch.rand(1).item(), np.random.rand()))
    assert states[0] == states[1]


@pytest.mark.parametrize(('verification', 'message'), [
    ({'pairs_per_fold': 1000},
     "option 'val.verification': 24 images of 8 identities are too few for 3 folds of 1000 pairs"),
    ({'folds': 5}, "option 'val.verification': "),
    ({'recognizer': 'absent.pth'}, "option 'val.verification': recognizer 'absent.pth' is missing."),
    ({'folds': 1}, "option 'folds': "),
    ({'foldes': 3}, "option 'foldes' is unknown; did you mean 'folds'?")])
def test_what_cannot_be_verified_is_refused_before_the_training(
        data: Path, verification: dict[str, Any], message: str) -> None:
    opt = options(data, **verification)
    for section in opt['datasets'].values():
        section |= {'scale': 8}
    with pytest.raises(UserError) as refused:
        check_verification(opt)
    assert str(refused.value).startswith(message)


def test_a_set_whose_keys_do_not_say_who_is_shown_is_refused(data: Path) -> None:
    opt = options(data)
    opt['datasets']['val']['type'] = 'PairedImageDataset'
    with pytest.raises(UserError, match=r"'datasets.val.type' to be FacePairDataset, whose keys say who is shown"):
        check_verification(opt)
    opt['val']['verification'] = None
    check_verification(opt)


def test_dlib_refuses_faces_that_were_not_aligned(data: Path) -> None:
    opt = options(data, recognizer='dlib')
    opt['datasets']['val']['scale'] = 8
    manifest = data / 'many/manifest.json'
    manifest.write_text('{"settings": {"crop": "center"}}')
    try:
        with pytest.raises(UserError, match='Prepare faces with --crop align, or name another'):
            check_verification(opt)
        manifest.write_text('{"settings": {"crop": "align"}}')
        check_verification(opt)
    finally:
        manifest.unlink()

"""Features of the compare index in place of computed ones: the same loss, no compare image, and nothing else's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cface_basicsr.data.compare_index import build_index, load_features
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.recognizers.load import load_recognizer
from tests.tiny_stages import batch_of, build, stage_options, write_recognizer, write_tiny_data

FILE = {'reference_features': 'file', 'use_hflip': True}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny data whose only index is that of its own recognizer."""
    folder = write_tiny_data(tmp_path_factory.mktemp('reference'))
    for path in (folder / 'train/index').rglob('*.*'):
        path.unlink()
    (folder / 'train/index/testindex').rmdir()
    index_by(folder / 'net_r.pth', folder)
    return folder


def index_by(recognizer: Path, folder: Path) -> Path:
    return build_index(folder / 'train', load_recognizer(recognizer), recognizer_hash(recognizer))


def options(folder: Path, stage: int = 1, train: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    return stage_options(stage, folder, {'datasets': {'train': data}, 'train': train or {}})


def test_a_step_has_the_losses_and_gradients_that_computed_features_give(folder: Path, tmp_path: Path) -> None:
    """The index keeps float16, so features differ by up to 2^-11 of each number."""
    models = {}
    for name in ('compute', 'file'):
        model = models[name] = build(options(folder, reference_features=name, use_hflip=True), tmp_path / name)
        model.feed_data(batch_of(model, 6))
        model.optimize_parameters(1)
    mirrored = batch_of(models['file'], 6)['flip']
    assert mirrored.any() and not mirrored.all()
    computed, read = (model.get_current_log() for model in models.values())
    assert computed['l_cf_compare'] > 1e-4
    for name in computed:
        assert read[name] == pytest.approx(computed[name], rel=2e-3), name
    for ours, theirs in zip(models['file'].net_g.parameters(), models['compute'].net_g.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=5e-3, atol=1e-5)


def test_an_item_has_the_stored_features_and_no_compare_image_is_read(folder: Path, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.data import build_dataset
    model = build(options(folder, **FILE), tmp_path)
    faces = build_dataset(model.opt['datasets']['train'])
    read = []
    planes = FaceStore.planes
    monkeypatch.setattr(FaceStore, 'planes', lambda store, key: (read.append(key), planes(store, key))[1])
    stored = np.load(next((folder / 'train/index').rglob('features.npy')))
    for row in range(len(faces)):
        item = faces[row]
        other = faces.keys.index(item['compare_path'])
        for name, each in (('phi_gt', row), ('phi_compare', other)):
            assert item[name].numpy().tolist() == stored[each, int(item['flip'])].astype(np.float32).tolist()
        assert 'compare' not in item
    assert read == [key for key in faces.keys for _ in range(2)]  # HR and LR


@pytest.mark.parametrize(('stage', 'train', 'message'), [
    (4, {}, "'file' belongs to a frozen CNN_R; train.recognition_opt"),
    (1, {'cface_opt': {'distance': 'l2'}}, "'file' holds unit features; 'l2' compares"),
    (1, {'cface_opt': None}, "'file' needs train.cface_opt"),
])
def test_what_no_index_can_serve_is_refused(folder: Path, tmp_path: Path, stage: int, train: dict[str, Any],
                                            message: str) -> None:
    with pytest.raises(UserError, match=f"^option 'datasets.train.reference_features': {message}"):
        build(options(folder, stage, train, **FILE), tmp_path)


def test_features_of_another_recognizer_or_input_are_refused(folder: Path, tmp_path: Path) -> None:
    opt = options(folder, **FILE)
    other = {**opt, 'path': {'pretrain_network_r': str(write_recognizer(tmp_path / 'other.pth', seed=3))}}
    with pytest.raises(UserError, match='of another recognizer than network_r'):
        build(other, tmp_path / 'a')
    with pytest.raises(UserError, match='of another input than network_r'):
        build({**opt, 'network_r': opt['network_r'] | {'channels': 'bgr'}}, tmp_path / 'b')


def test_an_index_of_images_that_were_prepared_again_is_refused(folder: Path, tmp_path: Path) -> None:
    from basicsr.data import build_dataset
    model = build(options(folder, **FILE), tmp_path)
    manifest = folder / 'train/manifest.json'
    manifest.write_text(json.dumps({'sha256': {'hr.lmdb': 'another'}}))
    try:
        with pytest.raises(UserError, match='they may have been prepared again since'):
            build_dataset(model.opt['datasets']['train'])
    finally:
        manifest.unlink()


def test_features_that_another_k_has_kept_are_still_those_of_the_images_of_then(tmp_path: Path) -> None:
    folder = write_tiny_data(tmp_path / 'data')
    recognizer = folder / 'net_r.pth'
    index = index_by(recognizer, folder)
    (folder / 'train/manifest.json').write_text(json.dumps({'sha256': {'hr.lmdb': 'prepared again'}}))
    build_index(folder / 'train', load_recognizer(recognizer), recognizer_hash(recognizer), k=2)
    keys, _ = read_identities(folder / 'train')
    with pytest.raises(UserError, match='they may have been prepared again since'):
        load_features(index, keys)

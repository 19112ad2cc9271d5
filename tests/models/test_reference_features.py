"""Features of the compare index in place of computed ones: the same loss, no compare image, and nothing else's."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cface_basicsr.data.compare_index import build_index, load_features
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.recognizers.load import load_recognizer
from tests.small_data import smooth_images
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
    said = refusal(options(folder, stage, train, **FILE), tmp_path)
    assert said.startswith(f"option 'datasets.train.reference_features': {message}") and '\n' not in said


def refusal(opt: dict[str, Any], out: Path) -> str:
    """What a training with these options says before its first step."""
    from basicsr.data import build_dataset
    with pytest.raises(UserError) as caught:
        build_dataset(build(opt, out).opt['datasets']['train'])
    return str(caught.value)


def test_features_of_another_recognizer_or_input_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    opt, start = options(folder, **FILE), "option 'datasets.train.reference_features': the features of '"
    other = {**opt, 'path': {'pretrain_network_r': str(write_recognizer(tmp_path / 'other.pth', seed=3))}}
    colours = {**opt, 'network_r': opt['network_r'] | {'channels': 'bgr'}}
    for changed, what in ((other, 'recognizer'), (colours, 'input')):
        said = refusal(changed, tmp_path / what)
        assert said.startswith(start) and f'are of another {what} than network_r' in said and '\n' not in said


def write_photos(root: Path, left: int, size: int) -> Path:
    """Three photographs each of four people, of which `size` pixels from `left` on are kept."""
    for number, image in enumerate(smooth_images(12, 0, 160)):
        path = root / f'{number // 3:07d}' / f'{number % 3:03d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[left:left + size, left:left + size]).save(path)
    return root


@pytest.mark.parametrize(('left', 'size', 'crop', 'store'), [(0, 128, 'none', 'png'), (0, 160, 'center', 'raw')],
                         ids=['crop', 'form'])
def test_features_of_another_crop_or_form_of_the_same_photographs_are_refused_in_one_line(
        folder: Path, tmp_path: Path, left: int, size: int, crop: str, store: str) -> None:
    index, recognizer = {}, folder / 'net_r.pth'
    for name, photos, settings in (('one', (0, 160), {}), ('other', (left, size), {'crop': crop, 'store': store})):
        prepare(write_photos(tmp_path / f'{name}_photos', *photos), tmp_path / name,
                PrepareSettings(scales=(8,), **settings))
        index[name] = build_index(tmp_path / name, load_recognizer(recognizer), recognizer_hash(recognizer))
    hr = str(tmp_path / 'one/hr.lmdb')
    stores = FILE | {'dataroot_gt': hr, 'dataroot_lq': str(tmp_path / 'one/lr_x8.lmdb')}
    model = build(options(folder, **stores, compare_index=str(index['one'])), tmp_path / 'right')
    assert batch_of(model)['phi_gt'].shape == (4, 8)
    said = refusal(options(folder, **stores, compare_index=str(index['other'])), tmp_path / 'wrong')
    assert said.startswith(f"compare index '{index['other']}': expected features of the images in '{hr}', but they are")
    assert '\n' not in said


def test_an_index_is_not_taken_for_finished_where_the_folder_was_prepared_anew(folder: Path, tmp_path: Path) -> None:
    recognizer = folder / 'net_r.pth'

    def index_of(left: int) -> Path:
        prepare(write_photos(tmp_path / 'photos', left, 128), tmp_path / 'data', PrepareSettings(scales=(8,)))
        return build_index(tmp_path / 'data', load_recognizer(recognizer), recognizer_hash(recognizer))

    index = index_of(0)
    assert index_of(0) == index  # finished
    for path in (tmp_path / 'data').iterdir():
        if path != index.parent:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=f"^compare index '{index}' was made of other images than hr.lmdb has now"):
        index_of(16)
    shutil.rmtree(index)
    assert index_of(16) == index


def test_features_of_another_data_set_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    others = write_tiny_data(tmp_path / 'others', identities=2)
    index = index_by(folder / 'net_r.pth', others)
    said = refusal(options(folder, **FILE, compare_index=str(index)), tmp_path / 'run')
    assert f"compare index '{index}' was made for another data set: it has 6 images, this one 12." in said
    assert '\n' not in said


def test_features_without_those_of_the_mirror_images_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_tiny_data(tmp_path / 'data')
    index = index_by(folder / 'net_r.pth', folder)
    both = np.load(index / 'features.npy')
    np.save(index / 'features.npy', both[:, :1])
    said = refusal(options(folder, **FILE, compare_index=str(index)), tmp_path / 'run')
    assert said.startswith(f"'{index}/features.npy' is damaged: expected float16 (12, 2, 8), got float16 (12, 1, 8).")
    assert '\n' not in said


def test_an_index_of_images_that_were_prepared_again_is_refused(folder: Path, tmp_path: Path) -> None:
    from basicsr.data import build_dataset
    model = build(options(folder, **FILE), tmp_path)
    manifest = folder / 'train/manifest.json'
    manifest.write_text(json.dumps({'sha256': {'hr.lmdb': 'another'}}))
    try:
        with pytest.raises(UserError, match='or these were prepared again since'):
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
    with pytest.raises(UserError, match='or these were prepared again since'):
        load_features(index, keys, folder / 'train/hr.lmdb')

"""LR faces that are made from HR: those of the LR store, bit for bit, wherever they are made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from cface_basicsr.data.cface_triplet_dataset import CFaceTripletDataset
from cface_basicsr.data.epoch_index import EpochIndex
from cface_basicsr.data.generated_faces import render_face
from cface_basicsr.data.images.image_tensor import batch_on, byte_tensor, unit_range
from cface_basicsr.data.images.low_resolution import reduce_bytes
from cface_basicsr.data.labelled_face_dataset import LabelledFaceDataset
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.store_writer import StoreWriter
from cface_basicsr.ops.resize import bicubic_resize
from tests.small_data import write_small_index


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered faces and noise, prepared; noise has values that are halfway between two grey levels."""
    folder = tmp_path_factory.mktemp('data')
    noise = np.random.default_rng(0)
    for number in range(20):
        photo = (render_face(identity=number // 4, image=number % 4, size=128) if number % 2
                 else noise.integers(0, 256, (128, 128, 3), np.uint8))
        path = folder / f'photos/{number // 4:03d}/{number % 4}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(photo))
    prepare(folder / 'photos', folder / 'data', PrepareSettings(scales=(2, 4, 8), crop='none'))
    write_small_index(folder / 'data', k=3)
    return folder / 'data'


def build(data: Path, scale: int = 8, **options: Any) -> CFaceTripletDataset:
    return CFaceTripletDataset({'name': 'faces', 'phase': 'train', 'scale': scale, 'use_hflip': True,
                                'dataroot_gt': str(data / 'hr.lmdb')} | options)


def batch(faces: Any, epoch: int = 0) -> dict[str, Any]:
    return default_collate([faces[EpochIndex(row, epoch)] for row in range(len(faces))])


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]) if isinstance(value, Tensor) else value == other[name], name


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_all_lr_faces_are_those_of_the_store_made_by_the_model_or_the_worker(data: Path, scale: int) -> None:
    root = str(data / f'lr_x{scale}.lmdb')
    read = batch(build(data, scale, dataroot_lq=root))
    made_in_worker = batch(build(data, scale, lq_from_gt=True))
    sent = batch(build(data, scale, lq_from_gt=True, uint8=True, dataroot_lq=root))
    assert 'lq' not in sent and sent['gt'].dtype == torch.uint8
    assert read['flip'].any() and not read['flip'].all()
    assert_equal(read, made_in_worker)
    assert_equal(read, batch_on('cpu', sent, scale))
    stored = FaceStore(root)
    for key, lq, flip in zip(stored.keys, read['lq'], read['flip'], strict=True):
        image = stored.image(key)[:, ::-1] if flip else stored.image(key)
        assert (lq.mul(255).round().byte().permute(1, 2, 0).numpy() == image).all()


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_in_float64_as_a_gpu_computes_few_values_round_otherwise_and_by_one_grey_level(scale: int) -> None:
    """Those that are halfway between two grey levels to within float32's error."""
    generator = torch.Generator().manual_seed(scale)
    hr = torch.randint(0, 256, (64, 3, 128, 128), generator=generator, dtype=torch.uint8)
    exact = bicubic_resize(hr.double(), 128 // scale)
    apart = exact.clamp(0, 255).round() - reduce_bytes(hr, scale)
    assert apart.abs().max() <= 1 and (apart != 0).float().mean() < 1e-4
    halfway = (exact - exact.floor() - 0.5).abs()
    assert (halfway[apart != 0] < 1e-4).all()


def test_bytes_become_the_floats_that_other_models_get(data: Path) -> None:
    root = {'dataroot_lq': str(data / 'lr_x8.lmdb')}
    for name, faces in (('triplets', build), ('labelled', labelled)):
        options = root if faces is build else {}
        floats, sent = batch(faces(data, **options)), batch(faces(data, uint8=True, **options))
        assert all(sent[key].dtype == torch.uint8 for key in ('lq', 'gt', 'compare') if key in sent), name
        assert_equal(floats, batch_on('cpu', sent, 8))


def labelled(data: Path, **options: Any) -> LabelledFaceDataset:
    return LabelledFaceDataset({'name': 'faces', 'dataroot_gt': str(data / 'hr.lmdb'), 'use_hflip': True} | options)


def test_a_data_set_that_builds_on_ours_computes_with_floats(data: Path) -> None:
    class Darker(LabelledFaceDataset):
        def __getitem__(self, index: int) -> dict[str, Any]:
            item = super().__getitem__(index)
            return item | {'gt': item['gt'] * 0.5}

    class Same(CFaceTripletDataset):
        pass

    root = {'name': 'faces', 'dataroot_gt': str(data / 'hr.lmdb')}
    assert torch.equal(Darker(root | {'uint8': True})[1]['gt'], LabelledFaceDataset(root)[1]['gt'] * 0.5)
    same = Same(root | {'uint8': True, 'lq_from_gt': True, 'scale': 8})[1]
    assert same['lq'].dtype == same['gt'].dtype == torch.float32


def test_a_byte_becomes_its_255th_part_as_basicsr_rounds_it() -> None:
    every = np.arange(256, dtype=np.uint8)
    assert unit_range(torch.from_numpy(every)).numpy().tolist() == (every.astype(np.float32) / 255.).tolist()


def test_a_mirror_image_swaps_left_and_right_in_every_plane_and_leaves_what_was_read() -> None:
    planes = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    assert byte_tensor(planes, mirror=True).tolist() == [[row[::-1] for row in plane] for plane in planes.tolist()]
    assert planes.ravel().tolist() == list(range(24))


def test_faces_that_were_degraded_in_another_way_are_refused(data: Path, tmp_path: Path) -> None:
    lr = FaceStore(data / 'lr_x8.lmdb')
    with StoreWriter(tmp_path / 'lr_x8.lmdb') as writer:
        for key in lr.keys:
            writer.put(key, encode_png(np.where(lr.image(key) > 0, lr.image(key) - 1, 1).astype(np.uint8)))
        writer.finish()
    with pytest.raises(UserError) as caught:
        build(data, lq_from_gt=True, dataroot_lq=str(tmp_path / 'lr_x8.lmdb'))
    assert str(caught.value) == (
        f"option 'datasets.train.lq_from_gt': '000/0' of '{tmp_path / 'lr_x8.lmdb'}' is not the bicubic reduction of "
        f"'{data / 'hr.lmdb'}' that `cface prepare` makes; leave the option out, so that it is read.")


def test_a_camera_degrades_faces_by_seed_epoch_and_index_alone_whoever_loads_them(data: Path) -> None:
    camera = build(data, lq_from_gt=True, degradation='camera')
    floats, again = batch(camera), batch(camera)
    assert_equal(floats, again)
    assert_equal(floats, batch_on('cpu', batch(build(data, lq_from_gt=True, degradation='camera', uint8=True)), 8))
    alone = [camera[EpochIndex(row, 0)]['lq'] for row in reversed(range(len(camera)))]
    assert torch.equal(torch.stack(alone[::-1]), floats['lq'])
    clean = batch(build(data, lq_from_gt=True))
    changed = (floats['lq'] != clean['lq']).flatten(1).any(1)
    assert 0.5 < changed.float().mean() < 1
    assert_equal(clean, floats | {'lq': clean['lq']})  # nothing else is changed by it
    other_epoch, other_seed = batch(camera, epoch=1), batch(build(data, lq_from_gt=True, degradation='camera', seed=1))
    assert all((each['lq'] != floats['lq']).flatten(1).any(1).sum() > 10 for each in (other_epoch, other_seed))


def test_a_mirrored_face_is_the_mirror_image_of_the_degraded_one(data: Path) -> None:
    mirrored = batch(build(data, lq_from_gt=True, degradation='camera'))
    straight = batch(build(data, lq_from_gt=True, degradation='camera', use_hflip=False))
    for one, other, flip in zip(mirrored['lq'], straight['lq'], mirrored['flip'], strict=True):
        assert torch.equal(one, other.flip(-1) if flip else other)


def test_a_camera_that_draws_nothing_gives_the_faces_of_the_store(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('cface_basicsr.data.images.degradations.CLEAN', 1)
    options = {'dataroot_lq': str(data / 'lr_x8.lmdb')}
    assert_equal(batch(build(data, lq_from_gt=True, degradation='camera', **options)), batch(build(data, **options)))


@pytest.mark.parametrize(('options', 'message'), [
    ({'degradation': 'camera', 'dataroot_lq': 'lr_x8.lmdb'}, "'datasets.train.degradation': 'camera' degrades LR faces "
     "that are made from HR: it needs 'lq_from_gt: true', and reads none"),
    ({'degradation': 'phone', 'lq_from_gt': True}, "'datasets.train.degradation': .*'bicubic' or 'camera'"),
    ({}, "option 'datasets.train.dataroot_lq' is missing"),
    ({'lq_from_gt': True, 'scale': None}, "'datasets.train.lq_from_gt': expected a 'scale' that .*128x128 .*got None"),
    ({'lq_from_gt': True, 'scale': 3}, "'datasets.train.lq_from_gt': expected a 'scale' that divides .* got 3"),
])
def test_what_gives_no_lr_faces_is_refused(data: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(data, **options)

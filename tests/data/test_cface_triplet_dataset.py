"""Triplets: which compare image is drawn, one coin for all, draws that depend only on (seed, epoch, repeat, index)."""

import gc
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cface_basicsr.compat.positioned_sampler import PositionedSampler
from cface_basicsr.data.cface_triplet_dataset import CFaceTripletDataset
from cface_basicsr.data.compare_index import load_compare_index
from cface_basicsr.data.epoch_index import EpochIndex
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.store_writer import StoreWriter
from performance.growth import made_up
from tests.small_data import smooth_images, write_small_data, write_small_index


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_small_data(tmp_path_factory.mktemp('triplets') / 'data', identities=3, images=5)
    write_small_index(folder, k=4)
    return folder


def build(data: Path, **options: Any) -> CFaceTripletDataset:
    return CFaceTripletDataset({'name': 'faces', 'type': 'CFaceTripletDataset', 'phase': 'train', 'scale': 8,
                                'dataroot_gt': str(data / 'hr.lmdb'), 'dataroot_lq': str(data / 'lr_x8.lmdb')}
                               | options)


def as_float(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) / 255


def test_an_item_holds_the_stored_images(data: Path) -> None:
    faces = build(data)
    item, hr, lr = faces[7], FaceStore(data / 'hr.lmdb'), FaceStore(data / 'lr_x8.lmdb')
    assert item['gt_path'] == item['lq_path'] == hr.keys[7] and item['index'] == 7 and item['label'] == 1
    assert torch.equal(item['gt'], as_float(hr.image(hr.keys[7])))
    assert torch.equal(item['lq'], as_float(lr.image(hr.keys[7])))
    assert torch.equal(item['compare'], as_float(hr.image(item['compare_path'])))
    assert item['has_compare'].item() is True and item['flip'] is False


def test_the_compare_image_is_each_of_the_k_nearest_equally_often(data: Path) -> None:
    faces = build(data, k=2)
    stored = load_compare_index(data / 'index', faces.keys, faces.labels)
    for row in (0, 9):
        drawn = Counter(faces[EpochIndex(row, epoch)]['compare_path'] for epoch in range(60))
        assert set(drawn) == {faces.keys[other] for other in stored[row, :2]}
        assert min(drawn.values()) >= 15


def test_random_draws_from_all_others_of_the_identity_without_an_index(tmp_path: Path) -> None:
    faces = build(write_small_data(tmp_path / 'data', identities=2, images=4), compare_mode='random')
    drawn = {faces[EpochIndex(1, epoch)]['compare_path'] for epoch in range(60)}
    assert drawn == {faces.keys[row] for row in (0, 2, 3)}


def test_one_coin_mirrors_all_three(data: Path) -> None:
    plain, mirrored = build(data), build(data, use_hflip=True)
    flips = 0
    for epoch in range(12):
        a, b = plain[EpochIndex(3, epoch)], mirrored[EpochIndex(3, epoch)]
        assert a['compare_path'] == b['compare_path']
        flips += b['flip']
        for name in ('lq', 'gt', 'compare'):
            assert torch.equal(b[name], a[name].flip(-1) if b['flip'] else a[name])
    assert 2 <= flips <= 10


def test_an_identity_with_one_image_has_no_compare_image(tmp_path: Path) -> None:
    folder = write_small_data(tmp_path / 'data', identities=2, images=1)
    write_small_index(folder)
    for mode in ('nearest', 'random'):
        item = build(folder, compare_mode=mode)[1]
        assert item['has_compare'].item() is False and item['compare_path'] == item['gt_path']
        assert torch.equal(item['compare'], item['gt'])


def test_mode_none_gives_no_compare_image(data: Path) -> None:
    assert build(data, compare_mode='none')[0]['has_compare'].item() is False


def test_draws_depend_only_on_seed_epoch_repeat_and_index(data: Path) -> None:
    def drawn(faces: CFaceTripletDataset, *place: int) -> tuple[str, bool]:
        item = faces[EpochIndex(*place)]
        return item['compare_path'], item['flip']

    one, two = build(data, use_hflip=True, manual_seed=3), build(data, use_hflip=True, manual_seed=3)
    places = [(row, epoch, repeat) for row in range(0, 15, 2) for epoch in range(2) for repeat in range(1)]
    expected = {place: drawn(one, *place) for place in places}
    assert {place: drawn(two, *place) for place in reversed(places)} == expected
    for other in (lambda row, epoch, repeat: (row, epoch + 2, repeat), lambda row, epoch, repeat: (row, epoch, 5)):
        assert [drawn(one, *other(*place)) for place in places] != list(expected.values())
    assert [drawn(build(data, use_hflip=True, seed=4), *place) for place in places] != list(expected.values())


def test_any_number_of_workers_gives_the_same_epoch(data: Path) -> None:
    faces = build(data, use_hflip=True)
    order = [EpochIndex(row, epoch=4) for row in (3, 14, 0, 7, 9, 1)]
    here = [faces[index] for index in order]
    for workers in (1, 2):
        items = [item for batch in DataLoader(faces, batch_size=2, sampler=order, num_workers=workers,
                                              collate_fn=list) for item in batch]
        assert [item['compare_path'] for item in items] == [item['compare_path'] for item in here]
        assert all(torch.equal(a['compare'], b['compare']) for a, b in zip(items, here, strict=True))


@pytest.mark.slow
def test_spawned_workers_read_it(data: Path) -> None:
    faces = build(data)
    faces[0]  # opens the LMDB in this process
    loader = DataLoader(faces, batch_size=5, num_workers=1, multiprocessing_context='spawn')
    assert [batch['gt'].shape for batch in loader] == [(5, 3, 128, 128)] * 3


def test_basicsr_builds_it_by_name(data: Path) -> None:
    from basicsr.data import build_dataset

    import cface_basicsr.register  # noqa: F401
    assert len(build_dataset(build(data).opt)) == 15


@pytest.mark.parametrize(('options', 'message'), [
    ({'compare_mod': 'none'}, "did you mean 'compare_mode'"),
    ({'compare_mode': 'best'}, "'nearest', 'random' or 'none'"),
    ({'k': 5}, "^option 'datasets.train.k': 'k' is 5, but the index .* holds 4"),
    ({'k': 5, 'phase': 'val'}, "^option 'datasets.val.k': 'k' is 5"),
    ({'k': 0}, "^option 'datasets.train.k': input should be greater than or equal to 1"),
    ({'kk': 1, 'phase': 'val'}, "^option 'datasets.val.kk' is unknown"),
    ({'scale': 4}, "'scale' is 4(.|\n)*lr_x4.lmdb"),
    ({'io_backend': {'type': 'disk'}}, 'expected lmdb'),
    ({'compare_index': '/no/such/index'}, 'cface index'),
    ({'dataroot_lq': '/no/such/lr_x8.lmdb'}, '/no/such/lr_x8.lmdb'),
])
def test_bad_options_are_refused_by_name(data: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(data, **options)


def test_stores_with_different_keys_are_refused_with_counts_and_an_example(data: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / 'lr_x8.lmdb') as writer:
        for key, image in zip(FaceStore(data / 'hr.lmdb').keys[:-1], smooth_images(14, 0, 16), strict=True):
            writer.put(key, encode_png(image))
        writer.finish()
    with pytest.raises(UserError, match=r"has 15 images, .* has 14(.|\n)*'0000002/004' is only in .*hr.lmdb"):
        build(data, dataroot_lq=str(tmp_path / 'lr_x8.lmdb'))


def test_an_image_takes_at_most_25_bytes_of_the_memory_of_a_process_and_no_python_string(tmp_path: Path) -> None:
    """What grows from 2,000 to 20,000 images; files that are mapped do not count, and Python does not see torch's."""
    taken, of_torch = {}, torch.int64.itemsize  # the order of the epoch
    for count in (2_000, 20_000):
        (tmp_path / str(count)).mkdir()
        made_up(tmp_path / str(count), count)
        tracemalloc.start()
        faces = CFaceTripletDataset({'name': 'faces', 'phase': 'train', 'scale': 2, 'use_hflip': True,
                                     'dataroot_gt': str(tmp_path / f'{count}/hr.lmdb'),
                                     'dataroot_lq': str(tmp_path / f'{count}/lr_x2.lmdb')})
        order = iter(PositionedSampler(faces, 1, 0))
        assert len(faces) == count and faces[next(order)]['gt'].shape == (3, 2, 2)
        gc.collect()
        taken[count] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert 4 <= (taken[20_000] - taken[2_000]) / 18_000 <= 25 - of_torch

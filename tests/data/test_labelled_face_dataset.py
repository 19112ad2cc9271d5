"""Labelled faces from one store or from both D_HR and D_SR."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.data.epoch_index import EpochIndex
from cface_basicsr.data.labelled_face_dataset import LabelledFaceDataset
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.store_writer import StoreWriter
from tests.small_data import smooth_images, write_small_data


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_small_data(tmp_path_factory.mktemp('labelled') / 'data', identities=3, images=2)
    with StoreWriter(folder / 'sr.lmdb') as writer:
        for key, image in zip(FaceStore(folder / 'hr.lmdb').keys, smooth_images(6, 9), strict=True):
            writer.put(key, encode_png(image))
        writer.finish()
    return folder


def build(*roots: Path, **options: Any) -> LabelledFaceDataset:
    root = [str(path) for path in roots]
    return LabelledFaceDataset({'name': 'faces', 'type': 'LabelledFaceDataset',
                                'dataroot_gt': root[0] if len(root) == 1 else root} | options)


def test_one_store_gives_each_face_with_its_label(data: Path) -> None:
    faces = build(data / 'hr.lmdb')
    assert [faces[row]['label'] for row in range(len(faces))] == [0, 0, 1, 1, 2, 2]
    assert [faces[row]['gt_path'] for row in range(len(faces))] == faces.keys


def test_two_stores_are_concatenated_with_the_same_rows_and_labels(data: Path) -> None:
    faces = build(data / 'hr.lmdb', data / 'sr.lmdb')
    assert len(faces) == 12
    hr, sr = faces[4], faces[10]
    assert (hr['domain'], sr['domain'], hr['index'], sr['index']) == (0, 1, 4, 4)
    assert hr['label'] == sr['label'] == 2 and hr['gt_path'] == sr['gt_path']
    expected = torch.from_numpy(smooth_images(6, 9)[4]).permute(2, 0, 1) / 255
    assert torch.equal(sr['gt'], expected) and not torch.equal(hr['gt'], expected)


def test_mirroring_is_drawn_again_in_each_epoch(data: Path) -> None:
    plain, mirrored = build(data / 'hr.lmdb'), build(data / 'hr.lmdb', use_hflip=True)
    items = [mirrored[EpochIndex(0, epoch)] for epoch in range(12)]
    assert {item['flip'] for item in items} == {False, True}
    for item in items:
        assert torch.equal(item['gt'], plain[0]['gt'].flip(-1) if item['flip'] else plain[0]['gt'])


def test_stores_with_different_keys_are_refused(data: Path, tmp_path: Path) -> None:
    other = write_small_data(tmp_path / 'other', identities=3, images=2, seed=1)
    with pytest.raises(UserError, match='their keys differ'):
        build(data / 'hr.lmdb', other / 'hr.lmdb')


def test_labels_of_other_faces_are_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / 'identities.csv').write_text('key,label,original_name\n0000000/000,0,x\n')
    with pytest.raises(UserError, match='has 6 images, .*identities.csv.* has 1'):
        build(data / 'hr.lmdb', identities=str(tmp_path / 'identities.csv'))


def test_an_empty_list_of_stores_is_refused() -> None:
    with pytest.raises(UserError, match=r"dataroot_gt': .* list should have at least 1 item"):
        LabelledFaceDataset({'name': 'x', 'dataroot_gt': []})

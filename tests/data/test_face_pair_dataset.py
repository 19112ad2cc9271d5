"""Validation pairs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cface_basicsr.data.face_pair_dataset import FacePairDataset, picture_name
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.image_keys import escape
from tests.small_data import write_small_data


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp('pairs') / 'data', identities=4, images=3)


def build(data: Path, **options: Any) -> FacePairDataset:
    return FacePairDataset({'name': 'faces', 'phase': 'val', 'scale': 4, 'dataroot_gt': str(data / 'hr.lmdb'),
                            'dataroot_lq': str(data / 'lr_x4.lmdb')} | options)


def test_a_pair_is_the_stored_one_and_its_name_includes_the_identity(data: Path) -> None:
    item, lr = build(data)[4], FaceStore(data / 'lr_x4.lmdb')
    assert item['lq_path'] == '0000001__001' and item['gt_path'] == '0000001/001' and item['label'] == 1
    assert torch.equal(item['lq'], torch.from_numpy(lr.image('0000001/001')).permute(2, 0, 1) / 255)
    assert item['gt'].shape == (3, 128, 128)


def test_a_selection_is_spread_over_the_whole_set(data: Path) -> None:
    assert [build(data, num_images=4)[row]['label'] for row in range(4)] == [0, 1, 2, 3]
    assert len(build(data, num_images=99)) == 12


def test_a_wrong_number_is_refused(data: Path) -> None:
    with pytest.raises(UserError, match='num_images'):
        build(data, num_images=0)


names = st.text('a_.b', min_size=1, max_size=5)


@given(names, names, names, names)
def test_escaped_keys_never_share_a_picture_name(a: str, b: str, c: str, d: str) -> None:
    same = picture_name(f'{escape(a)}/{escape(b)}') == picture_name(f'{escape(c)}/{escape(d)}')
    assert same == ((a, b) == (c, d))

"""The data set of stage 2."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cface_basicsr.data.generate_dataset import CFaceGenerateDataset
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from tests.small_data import write_small_data


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp('generate') / 'data', identities=2, images=2)


def test_it_writes_the_store_that_its_options_name(data: Path, tmp_path: Path) -> None:
    faces = CFaceGenerateDataset({'name': 'x', 'type': 'CFaceGenerateDataset', 'phase': 'test', 'scale': 4,
                                  'dataroot_lq': str(data / 'lr_x4.lmdb'), 'out': str(tmp_path / 'sr.lmdb'),
                                  'batch_size': 3})
    seen = []
    path = faces.write_super_resolved(nn.Upsample(scale_factor=4), torch.device('cpu'), lambda *now: seen.append(now))
    assert path == str(tmp_path / 'sr.lmdb') and seen == [(3, 4), (4, 4)] and len(faces) == 4
    small, large = FaceStore(data / 'lr_x4.lmdb'), FaceStore(path)
    assert np.array_equal(large.image(small.keys[2]), small.image(small.keys[2]).repeat(4, 0).repeat(4, 1))
    assert faces[2]['lq_path'] == small.keys[2]


def test_a_store_of_another_network_is_refused(data: Path, tmp_path: Path) -> None:
    options = {'name': 'x', 'dataroot_lq': str(data / 'lr_x8.lmdb'), 'out': str(tmp_path / 'sr.lmdb')}
    network = nn.Sequential(nn.Upsample(scale_factor=8), nn.Conv2d(3, 3, 1))
    CFaceGenerateDataset(options).write_super_resolved(network, 'cpu')
    CFaceGenerateDataset(options).write_super_resolved(network, 'cpu')
    with torch.no_grad():
        network[1].bias += 1
    with pytest.raises(UserError, match='generator_parameters_sha256'):
        CFaceGenerateDataset(options).write_super_resolved(network, 'cpu')


def test_a_missing_out_is_refused(data: Path) -> None:
    with pytest.raises(UserError, match="datasets.train.out' is missing"):
        CFaceGenerateDataset({'name': 'x', 'dataroot_lq': str(data / 'lr_x4.lmdb')})

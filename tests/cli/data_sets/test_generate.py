"""cface generate: stage 2 from the command line."""

from pathlib import Path

import pytest
import torch
from basicsr.archs import build_network
from typer.testing import CliRunner

import cface_basicsr.register  # noqa: F401
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.manifest import file_hash
from tests.small_data import write_small_data
from tests.tiny_stages import write_recognizer

TINY = {'type': 'SRResNet', 'scale': 4, 'num_feat': 4, 'num_block': 1}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save({'params': build_network(TINY).state_dict(), 'network': TINY}, tmp_path / 'net_g.pth')
    return tmp_path / 'net_g.pth'


def test_the_store_is_named_after_the_weights_and_has_every_face(weights: Path, tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=2, images=2)
    arguments = ['generate', str(data), '--weights', str(weights), '--batch-size', '3']
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    store = data / f'sr_x4_{file_hash(weights)}.lmdb'
    assert done.stdout.strip() == str(store)
    assert FaceStore(store).keys == FaceStore(data / 'hr.lmdb').keys
    assert FaceStore(store).image('0000000/000').shape == (128, 128, 3)
    written = (store / 'data.mdb').stat().st_mtime_ns
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert (store / 'data.mdb').stat().st_mtime_ns == written  # finished: left as it is


def test_basicsrs_edsr_generates_too_although_it_calls_its_scale_upscale(tmp_path: Path) -> None:
    edsr = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 8}
    path = tmp_path / 'net_g.pth'
    torch.save({'params': build_network(edsr).state_dict(), 'network': edsr}, path)
    data = write_small_data(tmp_path / 'data', identities=1, images=2)
    done = CliRunner().invoke(app, ['generate', str(data), '--weights', str(path)], catch_exceptions=False)
    assert done.stdout.strip() == str(data / f'sr_x8_{file_hash(path)}.lmdb')


def test_a_file_that_holds_no_generator_is_refused(tmp_path: Path) -> None:
    path = write_recognizer(tmp_path / 'net_r.pth')
    with pytest.raises(UserError, match='holds a SphereFace20, expected a generator'):
        CliRunner().invoke(app, ['generate', str(tmp_path), '--weights', str(path)], catch_exceptions=False)


def test_a_missing_store_is_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match='lr_x4.lmdb') as caught:
        CliRunner().invoke(app, ['generate', str(tmp_path), '--weights', str(weights)], catch_exceptions=False)
    assert len(str(caught.value).splitlines()) <= 3

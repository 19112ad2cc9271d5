"""Stage 2 by basicsr/test.py: the same pictures as `cface generate`, and options checked before any work."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.archs import build_network

import cface_basicsr.register  # noqa: F401
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.options import merge, read_option_file, write_option_file
from tests.tiny_stages import REPOSITORY
from tests.two_ranks import on_both_ranks

TINY = {'type': 'SRResNet', 'scale': 8, 'num_feat': 4, 'num_block': 1}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A generator whose averaged weights differ from its own."""
    content: dict[str, Any] = {'network': TINY}
    for seed, key in enumerate(('params', 'params_ema')):
        torch.manual_seed(seed)
        content[key] = build_network(TINY).state_dict()
    torch.save(content, tmp_path / 'net_g.pth')
    return tmp_path / 'net_g.pth'


def run_stage_2(data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any],
                *arguments: str) -> FaceStore:
    """options/cface_stage2.yml with the tiny generator."""
    import basicsr.test
    opt = merge(read_option_file(REPOSITORY / 'options/cface_stage2.yml'), {
        'scale': 8, 'num_gpu': 0, 'network_g': TINY, 'path': {'pretrain_network_g': str(folder / 'net_g.pth')},
        'datasets': {'test': {'dataroot_lq': str(data / 'train/lr_x8.lmdb'), 'out': str(folder / 'sr.lmdb'),
                              'batch_size': 5}}})
    opt = merge(opt, changes)
    write_option_file(opt, folder / 'stage2.yml')
    monkeypatch.setattr(sys, 'argv', ['test.py', '-opt', str(folder / 'stage2.yml'), *arguments])
    basicsr.test.test_pipeline(str(folder))
    return FaceStore(opt['datasets']['test']['out'])


@pytest.mark.parametrize('key', [None, 'params'])
def test_every_face_goes_through_the_averaged_generator_unless_another_is_named(
        data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    store = run_stage_2(data, tmp_path, monkeypatch, {'path': {'param_key_g': key}} if key else {})
    lr = FaceStore(data / 'train/lr_x8.lmdb')
    assert store.keys == lr.keys
    network = build_network_from_file(weights)
    if key:
        network.load_state_dict(torch.load(weights, weights_only=True)[key])
    for name in store.keys[::5]:
        x = torch.from_numpy(lr.image(name)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            want = (network(x)[0].permute(1, 2, 0) * 255).round().clamp(0, 255).numpy()
        assert np.abs(store.image(name) - want).max() <= 1  # a batch of another size may round otherwise


def test_under_torchrun_no_image_goes_through_ddp(
        data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_of_one: None) -> None:
    """DDP would send the buffers of BatchNorm to ranks that have no image left."""
    monkeypatch.setattr('basicsr.utils.options.init_dist', lambda launcher: None)
    monkeypatch.setattr(torch.nn.parallel.DistributedDataParallel, '_sync_buffers', lambda ddp: pytest.fail('waits'))
    store = run_stage_2(data, tmp_path, monkeypatch, {}, '--launcher', 'pytorch')
    assert store.keys == FaceStore(data / 'train/lr_x8.lmdb').keys
    assert json.loads((store.path / 'manifest.json').read_text())['generator'] == 'SRResNet'


def rank_of_stage_2(data: str, folder: str) -> list[int]:
    """The sizes of the batches that this rank super-resolves."""
    from basicsr.models.base_model import BaseModel
    sizes: list[int] = []
    wrap = BaseModel.model_to_device

    def watched(model: Any, network: Any) -> Any:
        network.register_forward_hook(lambda net, given, result: sizes.append(len(given[0])))
        return wrap(model, network)
    own = Path(folder, str(torch.distributed.get_rank()))
    own.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('basicsr.utils.options.init_dist', lambda launcher: None)
        patch.setattr(BaseModel, 'model_to_device', watched)
        run_stage_2(Path(data), own, patch, {
            'path': {'pretrain_network_g': f'{folder}/net_g.pth'}, 'datasets': {'test': {'out': f'{folder}/sr.lmdb'}}},
            '--launcher', 'pytorch')
    return sizes


def test_ranks_share_the_batches_and_write_the_store_of_one(
        data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = run_stage_2(data, tmp_path, monkeypatch, {})
    entries = {key: alone.content(key) for key in alone.keys}
    os.rename(alone.path, tmp_path / 'alone.lmdb')
    assert on_both_ranks(rank_of_stage_2, str(data), str(tmp_path)) == [[5, 2], [5]]
    together = FaceStore(tmp_path / 'sr.lmdb')
    assert {key: together.content(key) for key in together.keys} == entries and len(entries) == 12
    assert on_both_ranks(rank_of_stage_2, str(data), str(tmp_path)) == [[], []]  # it is finished


@pytest.mark.parametrize(('change', 'message'), [
    ({'datasets': {'test': {'out_': 1}}}, "option 'datasets.test.out_' is unknown; did you mean 'out'"),
    ({'network_g': {'num_feats': 1}}, "option 'network_g.num_feats' is unknown; did you mean 'num_feat'"),
    ({'vall': {}}, "option 'vall' is unknown; did you mean 'val'"),
    ({'path': {'pretrain_network_g': None}}, "option 'path.pretrain_network_g' is missing"),
    ({'path': {'pretrain_network_g': 'nowhere.pth'}}, "weights file 'nowhere.pth' is missing"),
    ({'network_g': {'num_feat': 5}}, 'does not fit SRResNet')])
def test_what_is_wrong_is_named_in_one_line(data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run_stage_2(data, tmp_path, monkeypatch, change)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / 'sr.lmdb').exists()

"""Checkpoints: whole or not at all, and they say which network they hold."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import build_network_from_file, network_options
from tests.compat.tiny_training import holds_by_row, patched

EDSR = OrderedDict(type='EDSR', num_in_ch=3, num_out_ch=3, num_feat=4, num_block=1, upscale=2,
                   rgb_mean=(0.5, 0.5, 0.5))


def model_in(folder: Path) -> Any:
    from basicsr.models.base_model import BaseModel
    return BaseModel({'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1, 'network_g': EDSR,
                      'path': {'models': str(folder), 'training_states': str(folder)}})


def torch_save_that_dies(content: Any, path: str | Path) -> None:
    Path(path).write_bytes(b'half of a file')
    raise OSError('No space left on device')


@pytest.mark.parametrize('name', ['net_g_5.pth', '5.state'])
def test_a_failed_save_stops_the_training_and_leaves_the_old_file(
        tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # BasicSR waits between its three attempts

    def check() -> None:
        (tmp_path / name).write_bytes(b'the file before')
        with monkeypatch.context() as broken, pytest.raises(OSError, match='No space'):
            broken.setattr(torch, 'save', torch_save_that_dies)
            model = model_in(tmp_path)
            if name.endswith('.pth'):
                model.save_network(nn.Linear(2, 2), 'net_g', 5)
            else:
                model.save_training_state(0, 5)
        assert (tmp_path / name).read_bytes() == b'the file before'
        assert [path.name for path in tmp_path.iterdir()] == [name]

    holds_by_row(check, 'whole-files', defect=(pytest.fail.Exception, AssertionError, UnboundLocalError))


def test_a_network_file_says_which_network_it_holds(tmp_path: Path) -> None:
    def check() -> None:
        from basicsr.archs import build_network
        network = build_network(EDSR)
        model_in(tmp_path).save_network([network, network], 'net_g', -1, ['params', 'params_ema'])
        path = tmp_path / 'net_g_latest.pth'
        assert network_options(path) == {**EDSR, 'rgb_mean': [0.5, 0.5, 0.5]}
        image = torch.rand(1, 3, 4, 4)
        assert torch.equal(build_network_from_file(path)(image), network(image))

    holds_by_row(check, 'network-options', defect=UserError)


def test_a_network_without_options_of_its_own_is_saved_as_basicsr_does(tmp_path: Path) -> None:
    with patched():
        model_in(tmp_path).save_network(nn.Linear(2, 2), 'net_x', 3)
    assert set(torch.load(tmp_path / 'net_x_3.pth', weights_only=True)) == {'params'}

"""torchrun and SLURM on a machine without a GPU."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from tests.compat.tiny_training import holds_by_row, patched

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU here, so BasicSR finds one')


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


@pytest.fixture
def one_rank(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What torchrun sets for one process; the group is left behind the test."""
    for name, value in {'RANK': '0', 'WORLD_SIZE': '1', 'LOCAL_RANK': '0', 'MASTER_ADDR': '127.0.0.1',
                        'MASTER_PORT': free_port()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.multiprocessing, 'get_start_method', lambda allow_none: 'fork')  # it holds for good
    yield
    leave_group()


def leave_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_torchrun_works_without_a_gpu(one_rank: None) -> None:
    def check() -> None:
        from basicsr.utils import options
        options.init_dist('pytorch')
        assert torch.distributed.get_backend() == 'gloo'
        leave_group()

    holds_by_row(check, 'gloo-on-cpu', defect=(ZeroDivisionError, RuntimeError))


def test_slurm_works_without_a_gpu(one_rank: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {'SLURM_PROCID': '0', 'SLURM_NTASKS': '1', 'SLURM_NODELIST': 'here'}.items():
        monkeypatch.setenv(name, value)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR'):
        monkeypatch.delenv(name)
    monkeypatch.setattr('subprocess.getoutput', lambda command: '127.0.0.1')
    with patched():
        from basicsr.utils import options
        options.init_dist('slurm', port=free_port())
    assert (os.environ['RANK'], os.environ['WORLD_SIZE'], torch.distributed.get_backend()) == ('0', '1', 'gloo')


def test_a_network_is_wrapped_without_a_gpu(group_of_one: None) -> None:
    def check() -> None:
        from basicsr.models.base_model import BaseModel
        model: Any = BaseModel({'num_gpu': 0, 'is_train': True, 'dist': True})
        network = model.model_to_device(nn.Linear(2, 2))
        assert isinstance(network, nn.parallel.DistributedDataParallel)
        assert isinstance(model.get_bare_model(network), nn.Linear)
        x = torch.rand(3, 2)
        assert torch.equal(network(x), network.module(x)) and torch.equal(network(input=x), network.module(x))
        with pytest.raises(IndexError):  # as on a GPU (pytorch #37814): tests on gloo see what would end there
            network()

    holds_by_row(check, 'ddp-on-cpu', defect=(RuntimeError, AssertionError))

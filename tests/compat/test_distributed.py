"""torchrun and SLURM on a machine without a GPU."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cface_basicsr.register  # noqa: F401
from cface_basicsr import compat
from cface_basicsr.compat.distributed import STARTED_BY
from cface_basicsr.errors import UserError
from tests.compat.tiny_training import REPOSITORY, holds_by_row, patched
from tests.two_ranks import on_both_ranks

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


@pytest.mark.parametrize(('launcher', 'program'), [('pytorch', 'torchrun'), ('slurm', 'srun')])
@pytest.mark.parametrize('others', [0, 1])
def test_a_launcher_that_did_not_start_the_process_is_named_with_the_program_that_does(
        launcher: str, program: str, others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = STARTED_BY[launcher][1]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name in names[:others]:
        monkeypatch.setenv(name, '0')
    monkeypatch.setattr(torch.multiprocessing, 'get_start_method', lambda allow_none: 'fork')  # it holds for good

    def check() -> None:
        from basicsr.utils import options
        with pytest.raises(UserError) as caught:
            options.init_dist(launcher)
        missing = ', '.join(names[others:])
        assert str(caught.value) == (f'--launcher {launcher}: the environment has no {missing}. Start the command by '
                                     f'{program}, or leave --launcher out.')

    holds_by_row(check, 'launchers', defect=(KeyError, ValueError))


def test_slurm_works_without_a_gpu(one_rank: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {'SLURM_PROCID': '0', 'SLURM_NTASKS': '1', 'SLURM_NODELIST': 'here'}.items():
        monkeypatch.setenv(name, value)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR'):
        monkeypatch.delenv(name)
    write_scontrol(tmp_path, monkeypatch, '[ "$*" = "show hostname here" ] && printf "127.0.0.1\\n127.0.0.2\\n"')
    with patched():
        from basicsr.utils import options
        options.init_dist('slurm', port=free_port())
    assert (os.environ['RANK'], os.environ['WORLD_SIZE'], torch.distributed.get_backend()) == ('0', '1', 'gloo')
    assert os.environ['MASTER_ADDR'] == '127.0.0.1'


def write_scontrol(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program scontrol, before all others on the path."""
    (folder / 'scontrol').write_text(f'#!/bin/sh\n{body}\n')
    (folder / 'scontrol').chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')


def host_of(nodes: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The host where BasicSR's ranks meet, by the list of SLURM's nodes."""
    from basicsr.utils import dist_util
    for name, value in {'SLURM_PROCID': '0', 'SLURM_NTASKS': '1', 'SLURM_NODELIST': nodes, 'MASTER_ADDR': ''}.items():
        monkeypatch.setenv(name, value)
    for name in ('device_count', 'set_device'):
        monkeypatch.setattr(torch.cuda, name, lambda *_: 1)
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda **_: None)
    dist_util._init_dist_slurm('gloo')
    return os.environ['MASTER_ADDR']


@pytest.mark.parametrize('nodes', [
    'x; touch made', '$(touch made)', 'x | touch made #', '`touch made`', '-x', '', 'a b'])
def test_a_list_of_nodes_is_no_line_for_a_shell(nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scontrol(tmp_path, monkeypatch, 'echo 127.0.0.1')
    monkeypatch.chdir(tmp_path)

    def check() -> None:
        with pytest.raises(UserError, match='^SLURM_NODELIST: expected names of nodes such as node'):
            host_of(nodes, monkeypatch)
        assert not Path('made').exists()

    holds_by_row(check, 'slurm-nodes', defect=pytest.fail.Exception)
    assert Path('made').exists() == ('touch' in nodes)  # so it runs without the row
    with patched():
        assert host_of('node[01-04,7],b-1.x', monkeypatch) == '127.0.0.1'


@pytest.mark.parametrize(('body', 'message'), [
    ('echo "Invalid hostlist" >&2; exit 1', "'scontrol show hostname a' names no node: Invalid hostlist"),
    ('exit 0', "'scontrol show hostname a' names no node: "), (None, "the command 'scontrol'.* is missing")])
def test_where_slurm_names_no_node_its_reason_is_told(
        body: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if body:
        write_scontrol(tmp_path, monkeypatch, body)
    else:
        monkeypatch.setenv('PATH', str(tmp_path))
    with patched(), pytest.raises(UserError, match=message):
        host_of('a', monkeypatch)


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


def wrapped_norms() -> list[str]:
    """The kinds of the normalizations in a network of BasicSR's that is wrapped, with the option and without it."""
    from basicsr.models.base_model import BaseModel
    kinds = []
    for option in ({}, {'sync_batchnorm': True}, {'sync_batchnorm': False}):
        model: Any = BaseModel({'num_gpu': 0, 'is_train': True, 'dist': True, **option})
        kinds.append(type(model.model_to_device(nn.Sequential(nn.BatchNorm2d(3))).module[0]).__name__)
    return kinds


def on_ranks_patched_as_here(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    without = {row.name for row in compat.ROWS} - set(compat.applied())
    return on_both_ranks(patched_call, without, function, *arguments)


def patched_call(without: set[str], function: Callable[..., Any], *arguments: Any) -> Any:
    with patched(without=tuple(without)):
        return function(*arguments)


def test_several_ranks_share_the_statistics_of_their_batchnorms_unless_the_option_is_off() -> None:
    def check() -> None:
        kinds = ['SyncedBatchNorm', 'SyncedBatchNorm', 'BatchNorm2d']
        assert on_ranks_patched_as_here(wrapped_norms) == [kinds, kinds]

    holds_by_row(check, 'batchnorm-of-all-ranks')


def test_one_rank_keeps_torchs_own_batchnorm(group_of_one: None) -> None:
    with patched():
        assert wrapped_norms() == ['BatchNorm2d'] * 3


def mean_in_esrgan() -> float:
    from basicsr.models import esrgan_model
    rank = torch.distributed.get_rank()
    return esrgan_model.torch.mean(torch.full((2, 1), 4.0 * rank)).item()


def test_esrgans_mean_of_logits_is_that_of_all_ranks() -> None:
    def check() -> None:
        assert on_ranks_patched_as_here(mean_in_esrgan) == [2.0, 2.0]

    holds_by_row(check, 'relativistic-mean')


def test_a_validation_of_one_rank_waits_for_no_other(group_of_one: None) -> None:
    """DDP would send the buffers of a BatchNorm to ranks that do not validate."""
    def check() -> None:
        from basicsr.models.sr_model import SRModel
        model: Any = SRModel({'num_gpu': 0, 'is_train': False, 'dist': True, 'path': {},
                              'network_g': {'type': 'SRResNet', 'scale': 2, 'num_feat': 2, 'num_block': 1}})
        model.net_g._sync_buffers = lambda: pytest.fail('waits for other ranks')
        model.lq = torch.rand(1, 3, 4, 4)
        model.test()
        assert model.output.shape == (1, 3, 8, 8) and isinstance(model.net_g, nn.parallel.DistributedDataParallel)

    holds_by_row(check, 'validation-of-one-rank', defect=pytest.fail.Exception)


ENDS = '''
import os, socket, sys
import cface_basicsr.register
import torch
from basicsr.utils import options


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


def train():
    os.environ.update(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.multiprocessing.set_start_method('spawn', force=True)
    options.init_dist('pytorch')
    for thread in os.listdir('/proc/self/task'):
        if int(thread) != os.getpid():  # those of the group get what time is left
            os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
    for _ in range(8):
        torch.distributed.all_reduce(torch.zeros(1))


children = []
while len(children) < 12 and 0 not in children:
    children.append(os.fork())
if 0 in children:
    train()
else:
    for child in children:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
'''


def ends(folder: Path, without: str) -> set[int]:
    """Exit codes of twelve ranks whose group is slow in letting go."""
    (folder / 'ends.py').write_text(ENDS)
    done = subprocess.run([sys.executable, 'ends.py'], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {'CFACE_COMPAT_WITHOUT': without, 'PYTHONPATH': str(REPOSITORY)})
    codes = [int(line) for line in done.stdout.splitlines()]
    assert len(codes) == 12, done.stderr[-2000:]
    return set(codes)


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux says how threads are scheduled')
def test_a_rank_that_has_finished_is_not_killed_by_its_own_group(tmp_path: Path) -> None:
    def check() -> None:
        row = 'leave-the-group'
        assert ends(tmp_path, without='' if row in compat.applied() else row) == {0}

    holds_by_row(check, 'leave-the-group')


FAILS = '''
import os, time
import cface_basicsr.register
import torch
from basicsr.utils import options

options.init_dist('pytorch')
if os.environ['RANK'] == '0':
    pending = torch.distributed.all_reduce(torch.zeros(1), async_op=True)
    raise ValueError('it fails')
time.sleep(1000)
'''


def test_a_rank_that_fails_does_not_wait_for_the_others(tmp_path: Path) -> None:
    (tmp_path / 'fails.py').write_text(FAILS)
    meeting = {'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port(), 'PYTHONPATH': str(REPOSITORY)}
    first, second = [subprocess.Popen(
        [sys.executable, 'fails.py'], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **meeting, 'RANK': str(rank), 'LOCAL_RANK': str(rank)}) for rank in range(2)]
    try:
        assert 'ValueError: it fails' in first.communicate(timeout=120)[1]
    finally:
        for each in (first, second):
            each.kill()
            each.communicate()

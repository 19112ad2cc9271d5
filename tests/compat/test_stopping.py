"""A training that is asked to stop saves its state and leaves; and one folder belongs to one training."""

import gc
import multiprocessing
import re
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cface_basicsr.compat import stopping
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import lock
from cface_basicsr.runtime import PARENT
from tests.compat.test_resume import shared, train_in_double, train_with_break, trained_to_4
from tests.compat.tiny_training import holds_by_row, log_of, patched, tiny_options, train_here
from tests.two_ranks import on_both_ranks
from tests.waiting import wait_until

WITHOUT_CHECKPOINTS = {'logger.save_checkpoint_freq': 100}


@pytest.fixture(autouse=True)
def usual_signals() -> Any:
    before = {number: signal.getsignal(number) for number in stopping._SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def train_until(options: dict[str, Any], folder: Path, iteration: int, ask: Any, *arguments: str) -> int:
    """Train, call `ask` in the middle of an iteration, and return the exit code."""
    from basicsr.models.sr_model import SRModel
    step = SRModel.optimize_parameters

    def asking(self: Any, current_iter: int) -> None:
        if current_iter == iteration:
            ask()
        step(self, current_iter)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(SRModel, 'optimize_parameters', asking)
        train_here(options, folder, *arguments)
    return left.value.code


def iterations_of(log: str) -> list[int]:
    return [int(found) for found in re.findall(r'iter: +(\d+), lr', log)]


@pytest.fixture(autouse=True)
def _ctrl_c_and_hangup(usual_signals: None) -> None:
    """Python's own answers, also where the tests run in the background of a script, or by nohup, and ignore some."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_the_state_first_and_the_training_goes_on_as_if_it_had_not_come(
        pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture, number: int) -> None:
    options = tiny_options(pictures, **WITHOUT_CHECKPOINTS)

    def check() -> None:
        code = train_until(options, tmp_path / 'broken', 3, partial(signal.raise_signal, number))
        assert code == 128 + number
        assert f'stopped by {signal.Signals(number).name}: the state of iteration 3 is saved. The same command with' \
            in capsys.readouterr().out
        with pytest.MonkeyPatch.context() as patch:  # BasicSR's logs of one second have one name
            patch.setattr('basicsr.train.get_time_str', lambda: 'later')
            train_here(options, tmp_path / 'broken', '--auto_resume')

    with patched():
        train_here(options, tmp_path / 'unbroken')
        check()
    assert iterations_of(log_of(tmp_path / 'broken')) == list(range(1, 8))  # each line once
    for name in ('models/net_g_latest.pth', 'models/net_g_latest.safetensors'):
        one, other = (tmp_path / run / 'experiments/tiny' / name for run in ('unbroken', 'broken'))
        assert one.read_bytes() == other.read_bytes()
    folders = [sorted(path.name for path in (tmp_path / run / 'experiments/tiny').rglob('*') if path.suffix != '.log')
               for run in ('unbroken', 'broken')]
    assert folders[0] == folders[1]  # what only the stop had made is gone


def test_without_the_row_a_sigterm_ends_the_process_with_nothing_saved(pictures: Path, tmp_path: Path) -> None:
    def check() -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as near to the default as pytest survives
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        seen = []

        def ask() -> None:
            seen.append(signal.getsignal(signal.SIGTERM))
            raise SystemExit(1)
        train_until(tiny_options(pictures), tmp_path, 2, ask)
        assert seen == [stopping._remember]

    holds_by_row(check, 'stop-signals')


def test_a_stop_right_behind_a_checkpoint_or_before_the_first_step_saves_nothing_twice(
        pictures: Path, tmp_path: Path) -> None:
    states = tmp_path / 'experiments/tiny/training_states'
    with patched():
        train_until(tiny_options(pictures), tmp_path, 3, partial(signal.raise_signal, signal.SIGTERM))
        assert [path.name for path in states.iterdir()] == ['3.state']
        before = (states / '3.state').stat().st_mtime_ns
        from basicsr.models.sr_model import SRModel

        from cface_basicsr.compat.stopping import _Asked
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(SRModel, '__init__', lambda self, opt, init=SRModel.__init__: (
                init(self, opt), setattr(_Asked, 'signal', signal.SIGTERM))[0])
            train_here(tiny_options(pictures), tmp_path, '--auto_resume')
    assert [path.name for path in states.iterdir()] == ['3.state']
    assert (states / '3.state').stat().st_mtime_ns == before


def test_a_signal_to_all_processes_leaves_the_loaders_workers_at_work_until_the_state_is_saved(
        pictures: Path, tmp_path: Path) -> None:
    before = {*multiprocessing.active_children()}  # of other tests

    def all_processes() -> None:
        workers = [str(child.pid) for child in {*multiprocessing.active_children()} - before]
        subprocess.run(['kill', '-TERM', *workers], check=True)  # not by their parent
        signal.raise_signal(signal.SIGTERM)

    with patched():
        options = tiny_options(pictures, **WITHOUT_CHECKPOINTS, **{'datasets.train.num_worker_per_gpu': 2})
        assert train_until(options, tmp_path, 3, all_processes) == 143
    assert (tmp_path / 'experiments/tiny/training_states/3.state').is_file()
    gc.collect()  # what pytest caught holds the loader
    for child in {*multiprocessing.active_children()} - before:
        child.join(20)
    assert {*multiprocessing.active_children()} <= before


def test_a_worker_ends_by_a_sigterm_of_its_training_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a training that fails would wait for its workers for ever: multiprocessing asks them once."""
    monkeypatch.setenv(PARENT, '1')  # of the rank whose worker it is
    context = multiprocessing.get_context('fork')
    worker = context.Process(target=work, args=(tmp_path / 'began',))
    worker.start()
    wait_until((tmp_path / 'began').exists)
    subprocess.run(['kill', '-TERM', str(worker.pid)], check=True)  # another process
    worker.join(0.5)
    assert worker.is_alive()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_a_worker_that_has_just_been_started_waits_for_whom_to_obey(tmp_path: Path, method: str) -> None:
    worker = stopping._CONTEXTS[method]().Process(target=work_late, args=(tmp_path / 'go', tmp_path / 'began'))
    worker.start()
    subprocess.run(['kill', '-TERM', str(worker.pid)], check=True)  # before it knows its training
    (tmp_path / 'go').touch()
    wait_until(lambda: (tmp_path / 'began').exists() or not worker.is_alive(), 300)
    worker.join(0.5)
    assert worker.is_alive() and signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_the_loaders_of_a_training_start_such_workers(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(multiprocessing, 'get_start_method', lambda: method)
    loaders = [SimpleNamespace(num_workers=count, worker_init_fn=None, multiprocessing_context=None)
               for count in (1, 2, 0)]
    stopping._listen_before_the_workers_start(lambda opt, logger: (loaders[0], None, loaders[1:]), {}, None)
    assert [type(each.multiprocessing_context) for each in loaders] == [stopping._CONTEXTS[method]] * 2 + [type(None)]


def work_late(go: Path, began: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as torch's loop has it in effect
    while not go.exists():
        time.sleep(0.01)
    work(began)


def work(began: Path) -> None:
    stopping._InWorker(None)(0)
    began.touch()
    time.sleep(600)


def test_a_second_signal_some_seconds_later_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, raised = [100.0], []
    monkeypatch.setattr(stopping.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(stopping.signal, 'raise_signal', raised.append)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    stopping._listen()
    for moment in (100.0, 101.0, 104.0):  # the second is a launcher's, of the same request
        assert raised == [] and signal.getsignal(signal.SIGTERM) is stopping._remember
        now[0] = moment
        stopping._remember(signal.SIGTERM, None)
    assert raised == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize('usual', [signal.SIG_DFL, signal.default_int_handler], ids=['rank', 'notebook'])
def test_when_a_training_is_over_ctrl_c_does_what_it_did_before(usual: Any) -> None:
    signal.signal(signal.SIGINT, usual)
    stopping._listen()
    assert signal.getsignal(signal.SIGINT) is stopping._remember
    stopping._forget()
    assert signal.getsignal(signal.SIGINT) is usual


def stop_rank_1(options: dict[str, Any], folder: str) -> int:
    def ask() -> None:
        if torch.distributed.get_rank() == 1:
            signal.raise_signal(signal.SIGTERM)

    from basicsr.models.sr_model import SRModel
    step = SRModel.optimize_parameters

    def asking(self: Any, current_iter: int) -> None:
        step(self, current_iter)
        if current_iter == 3:
            ask()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SRModel, 'optimize_parameters', asking)
        try:
            train_in_double(options, folder)
        except SystemExit as left:
            store = torch.distributed.distributed_c10d._get_default_store()
            torch.distributed.barrier()
            for key in ('cface/stop', 'cface/stop/0', 'cface/stop/1'):  # these two processes live on
                store.delete_key(key) if torch.distributed.get_rank() == 0 else None
            return left.code
    return 0


def test_two_ranks_of_which_one_gets_a_signal_stop_behind_one_iteration_and_go_on_to_the_same_weights(
        pictures: Path, tmp_path: Path) -> None:
    def trained(folder: str) -> bytes:
        return (tmp_path / folder / 'tiny/models/net_g_latest.pth').read_bytes()

    on_both_ranks(train_in_double, shared(pictures, tmp_path / 'unbroken'), str(tmp_path))
    broken = shared(pictures, tmp_path / 'broken')
    broken['logger']['save_checkpoint_freq'] = 100
    assert on_both_ranks(stop_rank_1, broken, str(tmp_path)) == [143, 143]
    (state,) = (tmp_path / 'broken/tiny/training_states').glob('*.state')
    assert int(state.stem) in (4, 5)
    on_both_ranks(train_in_double, broken, str(tmp_path), '--auto_resume')
    assert trained('broken') == trained('unbroken')


def test_ranks_that_torchrun_starts_again_continue_from_the_state(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '0')
    with patched():
        options = trained_to_4(pictures, tmp_path)
        monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
        train_here(options, tmp_path)
    assert 'Resuming training from epoch: 2, iter: 4.' in log_of(tmp_path)


# ------------------------------------------------------------------------------------------------ one training a folder

@pytest.mark.parametrize('arguments', [(), ('--auto_resume',)])
def test_a_second_training_in_the_folder_of_a_running_one_is_refused_and_moves_nothing(
        pictures: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    def check() -> None:
        folder = tmp_path / 'experiments/tiny'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'of the first').touch()
        with lock(folder), pytest.raises(UserError, match=r"another training is at work in '.*experiments/tiny'"):
            train_here(tiny_options(pictures), tmp_path, *arguments)
        assert [path.name for path in folder.parent.iterdir()] == ['tiny'] and (folder / 'of the first').exists()

    holds_by_row(check, 'one-training', defect=pytest.fail.Exception)


def test_a_folder_is_locked_as_long_as_its_training_and_free_afterwards(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'experiments/tiny'

    def try_to_lock() -> None:
        with pytest.raises(UserError), lock(folder):
            pass
        raise SystemExit(0)

    with patched():
        train_here(tiny_options(pictures), tmp_path)
        with lock(folder):
            pass
        train_until(tiny_options(pictures), tmp_path, 2, try_to_lock)  # puts the first one aside
        train_with_break(tiny_options(pictures), tmp_path, stop_at=2)
    assert len(list(folder.parent.iterdir())) == 3

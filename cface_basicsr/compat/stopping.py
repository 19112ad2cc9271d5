"""SIGTERM and Ctrl-C end a training between two steps, with its state saved; batch systems send them before they kill.

Several ranks agree on the iteration through the store where they have met, since only states of one iteration of all
ranks can be continued.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.context import ForkContext, ForkProcess, SpawnContext, SpawnProcess
from types import FrameType
from typing import Any

import torch

from cface_basicsr.compat.data_order import Loaders
from cface_basicsr.compat.defect import Defect
from cface_basicsr.compat.resume import save_out_of_turn
from cface_basicsr.ops.ranks import of_all_ranks, several_ranks
from cface_basicsr.runtime import AT_ONCE, end_with_parent

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last one: a terminal that is closed
_KEY = 'cface/stop'


class _Asked:
    """What has been asked for in this process."""

    signal = 0
    since = 0.0
    announced = False  # to the other ranks
    first_iteration: int | None = None  # of this run, which may have been resumed
    before: dict[int, Any] = {}  # signal -> what it did


def _listen() -> None:
    """Remember the signals from now on; those that are ignored or handled by somebody else stay so."""
    _Asked.signal, _Asked.announced, _Asked.first_iteration = 0, False, None
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if (usual := signal.getsignal(number)) in (signal.SIG_DFL, signal.default_int_handler):
            _Asked.before[number] = usual
            signal.signal(number, _remember)


def _remember(number: int, frame: FrameType | None) -> None:
    if _Asked.signal and time.monotonic() - _Asked.since > AT_ONCE:  # somebody does not want to wait
        _forget()
        return signal.raise_signal(number)
    if not _Asked.signal:
        _Asked.signal, _Asked.since = number, time.monotonic()


def _forget() -> None:
    """From now on, the signals end the process at once."""
    for number, usual in _Asked.before.items():
        if signal.getsignal(number) is _remember:
            signal.signal(number, usual)


class _InWorker:
    """What a loader's worker does first. A signal to all processes of a job must not take it from its training.

    A forked worker holds the lock of its training's folder, so it must not outlive it.
    """

    def __init__(self, others: Callable[[int], None] | None) -> None:
        self.others = others

    def __call__(self, worker: int) -> None:
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, 'sigwaitinfo'):  # macOS has none
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))  # in all threads that start from now on
            threading.Thread(target=_obey_the_training, daemon=True).start()
        end_with_parent()
        if self.others:
            self.others(worker)


class _SigtermBlocked:
    """A worker that begins with SIGTERM blocked: it must not end until `_InWorker` has said whom it obeys."""

    def start(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _ForkedWorker(_SigtermBlocked, ForkProcess):
    pass


class _SpawnedWorker(_SigtermBlocked, SpawnProcess):
    def start(self) -> None:
        resource_tracker.ensure_running()  # its own start, which the first worker's would cause, unblocks SIGTERM
        super().start()


class _Forking(ForkContext):
    Process = _ForkedWorker


class _Spawning(SpawnContext):
    Process = _SpawnedWorker


_CONTEXTS = {'fork': _Forking, 'spawn': _Spawning}
"""How a loader starts its workers; ranks of torchrun and of SLURM spawn them."""


def _obey_the_training() -> None:
    """End this process by a SIGTERM of its parent only."""
    while signal.sigwaitinfo((signal.SIGTERM,)).si_pid != os.getppid():
        pass
    os._exit(0)


def _asked_at(iteration: int) -> int:
    """The signal after which this iteration is to be the last one; 0: go on."""
    return _agreed_at(iteration) if several_ranks() else _Asked.signal


def _agreed_at(iteration: int) -> int:
    """The same for several ranks, all of which stop behind the same iteration.

    A rank that has finished an iteration knows that all others have begun it. Each announces the first iteration at
    whose end it knows of the signal; one behind the largest of them, all have announced theirs.
    """
    store = torch.distributed.distributed_c10d._get_default_store()
    if not _Asked.announced:
        if _Asked.signal:
            store.set(_KEY, str(_Asked.signal))
        elif not store.check([_KEY]):
            return 0
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # its queue may be some iterations behind
    if not _Asked.announced:
        store.set(f'{_KEY}/{torch.distributed.get_rank()}', str(iteration))
        _Asked.announced = True
    of_ranks = [f'{_KEY}/{rank}' for rank in range(torch.distributed.get_world_size())]
    if not store.check(of_ranks) or iteration <= max(int(store.get(key)) for key in of_ranks):
        return 0
    return int(store.get(_KEY))


def _listen_before_the_workers_start(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    _listen()
    loaders = create(opt, logger)
    for loader in (loaders[0], *loaders[2]):
        if loader.num_workers:
            loader.worker_init_fn = _InWorker(loader.worker_init_fn)
            if loader.multiprocessing_context is None and (method := multiprocessing.get_start_method()) in _CONTEXTS:
                loader.multiprocessing_context = _CONTEXTS[method]()
    return loaders


def _stop_between_steps(update: Callable, self: Any, current_iter: int, *args: Any, **kwargs: Any) -> None:
    _Asked.first_iteration = _Asked.first_iteration or current_iter
    asked = _asked_at(current_iter - 1)
    if asked:
        _leave(self, current_iter - 1, signal.Signals(asked))
    update(self, current_iter, *args, **kwargs)


def _leave(model: Any, iteration: int, asked: signal.Signals) -> None:
    if iteration >= _Asked.first_iteration:
        save_out_of_turn(model, iteration)
    of_all_ranks(None)  # nobody leaves before the state is there
    _forget()
    if model.opt['rank'] == 0:
        kept = f'the state of iteration {iteration:,} is saved' if iteration else 'nothing was trained yet'
        print(f'cface: stopped by {asked.name}: {kept}. The same command with --auto_resume continues.', flush=True)
    raise SystemExit(128 + asked)


def _end_at_once_when_done(save: Callable, self: Any, epoch: int, current_iter: int) -> None:
    save(self, epoch, current_iter)
    if current_iter == -1:  # the finished networks are saved
        _forget()


STOP_SIGNALS = Defect(
    'stop-signals', 'basicsr.models.base_model:BaseModel.update_learning_rate',
    'SIGTERM and Ctrl-C lose what was trained since the last checkpoint, and leave loaders and ranks behind',
    unless='signal', requires=('mid-epoch',),
    wrap={'basicsr.train:create_train_val_dataloader': _listen_before_the_workers_start,
          'basicsr.models.base_model:BaseModel.update_learning_rate': _stop_between_steps,
          'basicsr.models.base_model:BaseModel.save_training_state': _end_at_once_when_done})

"""One training by BasicSR in processes of its own, watched through its log; they end with this one.

A training in one process is forked from a server that has imported torch and BasicSR once and computed nothing, so a
chain of short steps does not pay five seconds of imports for each. Several ranks are started one by one, each with a
log of its own.
"""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import FrameType

from cface_basicsr.errors import UserError, visible
from cface_basicsr.files.atomic import locks_to_pass_on
from cface_basicsr.registration import admitted
from cface_basicsr.runtime import AT_ONCE, PARENT, end_at_once_by_ctrl_c, end_with_parent
from cface_basicsr.training.view import TrainingView

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SAVED = tuple(128 + number for number in _SIGNALS)
"""Exit codes of a training that was stopped and has saved its state."""
_STOPPED = (0, *_SAVED, *(-number for number in (*_SIGNALS, signal.SIGKILL)))
"""Exit codes of one that was asked to stop and has not failed: it may have ended, or had nothing to save."""
_PATIENCE = 3.0
"""Seconds that ranks get to end by themselves when one of them has failed; they would wait for it for ever."""

_Progress = Callable[[int, TrainingView], None]
"""Called with the iteration reached and what else the log has told."""


def run_training(options: Path, log: Path, progress: _Progress, processes: int = 1) -> None:
    """Run `python -m cface_basicsr.train -opt OPTIONS --auto_resume` to its end, with the plugins of this process.

    Args:
        options: a complete option file.
        log: the file that gets everything that the training prints; of further ranks it is `<name>_rank<N>.log`.
        progress: told where the training begins, and whenever the log shows a new iteration.
        processes: more than one trains by DDP.

    Raises:
        UserError: the training failed; with its last lines and the log's path.
        SystemExit: it was stopped by SIGTERM or Ctrl-C, and its state is saved.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    logs = [log, *(log.with_name(f'{log.stem}_rank{rank}.log') for rank in range(1, processes))]
    for each in logs:
        each.write_text('')
    start = partial(_start_forked, options, log) if processes == 1 else partial(Ranks, options, processes, logs)
    with handing_on_signals(start) as (training, asked):
        _watch(training, log, progress)
        training.join()
    rank = getattr(training, 'failed', 0)
    if asked and training.exitcode in _STOPPED:
        _say_stopped(asked, last_words(log).partition('. The same')[0] if training.exitcode in _SAVED else '')
        raise SystemExit(128 + asked[0])
    if training.exitcode != 0:
        who = f'rank {rank}: ' if processes > 1 else ''
        raise UserError(f"training of '{options}' failed ({_how(training.exitcode)}): {who}{last_words(logs[rank])}\n"
                        f'Log: {logs[rank]}')


def _say_stopped(asked: Sequence[int], said: str = '') -> None:
    said = said or f'cface: stopped by {signal.Signals(asked[0]).name}'
    print(f'{visible(said)}. The same command continues.', file=sys.stderr, flush=True)


def _how(code: int) -> str:
    return f'exit code {code}' if code > 0 else f'killed by {signal.Signals(-code).name}, perhaps for lack of memory'


def train_in_the_foreground(options: Path, processes: int,
                            watch: Callable[[str, TrainingView], None] | None = None) -> int:
    """The same, which prints to this process's own output. Returns the exit code; of what a signal has ended, 128 and
    its number, as shells do.

    Args:
        watch: gets every line that the training prints, without its end, instead of the output.
    """
    if watch is None:
        return _end_of(partial(Ranks, options, processes))
    readers: list[threading.Thread] = []

    def start() -> Ranks:
        reading, writing = os.pipe()
        training, view = Ranks(options, processes, output=writing), TrainingView()
        os.close(writing)
        view.processes = training.ids
        readers.append(threading.Thread(target=_read_lines, args=(reading, watch, view), daemon=True))
        readers[0].start()
        return training

    code = _end_of(start)
    readers[0].join(_PATIENCE)  # not for ever: a process that they have left behind may hold the pipe
    return code


def _end_of(start: Callable[[], 'Ranks']) -> int:
    with handing_on_signals(start) as (training, asked):
        training.join()
    code = training.exitcode
    if asked and code < 0:  # one that has saved its state has said so
        _say_stopped(asked)
        return 128 + asked[0]
    return code if code >= 0 else 128 - code


def _read_lines(pipe: int, watch: Callable[[str, TrainingView], None], view: TrainingView) -> None:
    with open(pipe, errors='replace', newline='\n') as lines:
        for line in lines:
            watch(line.rstrip('\n').rpartition('\r')[2], view)  # the last state of a bar that tqdm draws over itself


class Ranks:
    """The ranks of a training, which answer together as a process of multiprocessing does.

    They are in a session of their own, so that Ctrl-C reaches this process only, and end when this one does.

    Args:
        options: the option file.
        processes: their number.
        logs: of each of them; none: they print to this process's output.
        distributed: whether they train by DDP, which one rank may do as well.
        output: without logs, the file that they print to instead.
    """

    def __init__(self, options: Path, processes: int, logs: Sequence[Path] = (), distributed: bool = False,
                 output: int | None = None) -> None:
        self.failed = 0
        """The rank that failed first."""
        self._failed_at: float | None = None
        command = [sys.executable, '-m', *_words(options)]
        environment = {**os.environ, PARENT: str(os.getpid())}
        if processes > 1 or distributed:
            command += ['--launcher', 'pytorch']
            environment |= {'WORLD_SIZE': str(processes), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(_free_port())}
            environment.setdefault('OMP_NUM_THREADS', '1')  # as torchrun does: each rank would take all cores
        self._ranks = []
        for rank in range(processes):
            with open(logs[rank], 'a') if logs else nullcontext(output) as file:
                self._ranks.append(subprocess.Popen(
                    command, env=environment | {'RANK': str(rank), 'LOCAL_RANK': str(rank)}, stdout=file, stderr=file,
                    pass_fds=locks_to_pass_on(), start_new_session=True))

    @property
    def ids(self) -> list[int]:
        """Of their processes."""
        return [rank.pid for rank in self._ranks]

    def is_alive(self) -> bool:
        """Whether a rank is at work. Some seconds after one has failed, the others are killed."""
        codes = [rank.poll() for rank in self._ranks]
        bad = [rank for rank, code in enumerate(codes) if code not in (None, 0, *_SAVED)]
        if bad and self._failed_at is None:
            self.failed, self._failed_at = bad[0], time.monotonic()
        if bad and time.monotonic() - self._failed_at > _PATIENCE:
            self.kill()
        return None in codes

    def terminate(self, asked: int = signal.SIGTERM) -> None:
        """Have all of them save their state and leave, by this signal."""
        for rank in self._ranks:
            rank.send_signal(asked)

    def kill(self) -> None:
        """End all of them at once."""
        for rank in self._ranks:
            rank.kill()

    def join(self) -> None:
        """Wait until all of them have ended."""
        while self.is_alive():
            time.sleep(0.05)

    @property
    def exitcode(self) -> int:
        """Of the rank that failed first, else of the first that was stopped, else 0."""
        codes = [rank.returncode for rank in self._ranks]
        return codes[self.failed] or next((code for code in codes if code), 0)


_Training = multiprocessing.Process | Ranks


@contextmanager
def handing_on_signals(start: Callable[[], _Training]) -> Iterator[tuple[_Training, list[int]]]:
    """Inside, SIGTERM, Ctrl-C and a hangup ask a training to save its state and to end; a later one kills it.

    One that comes while it is being started, and has nothing to save, ends it as soon as it can be ended. What is left
    of it at the end of the block is ended. A signal that this process ignores, the training ignores as well.

    Args:
        start: starts the training.

    Yields:
        The training, and the signals that came.
    """
    came: list[int] = []
    started: list[_Training] = []
    first = 0.0

    def hand_on(number: int, frame: FrameType | None) -> None:
        nonlocal first
        came.append(number)
        if len(came) == 1:
            first = time.monotonic()
            if started:
                _ask(started[0], number)
        elif started and time.monotonic() - first > AT_ONCE:
            started[0].kill()

    with _answering_signals(hand_on):
        training = start()
        started.append(training)
        try:
            if came:
                training.kill()
            yield training, came
        finally:
            training.terminate()
            training.join()  # it may have a state to save: a closed terminal, too, makes printing an error


@contextmanager
def _answering_signals(answer: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Those that are not ignored are answered so inside."""
    here = threading.current_thread() is threading.main_thread()  # others cannot set them
    before = {number: signal.signal(number, answer) for number in _SIGNALS
              if here and signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask(training: _Training, number: int) -> None:
    if isinstance(training, Ranks):
        return training.terminate(number)
    with suppress(ProcessLookupError):
        os.kill(training.pid, number)


def _start_forked(options: Path, log: Path) -> multiprocessing.Process:
    kind = 'forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn'
    context = multiprocessing.get_context(kind)
    if kind == 'forkserver':
        context.set_forkserver_preload(['cface_basicsr.train', 'cface_basicsr.register'])
    process = context.Process(target=_train, args=(_words(options), str(log), os.getcwd()))
    process.start()
    return process


def _words(options: Path) -> list[str]:
    """The command line of BasicSR's training, with the plugins that this process was given."""
    plugins = [word for module in admitted() for word in ('--plugin', module)]
    return ['cface_basicsr.train', '-opt', str(options), '--auto_resume', *plugins]


def _free_port() -> int:
    """A port where the ranks meet; two trainings on one machine must not use the same."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def _train(words: list[str], log: str, folder: str) -> None:
    """The body of a forked training: its output goes to the log, its exit code says how it ended."""
    end_with_parent()
    os.setsid()  # Ctrl-C reaches the parent only, and that hands it on
    end_at_once_by_ctrl_c()
    multiprocessing.set_start_method(None, force=True)  # loaders' workers: as in any training, not by a second server
    os.chdir(folder)
    with open(log, 'a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = words
    import basicsr.train

    from cface_basicsr.compat.short_errors import short_message
    from cface_basicsr.register import take_arguments  # registers the classes, patches BasicSR
    try:
        take_arguments(sys.argv)
        basicsr.train.train_pipeline(folder)
    except UserError as error:
        print(f'cface: {short_message(error)}', flush=True)
        sys.exit(2)
    finally:
        _finish_wandb(failed=sys.exc_info()[0] is not None)


def _finish_wandb(failed: bool) -> None:
    """Have Weights & Biases write what it holds: a process of multiprocessing calls no exit function of its."""
    if (wandb := sys.modules.get('wandb')) and wandb.run:
        wandb.finish(exit_code=int(failed))


def _watch(training: _Training, log: Path, progress: _Progress, pause: float = 0.2) -> None:
    view = TrainingView()
    view.processes = training.ids if isinstance(training, Ranks) else [training.pid]
    with open(log, errors='replace') as file:
        while True:
            alive = training.is_alive()
            for line in file:
                reached = view.read(line)
                if reached is not None:
                    progress(reached, view)
            if not alive:
                return
            time.sleep(pause)


def last_words(log: Path) -> str:
    """The line of a log that says what went wrong: that of the error, else the last one."""
    lines = [line.strip() for line in log.read_text(errors='replace').splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r'(cface: |\w*(Error|Exception)\b)', line)]
    return (errors or lines or ['it printed nothing'])[-1][:400]

"""One training by BasicSR in a process of its own, watched through its log.

Without a launcher the process is forked from a server that has imported torch and BasicSR once and computed nothing,
so a chain of short steps does not pay five seconds of imports for each. Several processes run under torchrun.
"""

import multiprocessing
import multiprocessing.connection
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cface_basicsr.errors import UserError

_PROGRESS = re.compile(r'\[epoch:\s*\d+, iter:\s*([\d,]+),.*?\)\] (?:\[eta:.*?\] )?(.*)')

_Progress = Callable[[int, str], None]
"""Called with the iteration reached and the losses as text."""


def run_training(options: Path, log: Path, progress: _Progress, processes: int = 1) -> None:
    """Run `python -m cface_basicsr.train -opt OPTIONS --auto_resume` to its end.

    Args:
        options: a complete option file.
        log: the file that gets everything that the training prints.
        progress: told whenever the log shows a new iteration.
        processes: more than one trains by DDP, under torchrun.

    Raises:
        UserError: the training failed; with its last lines and the log's path.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text('')
    process = _start_forked(options, log) if processes == 1 else _start_torchrun(options, log, processes)
    try:
        _watch(process, log, progress)
    finally:
        process.terminate()
    process.join()
    if process.exitcode != 0:
        raise UserError(f"training of '{options}' failed (exit code {process.exitcode}): {last_words(log)}\nLog: {log}")


class _Launched(subprocess.Popen):
    """A training under torchrun, which answers as a process of multiprocessing does."""

    def is_alive(self) -> bool:
        return self.poll() is None

    def join(self) -> None:
        self.wait()

    @property
    def exitcode(self) -> int | None:
        return self.returncode


_Process = multiprocessing.Process | _Launched


def _start_forked(options: Path, log: Path) -> _Process:
    kind = 'forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn'
    context = multiprocessing.get_context(kind)
    if kind == 'forkserver':
        context.set_forkserver_preload(['cface_basicsr.train', 'cface_basicsr.register'])
    process = context.Process(target=_train, args=(str(options), str(log), os.getcwd()))
    process.start()
    return process


def _start_torchrun(options: Path, log: Path, processes: int) -> _Process:
    with open(log, 'a') as file:
        return _Launched(training_command(options, processes), stdout=file, stderr=subprocess.STDOUT)


def training_command(options: Path, processes: int) -> list[str]:
    """The command that trains an option file: in one process, or in several under torchrun."""
    return distributed_command(options, processes) if processes > 1 else [sys.executable, *_training(options)]


def distributed_command(options: Path, processes: int) -> list[str]:
    """The command that trains an option file under torchrun, at a free port."""
    return [sys.executable, '-m', 'torch.distributed.run', f'--nproc_per_node={processes}',
            f'--master_port={_free_port()}', *_training(options), '--launcher', 'pytorch']


def _training(options: Path) -> list[str]:
    return ['-m', 'cface_basicsr.train', '-opt', str(options), '--auto_resume']


def _free_port() -> int:
    """A port where the ranks meet: torchrun would hand them 0 as it is, and they would wait for each other for ever."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def _train(options: str, log: str, folder: str) -> None:
    """The body of a forked training: its output goes to the log, its exit code says how it ended."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # loaders' workers: as in any training, not by a second server
    os.chdir(folder)
    with open(log, 'a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ['cface_basicsr.train', '-opt', options, '--auto_resume']
    import basicsr.train

    import cface_basicsr.register  # noqa: F401  registers the classes, patches BasicSR
    from cface_basicsr.compat.short_errors import short_message
    try:
        basicsr.train.train_pipeline(folder)
    except UserError as error:
        print(f'cface: {short_message(error)}', flush=True)
        sys.exit(2)


def _end_with_the_parent() -> None:
    """A killed `cface train` must not leave its training running, where the next one would find it at work."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _watch(process: _Process, log: Path, progress: _Progress, pause: float = 0.2) -> None:
    with open(log, errors='replace') as file:
        while True:
            alive = process.is_alive()
            for line in file:
                found = _PROGRESS.search(line)
                if found:
                    progress(int(found[1].replace(',', '')), found[2].strip())
            if not alive:
                return
            time.sleep(pause)


def last_words(log: Path) -> str:
    """The line of a log that says what went wrong: that of the error, else the last one."""
    lines = [line.strip() for line in log.read_text(errors='replace').splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r'(cface: |\w*(Error|Exception)\b)', line)]
    return (errors or lines or ['it printed nothing'])[-1][:400]

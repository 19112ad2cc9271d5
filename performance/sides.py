"""Each side of a comparison in a process of its own, so that neither inherits threads, caches or settings.

A side is a function that gets ready and returns what is timed. Its process waits for its turn; one runs at a time.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from performance.measure import Times, peak_memory, turns

Job = Callable[[], Any]
"""What is timed. It is done when it returns (it waits for a GPU inside); what it returns goes to the caller as JSON."""
ROOT = Path(__file__).parents[1]
THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


@dataclass(frozen=True)
class Side:
    """One side.

    Attributes:
        make: 'module:function' that returns the `Job`; called once, not timed.
        settings: its keyword arguments, as JSON.
        threads: of torch, OpenMP and BLAS; OpenCV has as many.
        ours: with the settings that our commands make for themselves (`runtime.start_computing`); a rival has none.
    """

    make: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    ours: bool = True


class Runner:
    """The process of a side; a context manager. It ends with the block, or when this process ends."""

    def __init__(self, side: Side) -> None:
        environment = os.environ | dict.fromkeys(THREADS, str(side.threads))
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'performance.sides', side.make, json.dumps(dict(side.settings)), str(side.threads),
             str(int(side.ours))], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._name = side.make

    def ready(self) -> Self:
        """Wait until the job is made."""
        self._answer()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self) -> dict[str, Any]:
        """Run the job once: {'seconds', 'cpu', 'peak' (GB), 'result'}."""
        with suppress(BrokenPipeError):
            self._process.stdin.write('go\n')
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'the process of {self._name} ended (exit code {self._process.wait()}); '
                               'what it said is above.')
        return json.loads(line)


def race(sides: Mapping[str, Side], rounds: int, warm_up: int = 1) -> dict[str, Times]:
    """Let each side run once a round, the order reversed every other round.

    Args:
        sides: name -> side.
        rounds: how many are measured.
        warm_up: rounds before, not measured.
    """
    with ExitStack() as stack:
        runners = {name: stack.enter_context(Runner(side)) for name, side in sides.items()}
        for each in runners.values():
            each.ready()
        times = {name: Times() for name in sides}
        for number, name in turns(sides, rounds, warm_up):
            seen = runners[name].run()
            times[name].peak.append(seen['peak'])
            times[name].results.append(seen['result'])
            if number >= 0:
                times[name].seconds.append(seen['seconds'])
                times[name].cpu.append(seen['cpu'])
        return times


@dataclass(frozen=True)
class Race:
    """Our side, and the rival with the number of threads that is best for it."""

    ours: Times
    rival: Times
    threads: int


def against(ours: Side, rival: Side, rounds: int, warm_up: int = 1) -> Race:
    """Race ours against the rival with one thread and with as many as we have; the faster one counts."""
    counts = sorted({1, ours.threads})
    rivals = {str(count): Side(rival.make, rival.settings, count, ours=False) for count in counts}
    times = race({'ours': ours, **rivals}, rounds, warm_up)
    best = min(rivals, key=lambda name: times[name].median)
    return Race(times['ours'], times[best], int(best))


def _serve(make: str, settings: str, threads: str, ours: str) -> None:
    """Make the job, and run it at each line that comes in."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), 'w')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a job prints is no answer
    if int(ours):
        from cface_basicsr.runtime import start_computing
        start_computing()
    module, _, name = make.partition(':')
    job = getattr(importlib.import_module(module), name)(**json.loads(settings))
    _set_threads(int(threads))
    print('{}', file=answers, flush=True)
    for _ in sys.stdin:
        clock, cpu = time.perf_counter(), time.process_time()
        result = job()
        seen = {'seconds': time.perf_counter() - clock, 'cpu': time.process_time() - cpu}
        print(json.dumps(seen | {'peak': peak_memory(), 'result': result}), file=answers, flush=True)


def _set_threads(threads: int) -> None:
    """For libraries that are imported; a side that uses neither needs neither."""
    if 'torch' in sys.modules:
        sys.modules['torch'].set_num_threads(threads)
    if 'cv2' in sys.modules:
        sys.modules['cv2'].setNumThreads(threads)


if __name__ == '__main__':
    _serve(*sys.argv[1:])

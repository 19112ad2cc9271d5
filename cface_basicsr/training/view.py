"""What a training tells by its log, for somebody who watches it: rates, the wait for data, memory, losses.

All of it is read outside of the training, which knows nothing of it and takes no step for it.
"""

import math
import os
import re
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

_PROGRESS = re.compile(r'\[epoch:\s*\d+, iter:\s*([\d,]+),.*?\)\] '
                       r'(?:\[eta:.*?, time \(data\): ([\d.]+) \(([\d.]+)\)[^\]]*\] )?(.*)')
_BEGINS = re.compile(r'INFO: Start training from epoch: \d+, iter: (\d+)')
_FACTS = {'total': re.compile(r'^\s*Total epochs: \d+; iters: (\d+)\.'),
          'batch': re.compile(r'^\s*Batch size per gpu: (\d+)'),
          'world': re.compile(r'^\s*World size \(gpu number\): (\d+)')}
_LOSS = re.compile(r'(\S+): (\S+)')
_BARS = '▁▂▃▄▅▆▇█'
_KEPT, _MEMORY_EVERY, _GPU_EVERY = 24, 1.0, 10.0
"""Values of a loss that are drawn; seconds between two looks at the memory of processes, and at that of GPUs."""


class TrainingView:
    """The state of a training, by the lines of its log; `str()` is what a terminal shows of it."""

    def __init__(self) -> None:
        self.processes: Sequence[int] = ()
        """The training's processes, whose memory is shown with that of those that they have started."""
        self.total = self.batch = self.world = self.begun = 0
        """Iterations, images in a batch of one device, devices, the iteration from which the log goes on: 0 as long as
        it has not said so."""
        self._rates: tuple[float, float] | None = None  # seconds an iteration, and of it waiting for data
        self._losses: dict[str, deque[float]] = {}
        self._looked: dict[str, tuple[float, str]] = {}  # what was looked up: when, and what was found

    def read(self, line: str) -> int | None:
        """Take up a line of the log.

        Returns:
            the iteration that the training has reached, or from which it goes on; None where the line tells none.
        """
        found = _PROGRESS.search(line)
        if found:
            self._rates = (float(found[2]), float(found[3])) if found[2] else None
            for name, value in _LOSS.findall(found[4]):
                with suppress(ValueError):
                    number = float(value)
                    self._losses.setdefault(name, deque(maxlen=_KEPT)).append(number)
            return int(found[1].replace(',', ''))
        for name, fact in _FACTS.items():
            if known := fact.match(line):
                setattr(self, name, int(known[1]))
        begins = _BEGINS.search(line)
        if not begins:
            return None
        self.begun = int(begins[1])
        return self.begun

    def __str__(self) -> str:
        width = max(map(len, self._losses), default=0)
        losses = [f'{name:{width}}  {values[-1]:10.3e}  {course(values)}' for name, values in self._losses.items()]
        facts = [*self._speed(), self._lately('memory', _MEMORY_EVERY), self._lately('gpus', _GPU_EVERY)]
        return '\n'.join([', '.join(filter(None, facts)), *losses])

    def _speed(self) -> list[str]:
        if not self._rates or not self._rates[0]:
            return []
        seconds, waiting = self._rates
        images = f', {self.batch * max(self.world, 1) / seconds:.3g} images/s' if self.batch else ''
        return [f'{1 / seconds:.3g} iterations/s{images}', f'{100 * min(waiting / seconds, 1):.0f} % waiting for data']

    def _lately(self, what: str, every: float) -> str:
        """What was found of the memory or the GPUs, looked up anew after `every` seconds."""
        when, found = self._looked.get(what, (-math.inf, ''))
        if time.monotonic() - when > every:
            found = memory_of(self.processes) if what == 'memory' else memory_of_gpus()
            self._looked[what] = time.monotonic(), found
        return found


def course(values: Sequence[float]) -> str:
    """Numbers as bars between their least and their largest one; what is not finite is a blank.

    >>> course([0.0, 0.5, 1.0])
    '▁▄█'
    """
    finite = [value for value in values if math.isfinite(value)]
    least, largest = min(finite, default=0), max(finite, default=0)
    step = (largest - least) / (len(_BARS) - 1) or 1
    return ''.join(_BARS[int((value - least) / step)] if math.isfinite(value) else ' ' for value in values)


def memory_of(processes: Sequence[int]) -> str:
    """The main memory of processes and of all that they have started, in words; '' where the system does not tell."""
    found = [_own_memory(each) for each in _with_children(processes)]
    return f'{sum(found) / 1e9:.1f} GB of memory' if any(found) else ''


def _with_children(processes: Sequence[int]) -> list[int]:
    everyone = list(processes)
    for each in everyone:  # grows while it is read
        with suppress(OSError):
            everyone += map(int, Path(f'/proc/{each}/task/{each}/children').read_text().split())
    return everyone


def _own_memory(process: int) -> int:
    """Bytes that are no other process's; shared memory belongs to all of them and is left out."""
    with suppress(OSError):
        found = re.search(r'RssAnon:\s*(\d+) kB', Path(f'/proc/{process}/status').read_text())
        return 1024 * int(found[1]) if found else 0
    return 0


def memory_of_gpus() -> str:
    """What is taken of the GPUs, in words, as nvidia-smi tells it; '' without one that CUDA shows."""
    program = shutil.which('nvidia-smi')
    if not program:
        return ''
    seen = _seen_gpus()
    if seen == '':
        return ''
    command = [program, '--query-gpu=memory.used', '--format=csv,noheader,nounits', *([f'--id={seen}'] if seen else [])]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
        used = [int(line) for line in told.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return ''
    return f"{' + '.join(f'{each / 953.67:.1f}' for each in used)} GB taken on the GPU" if used else ''


def _seen_gpus() -> str | None:
    """The GPUs that CUDA shows to this process, '' for none, as with CUDA_VISIBLE_DEVICES='' or -1; None for all."""
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is None:
        return None
    first = takewhile(lambda each: re.fullmatch(r'\d+|GPU-.+|MIG-.+', each), map(str.strip, named.split(',')))
    return ','.join(first)  # CUDA, too, stops at the first one that is none


class WarningsOnly:
    """Which lines of a training are warnings or errors: those that --quiet leaves."""

    def __init__(self) -> None:
        self._shown = False

    def shows(self, line: str) -> bool:
        """Whether a line is one, or belongs to the one before it."""
        record = re.match(r'\d{4}-\d\d-\d\d [\d:,]+ (\w+): ', line)
        if record:
            self._shown = record[1] != 'INFO'
        elif re.search(r'^Traceback|^cface: |\b\w*(Error|Exception|Warning): ', line):
            self._shown = True
        return self._shown

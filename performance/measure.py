"""Taking turns, medians, and the table they end in."""

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Times:
    """How long something took, run by run.

    Attributes:
        seconds: by the clock.
        cpu: of the process, all its threads together; what other programs do to the machine hardly shows in it.
        peak: the most memory (GB) that its process had held by then, where it has a process of its own.
        results: what it returned, warm-up included, where it has a process of its own.
    """

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def median_cpu(self) -> float:
        """Median of the CPU seconds."""
        return statistics.median(self.cpu)

    def spread(self, factor: float = 1.0, digits: int = 3) -> str:
        """'median (least to most)', times a factor."""
        values = [self.median, min(self.seconds), max(self.seconds)]
        return '{} ({} to {})'.format(*(f'{factor * value:.{digits}g}' for value in values))


def take_turns(jobs: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, Times]:
    """Run each job once a round, the order reversed every other round.

    Args:
        jobs: name -> what to run; it must be done when it returns (wait for a GPU inside).
        rounds: how many are measured.
        warm_up: rounds before, not measured.
    """
    times = {name: Times() for name in jobs}
    for number, name in turns(jobs, rounds, warm_up):
        clock, cpu = time.perf_counter(), time.process_time()
        jobs[name]()
        if number >= 0:
            times[name].seconds.append(time.perf_counter() - clock)
            times[name].cpu.append(time.process_time() - cpu)
    return times


def turns(names: Iterable[str], rounds: int, warm_up: int) -> Iterator[tuple[int, str]]:
    """(round, name): each name once a round, the order reversed every other round; rounds below 0 are warm-up."""
    names = list(names)
    for number in range(-warm_up, rounds):
        yield from ((number, name) for name in (names if number % 2 == 0 else reversed(names)))


def ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """The median over the rounds of ours / other: both sides of one ratio ran one after the other.

    >>> ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    2.0
    """
    return statistics.median(a / b for a, b in zip(ours, other, strict=True))


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Seconds for each unit of size, by least squares: the steepness of a line through 0.

    >>> slope([1, 2, 3], [2, 4, 6])
    2.0
    """
    return sum(s * n for s, n in zip(seconds, sizes, strict=True)) / sum(n * n for n in sizes)


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        key: short name, for programs.
        what: was measured.
        ours, other: both sides as text, with units.
        value: the number that is judged; None: it could not be had, `ours` says why.
        unit: of `value`: 'x' for a ratio.
        target: what it should be; None: nobody set one.
        at_most: whether the target is an upper bound.
        limit: what this machine needs at least, in words.
        of_limit: ours / that limit.
    """

    key: str
    what: str
    ours: str
    other: str
    value: float | None
    unit: str = 'x'
    target: float | None = None
    at_most: bool = True
    limit: str = ''
    of_limit: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None or self.value is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def cells(self) -> list[str]:
        """The line's cells."""
        verdict = {None: '–', True: 'pass', False: '**fail**'}[self.passed]
        bound = '–' if self.target is None else f"{'≤' if self.at_most else '≥'} {self.target:g} {self.unit}"
        measured = '–' if self.value is None else f'{self.value:.3g} {self.unit}'
        limit = '–' if self.of_limit is None else f'{self.of_limit:.3g} x of {self.limit}'
        return [self.what, self.ours, self.other, measured, bound, verdict, limit]


def markdown(findings: Sequence[Finding], command: str, load_before: float) -> str:
    """The table, with the command and the machine above it."""
    head = ['what', 'ours', 'against', 'measured', 'target', 'verdict', 'physical limit']
    lines = [head, ['---'] * len(head), *(finding.cells() for finding in findings)]
    table = '\n'.join(f"| {' | '.join(cells)} |" for cells in lines)
    return f'Command: `{command}`\n\n{machine(load_before)}\n\n{table}\n'


def machine(load_before: float) -> str:
    """What it ran on, and how busy the machine was."""
    import torch

    import cface_basicsr
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    gpu = f', {torch.cuda.get_device_name()}' if torch.cuda.is_available() else ''
    load = '' if load_before < 0.5 else (
        f' Other programs were at work: {load_before:.1f} processes wanted to run on the {cores} cores just '
        'before, so the clock says little here and CPU time more.')
    return (f'{cores} CPU cores{gpu}, {torch.get_num_threads()} torch thread(s), Python {platform.python_version()}, '
            f'torch {torch.__version__}, cface-basicsr {cface_basicsr.__version__}.{load}')


def load_average() -> float:
    """Processes that wanted to run in the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0


def peak_memory() -> float:
    """The most memory that this process ever held, in GB; memory-mapped pages that were touched count."""
    status = Path('/proc/self/status')
    if status.is_file():  # Linux's ru_maxrss also counts the program that started this one
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith('VmHWM')) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == 'darwin' else peak / 1e6  # bytes there, kilobytes elsewhere

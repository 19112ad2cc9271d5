"""A light reader of BasicSR's training logs: losses over iterations, and how long an iteration took."""

import re
import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from cface_basicsr.files.text_file import read_whole

_LINE = re.compile(r'^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) INFO: .*?\[epoch:\s*\d+, '
                   r'iter:\s*([\d,]{1,15}), lr:\([^)]*\)\] (?:\[eta:[^\]]*\] )?(.*)$')
_VALUE = re.compile(r'\b([\w/]{1,80}): (-?\d+(?:\.\d+)?e[+-]\d{1,3})')
_LONGEST = 4000
"""Characters of a line that BasicSR wrote."""

Line = tuple[float, int, dict[str, float]]
"""Seconds since the epoch, iteration, losses by name."""


def read_log(path: Path) -> list[Line]:
    """The progress lines of one log file, in order."""
    lines = []
    for line in read_whole(path, 'Expected a log of BasicSR.').decode('utf-8', 'replace').splitlines():
        found = _LINE.match(line) if len(line) < _LONGEST else None
        when = _seconds(found[1]) if found else None
        if when is not None:
            losses = {name: float(value) for name, value in _VALUE.findall(found[3]) if name.startswith('l_')}
            lines.append((when, int(found[2].replace(',', '')), losses))
    return lines


def _seconds(text: str) -> float | None:
    try:
        return datetime.strptime(text, '%Y-%m-%d %H:%M:%S,%f').timestamp()
    except (ValueError, OverflowError):
        return None


def training_logs(folder: Path) -> list[Path]:
    """BasicSR's own logs in a training's folder, oldest first: one for each start."""
    return sorted(folder.glob('train_*.log'), key=lambda path: (path.stat().st_mtime, path.name))


def losses_over_iterations(logs: Iterable[Path], points: int = 50) -> list[tuple[int, dict[str, float]]]:
    """(iteration, losses): at most `points`, each the mean of the lines up to it.

    Where a resumed training logged an iteration again, the later line counts.
    """
    by_iteration: dict[int, dict[str, float]] = {}
    for path in logs:
        by_iteration |= {iteration: losses for _, iteration, losses in read_log(path)}
    ordered = sorted(by_iteration)
    groups = [ordered[i * len(ordered) // points:(i + 1) * len(ordered) // points] for i in range(points)] \
        if len(ordered) > points else [[iteration] for iteration in ordered]
    return [(group[-1], _mean([by_iteration[iteration] for iteration in group])) for group in groups]


def _mean(lines: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: statistics.fmean(line[name] for line in lines if name in line) for name in names}


def seconds_an_iteration(logs: Iterable[Path]) -> float | None:
    """The median time of an iteration between two lines of one log; None where no log has two lines.

    The first line is left out where there are more: it carries the start of the workers.
    """
    steps = []
    for path in logs:
        lines = read_log(path)
        pairs = list(zip(lines, lines[1:], strict=False))
        steps += [(b[0] - a[0]) / (b[1] - a[1]) for a, b in pairs if b[1] > a[1]]
    return statistics.median(steps) if steps else None

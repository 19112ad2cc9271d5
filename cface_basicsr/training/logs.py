"""A light reader of BasicSR's training logs: losses over iterations, and how long an iteration took."""

import re
import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from cface_basicsr.files.text_file import read_whole
from cface_basicsr.measuring.results import CurvePoint, Results, Run, facts_of_this_run
from cface_basicsr.training.view import TrainingView

_LINE = re.compile(r'^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) INFO: .*?\[epoch:\s*\d+, '
                   r'iter:\s*(\d[\d,]{,14}), lr:\([^)]*\)\] (?:\[eta:[^\]]*\] )?(.*)$')
_VALUE = re.compile(r'\b([\w/]{1,80}): (-?\d+(?:\.\d+)?e[+-]\d{1,3})')
_LONGEST = 4000
"""Characters of a line that BasicSR wrote."""

Line = tuple[float, int, dict[str, float]]
"""Seconds since the epoch, iteration, losses by name."""


def read_log(path: Path) -> list[Line]:
    """The progress lines of one log file, in order."""
    lines = []
    for line in _lines(path):
        found = _LINE.match(line)
        when = _seconds(found[1]) if found else None
        if when is not None:
            losses = {name: float(value) for name, value in _VALUE.findall(found[3]) if name.startswith('l_')}
            lines.append((when, int(found[2].replace(',', '')), losses))
    return lines


_VALIDATION = re.compile(r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO: Validation (.{1,200})$')
_METRIC = re.compile(r'^\t # (.{1,80}): (-?\d+\.\d{4}|inf)(?:\t|$)')
_VAL_FREQ = re.compile(r'^\s+val_freq: (\d{1,15})$')


def curve_of(logs: Iterable[Path]) -> list[CurvePoint]:
    """Losses and validations over the images that were seen, as the logs of one training tell them, oldest first.

    The log does not say the iteration of a validation: for each set it is the next multiple of `val_freq`, or the end.
    How many images an iteration takes is what the last log says that has an iteration.
    """
    logs, points = list(logs), []
    a_step = 1
    for path in logs:
        view, every, reached, of, last = TrainingView(), 0, 0, '', {}
        for line in _lines(path):
            reached = view.read(line) or reached
            every = int(found[1]) if (found := _VAL_FREQ.match(line)) else every
            if found := _VALIDATION.match(line):
                of = found[1]
                last[of] = _validated_at(reached, last.get(of, view.begun), every, view.total)
            if (found := _METRIC.match(line)) and of:
                points.append((last[of], of, found[1], float(found[2])))
        if view.batch and reached > view.begun:
            a_step = view.batch * max(view.world, 1)
    several = len({of for _, of, _, _ in points}) > 1
    losses = [CurvePoint(iteration * a_step, losses=each) for iteration, each in losses_over_iterations(logs)]
    seen = [CurvePoint(at * a_step, accuracies={f'{name}, {of}' if several else name: value})
            for at, of, name, value in points]
    return sorted([*losses, *seen], key=lambda point: point.images)


def _validated_at(reached: int, before: int, every: int, total: int) -> int:
    """The iteration of a validation; `before`: of the one before, or where the log begins."""
    at = max(-(-reached // every), before // every + 1) * every if every else reached
    return min(at, total or at)


def _lines(path: Path) -> list[str]:
    content = read_whole(path, 'Expected a log of BasicSR.').decode('utf-8', 'replace')
    return [line for line in content.splitlines() if len(line) < _LONGEST]


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


def unmeasured(folder: Path) -> Results | None:
    """The curves of all trainings below a folder that has no results, in the order in which they were begun.

    None where no training has left a log with a progress line.
    """
    logs = {each: training_logs(each) for each in {path.parent for path in folder.rglob('train_*.log')}}
    begun = sorted(logs, key=lambda each: logs[each][0].stat().st_mtime)
    runs = [Run(str(each.relative_to(folder)) if each != folder else folder.name, None, curve=curve)
            for each in begun if (curve := curve_of(logs[each]))]
    facts = facts_of_this_run([], {}, 'nothing is measured')
    return Results('train', folder.name, facts, [run.system for run in runs], [], runs) if runs else None

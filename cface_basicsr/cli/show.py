"""What commands print, all of it: results, notes, warnings and the progress of long work.

Names of files and people may be part of a text, so what controls a terminal is written as an escape.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from cface_basicsr.errors import visible
from cface_basicsr.runtime import describe_seconds

_quiet = False


def is_quiet() -> bool:
    """Whether progress and notes are left out."""
    return _quiet


def silence(wanted: bool) -> None:
    """Whether progress and notes are left out from now on."""
    global _quiet
    _quiet = wanted


def say(text: object, end: str = '\n') -> None:
    """Print a result on stdout; what the encoding of stdout lacks is written as an escape, too."""
    encoding, shown = sys.stdout.encoding or 'utf-8', '\t'.join(map(visible, str(text).split('\t')))
    typer.echo(shown.encode(encoding, 'backslashreplace').decode(encoding) + end, nl=False)


def say_json(value: Any) -> None:
    """Print a result as JSON, in ASCII."""
    say(json.dumps(value, indent=1))


def warn(text: object) -> None:
    """Say on stderr what is not as it should be."""
    typer.echo(visible(str(text)), err=True)


def note(text: object) -> None:
    """Say on stderr what a command did besides its result, such as a file it wrote; --quiet leaves it out."""
    if not _quiet:
        warn(text)


class Terminal(Console):
    """Rich's console."""

    def render_str(self, text: str, **settings: Any) -> Text:
        """Each text that is printed comes here, the cells of tables too."""
        return super().render_str(visible(text), **settings)


class _Left(ProgressColumn):
    """How long a step will still take."""

    def __init__(self, left: Callable[[], float | None]) -> None:
        super().__init__()
        self.left = left

    def render(self, task: Task) -> Text:
        """See `ProgressColumn`."""
        left = self.left()
        return Text('' if left is None else f'about {describe_seconds(left)} left', style='progress.remaining')


class _Bars(Progress):
    """Bars, and below them what else is known of a step."""

    below = ''

    def get_renderables(self) -> Iterable[RenderableType]:
        """See `Progress`."""
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, style='dim', no_wrap=True, overflow='ellipsis')


class ShowSteps:
    """The steps of a recipe, one bar each; implements `runtime.Progress`."""

    def __init__(self, total: int, console: Terminal | None = None, every: float = 15.0) -> None:
        """
        Args:
            total: number of steps.
            console: where to write; by default stderr, so that `--json` on stdout stays clean; with --quiet nowhere.
            every: seconds between two lines where the output is not a terminal.
        """
        self.console = console or Terminal(stderr=True, quiet=_quiet)
        self.total, self.number, self.every = total, 0, every
        self.progress = _Bars(TextColumn('{task.description}'), BarColumn(bar_width=24), MofNCompleteColumn(),
                              TimeElapsedColumn(), _Left(self.left),
                              TextColumn('{task.fields[text]}', style='dim', markup=False), console=self.console,
                              transient=True)
        self.task: int | None = None
        self.seen: list[tuple[float, float]] = []  # the first report of this step, and the last one

    def __enter__(self) -> 'ShowSteps':
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def _title(self, name: str) -> str:
        return f'[{self.number}/{self.total}] {visible(name)}'

    def start(self, name: str, total: int) -> None:
        """A step begins."""
        self.number += 1
        self.name, self.count, self.began, self.spoke, self.seen = name, total, time.time(), time.time(), []
        self.task = self.progress.add_task(self._title(name).replace('[', r'\['), total=total or None, text='')

    def advance(self, done: float, text: object = '') -> None:
        """`done` of its iterations or images are finished, one of them perhaps in part.

        Of `text`, more than one line is shown below the bar, and only in a terminal.
        """
        self.seen = [*self.seen[:1], (time.time(), done)]
        if self.console.is_terminal:
            shown = visible(str(text)).encode(self.console.encoding, 'replace').decode(self.console.encoding)
            below = '\n' in shown
            self.progress.below = shown if below else ''
            self.progress.update(self.task, completed=done, text='' if below else shown[:70])
        elif time.time() - self.spoke > self.every:
            self.spoke = time.time()
            left = self.left()
            eta = '' if left is None else f', about {describe_seconds(left)} left'
            what = '' if '\n' in str(text) else f' ({text})' if text else ''
            self.console.print(f'    {self.name}: {int(done)} of {self.count or "?"}{eta}{what}', highlight=False,
                               markup=False, soft_wrap=True)

    def left(self) -> float | None:
        """Seconds that the step will still take, by what was done since its first report: work that goes on from where
        it was stopped begins with that. None as long as nobody can tell.
        """
        (first, begun), (last, done) = (self.seen[0], self.seen[-1]) if self.seen else ((0, 0), (0, 0))
        if done <= begun or not self.count:
            return None
        return max((last - first) / (done - begun) * (self.count - done) - (time.time() - last), 0)

    def follow(self, name: str) -> Callable[[int, int], None]:
        """A step for work that reports only (number done, total); it begins with the first call."""
        first = 0

        def progress(done: int, total: int) -> None:
            nonlocal first
            if self.task is None:
                self.start(name, total)
                first = done
            seconds = time.time() - self.began
            self.advance(done, f'{(done - first) / seconds:.0f} per second' if seconds > 1 else '')
        return progress

    def end(self, name: str, note: str) -> None:
        """A step is done."""
        if self.task is None:
            self.number += 1
        else:
            self.progress.remove_task(self.task)
            self.task, self.progress.below = None, ''
        self.console.print(f'{self._title(name)}: {note}', highlight=False, markup=False, soft_wrap=True)

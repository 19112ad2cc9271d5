"""What commands print: the progress of long work, and texts with any names in them."""

import sys
import time
from collections.abc import Callable

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cface_basicsr.errors import visible

_quiet = False


def silence(wanted: bool) -> None:
    """Whether progress and notes are left out from now on."""
    global _quiet
    _quiet = wanted


def note(text: object) -> None:
    """Say on stderr what a command did besides its result, such as a file it wrote; --quiet leaves it out."""
    if not _quiet:
        typer.echo(text, err=True)


class ShowSteps:
    """The steps of a recipe, one bar each; implements `runtime.Progress`."""

    def __init__(self, total: int, console: Console | None = None, every: float = 15.0) -> None:
        """
        Args:
            total: number of steps.
            console: where to write; by default stderr, so that `--json` on stdout stays clean; with --quiet nowhere.
            every: seconds between two lines where the output is not a terminal.
        """
        self.console = console or Console(stderr=True, quiet=_quiet)
        self.total, self.number, self.every = total, 0, every
        self.progress = Progress(TextColumn('{task.description}'), BarColumn(bar_width=24), MofNCompleteColumn(),
                                 TimeElapsedColumn(), TextColumn('eta'), TimeRemainingColumn(),
                                 TextColumn('[dim]{task.fields[losses]}'), console=self.console, transient=True)
        self.task: int | None = None

    def __enter__(self) -> 'ShowSteps':
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def _title(self, name: str) -> str:
        return f'[{self.number}/{self.total}] {name}'

    def start(self, name: str, total: int) -> None:
        """A step begins."""
        self.number += 1
        self.name, self.count, self.began, self.spoke = name, total, time.time(), time.time()
        self.task = self.progress.add_task(self._title(name).replace('[', r'\['), total=total or None, losses='')

    def advance(self, done: int, text: str = '') -> None:
        """`done` of its iterations or images are finished; `text` shows the losses."""
        self.progress.update(self.task, completed=done, losses=text[:70])
        if not self.console.is_terminal and time.time() - self.spoke > self.every:
            self.spoke = time.time()
            left = (time.time() - self.began) / max(done, 1) * max(self.count - done, 0)
            eta = f', about {left:.0f} s left' if self.count else ''
            self.console.print(f'    {self.name}: {done} of {self.count or "?"}{eta}', highlight=False)

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
            self.task = None
        self.console.print(f'{self._title(name)}: {note}', highlight=False, markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Text for stdout, whatever names it holds; what its encoding lacks is written as an escape, too."""
    encoding = sys.stdout.encoding or 'utf-8'
    return visible(text).encode(encoding, 'backslashreplace').decode(encoding)

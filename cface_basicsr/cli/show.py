"""What commands print, all of it: results, notes, warnings and the progress of long work.

Names of files and people may be part of a text, so what controls a terminal is written as an escape.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from cface_basicsr.errors import visible

_quiet = False


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
        return f'[{self.number}/{self.total}] {visible(name)}'

    def start(self, name: str, total: int) -> None:
        """A step begins."""
        self.number += 1
        self.name, self.count, self.began, self.spoke = name, total, time.time(), time.time()
        self.first: tuple[int, float] | None = None  # what was done, and when: a resumed step does not begin at 0
        self.task = self.progress.add_task(self._title(name).replace('[', r'\['), total=total or None, losses='')

    def advance(self, done: int, text: str = '') -> None:
        """`done` of its iterations or images are finished; `text` shows the losses."""
        self.progress.update(self.task, completed=done, losses=visible(text[:70]))
        now, self.first = time.time(), self.first or (done, time.time())
        if not self.console.is_terminal and now - self.spoke > self.every:
            self.spoke, (before, since) = now, self.first
            known = self.count and done > before
            eta = f', about {(now - since) / (done - before) * (self.count - done):.0f} s left' if known else ''
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

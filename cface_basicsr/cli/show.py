"""How long work shows itself: a bar with ETA on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ShowSteps:
    """The steps of a recipe, one bar each; implements `runtime.Progress`."""

    def __init__(self, total: int, console: Console | None = None, every: float = 15.0) -> None:
        """
        Args:
            total: number of steps.
            console: where to write; stderr by default, so that `--json` on stdout stays clean.
            every: seconds between two lines where there is no terminal.
        """
        self.console = console or Console(stderr=True)
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
        """So much of it is done; `text` shows the losses."""
        self.progress.update(self.task, completed=done, losses=text[:70])
        if not self.console.is_terminal and time.time() - self.spoke > self.every:
            self.spoke = time.time()
            left = (time.time() - self.began) / max(done, 1) * max(self.count - done, 0)
            eta = f', about {left:.0f} s left' if self.count else ''
            self.console.print(f'    {self.name}: {done} of {self.count or "?"}{eta}', highlight=False)

    def end(self, name: str, note: str) -> None:
        """A step is done."""
        if self.task is None:
            self.number += 1
        else:
            self.progress.remove_task(self.task)
            self.task = None
        self.console.print(f'{self._title(name)}: {note}', highlight=False, markup=False, soft_wrap=True)

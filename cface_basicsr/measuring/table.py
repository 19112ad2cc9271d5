"""Systems x numbers as Markdown, CSV, JSON and on the console, from one description, so the four cannot differ."""

import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_text
from cface_basicsr.files.text_file import table_text

if TYPE_CHECKING:
    from rich.console import Group as RichGroup
    from rich.table import Table as RichTable

Number = float | int | None


@dataclass(frozen=True)
class Column:
    """One number of every system.

    Attributes:
        key: its name in a row's numbers.
        title: its heading.
        digits: after the decimal point.
        best: which value is the best and printed in bold; None: neither.
        factor: 100 shows a share as per cent (Markdown and console only; CSV and JSON keep the number as it is).
        spread: key of a second number that is shown after this one as ± (the standard deviation over folds).
        group: a heading above this column and its neighbours where the layout has two lines of headings (LaTeX, HTML);
            where it has one line, it comes before the title.
        grey: these numbers say nothing: they are shown in brackets or in grey, and none is the best.
    """

    key: str
    title: str
    digits: int = 2
    best: Literal['max', 'min'] | None = 'max'
    factor: float = 1.0
    spread: str | None = None
    group: str = ''
    grey: bool = False

    @property
    def heading(self) -> str:
        """Group and title in one line."""
        return f'{self.group} {self.title}'.strip()

    def text(self, numbers: dict[str, Number]) -> str:
        """The text of the cell: '–' where there is no number, '∞' for infinity."""
        shown = self._shown(numbers.get(self.key))
        if self.spread is None or numbers.get(self.spread) is None:
            return shown
        return f'{shown} ± {self._shown(numbers[self.spread])}'

    def _shown(self, value: Number) -> str:
        if value is None:
            return '–'
        if math.isinf(value):
            return '∞' if value > 0 else '-∞'
        return f'{value * self.factor:.{self.digits}f}'


RESTORED = (Column('psnr', 'PSNR dB', 2), Column('ssim', 'SSIM', 4))
"""Columns of the similarity to the originals."""
LOOKS_ALIKE = (Column('lpips', 'LPIPS', 4, best='min'), Column('dists', 'DISTS', 4, best='min'))
"""Further columns of it, each only where it was measured."""


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes:
        name: of the system.
        numbers: key -> value; None or absent where it was not measured.
        reference: does not count for the best value (HR).
        sign: printed after the name and explained by a note, such as '†'.
        instead: key -> a word for the cell where there is no number ('failed').
    """

    name: str
    numbers: dict[str, Number]
    reference: bool = False
    sign: str = ''
    instead: Mapping[str, str] = field(default_factory=dict)

    def text(self, column: Column) -> str:
        """The text of the cell in a column."""
        return self.instead.get(column.key, '–') if self.numbers.get(column.key) is None else column.text(self.numbers)


@dataclass
class Table:
    """A table of systems.

    Attributes:
        facts: what makes the numbers traceable (command, hashes, seed, versions); goes into JSON as it is.
        notes: lines below the table; one that explains a row's sign begins with it.
        below: further tables under this one in Markdown and on the console. Their numbers are not repeated in CSV and
            JSON, so give the rows of this one all of them.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    below: Sequence['Table'] = ()

    def markdown(self) -> str:
        """A GitHub table with aligned columns, the best of each column in bold, and the notes below."""
        lines = [['system', *(markdown_text(column.heading) for column in self.columns)],
                 *self.cells('**{}**', markdown_text, grey='({})')]
        widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
        rule = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
        text = [f'| {" | ".join(_padded(line, widths))} |' for line in (lines[0], rule, *lines[1:])]
        title = [f'**{markdown_text(self.title)}**', ''] if self.title else []
        notes = [line for note in self.notes for line in ('', markdown_line(note))]  # a paragraph each
        below = ['\n' + table.markdown().removesuffix('\n') for table in self.below]
        return '\n'.join([*title, *text, *notes, *below]) + '\n'

    def csv(self) -> str:
        """One line per system, plain numbers with all their digits; empty where not measured.

        Raises:
            UserError: a number is NaN.
        """
        keys = self._keys()
        rows = [[row.name, *('' if (value := row.numbers.get(key)) is None else _known(value) for key in keys)]
                for row in self.rows]
        return table_text([['system', *keys], *rows])

    def json(self) -> str:
        """Everything, strict JSON: infinity is the string 'Infinity', which Python's float() reads.

        Raises:
            UserError: a number is NaN.
        """
        rows = [{'system': row.name, 'numbers': {key: _strict(value) for key, value in row.numbers.items()}}
                for row in self.rows]
        content = {'title': self.title, 'facts': self.facts, 'rows': rows, 'notes': list(self.notes)}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n'

    def rich(self) -> 'RichTable | RichGroup':
        """For `rich.console.Console.print`."""
        from rich.console import Group as RichGroup
        return RichGroup(self._rich(), '', *(table.rich() for table in self.below)) if self.below else self._rich()

    def _rich(self) -> 'RichTable':
        from rich.markup import escape
        from rich.table import Table as RichTable
        table = RichTable(title=escape(self.title), caption=escape('\n'.join(self.notes)) or None,
                          caption_justify='left')
        table.add_column('system', overflow='fold')  # a long name goes on in the next line; nothing is cut off
        for column in self.columns:
            table.add_column(escape(column.heading), justify='right', overflow='fold')
        for cells in self.cells('[bold green]{}[/]', escape, grey='[dim]({})[/]'):
            table.add_row(*cells)
        return table

    def save(self, stem: str | Path) -> list[Path]:
        """Write <stem>.md and <stem>.csv, which appear only when they are complete; returns the paths."""
        files = {Path(f'{stem}.md'): self.markdown(), Path(f'{stem}.csv'): self.csv()}
        for path, text in files.items():
            write_text(path, text)
        return list(files)

    def _keys(self) -> list[str]:
        """Keys of the columns and their spreads first, then what else the rows hold."""
        shown = [key for column in self.columns for key in (column.key, column.spread) if key]
        return list(dict.fromkeys([*shown, *(key for row in self.rows for key in row.numbers)]))

    def cells(self, bold: str, escape: Callable[[str], str] = str, grey: str = '({})') -> list[list[str]]:
        """For each row its name and its texts.

        Args:
            bold: how the best of a column is printed, with {} for the text.
            escape: makes a text safe for the medium.
            grey: how the numbers of a grey column are printed.
        """
        winners = [self._winners(column) for column in self.columns]
        lines = []
        for place, row in enumerate(self.rows):
            cells = [escape(row.text(column)) for column in self.columns]
            cells = [grey.format(cell) if column.grey and cell != '–' else bold.format(cell) if place in won else cell
                     for cell, won, column in zip(cells, winners, self.columns, strict=True)]
            lines.append([escape(row.name + (f' {row.sign}' if row.sign else '')), *cells])
        return lines

    def _winners(self, column: Column) -> set[int]:
        """Rows that show the best value: equal as printed means equally good."""
        values = {place: row.numbers[column.key] for place, row in enumerate(self.rows)
                  if not row.reference and row.numbers.get(column.key) is not None}
        if column.best is None or column.grey or len(values) < 2:
            return set()
        best = column._shown({'max': max, 'min': min}[column.best](values.values()))
        return {place for place, value in values.items() if column._shown(value) == best}


def markdown_text(text: str) -> str:
    r"""Text that Markdown shows unchanged inside a line: no markup, no HTML, no end of a cell.

    A sign between two blanks stays as it is, because the same text is also read on a screen.

    >>> markdown_text('<b>L_SI</b> [a|b](c) *d* e_')
    '&lt;b&gt;L_SI&lt;/b&gt; \\[a\\|b\\](c) \\*d\\* e\\_'
    >>> markdown_text('p < 5 % & n > 3')
    'p < 5 % & n > 3'
    """
    text = re.sub(r'\s*[\r\n]\s*', ' ', text)
    text = re.sub(r'(?<!\S )[&<>]|[&<>](?! )', lambda sign: html.escape(sign[0]), text)
    return re.sub(r'[\\`*\[\]|~]|(?<!\w)_|_(?!\w)', r'\\\g<0>', text)


def markdown_line(text: str) -> str:
    r"""As `markdown_text`, for text that may begin a line: no heading, list or rule either.

    >>> markdown_line('# a'), markdown_line('1. b'), markdown_line('1.5 c')
    ('\\# a', '1\\. b', '1.5 c')
    """
    return re.sub(r'^(\s*\d*)(#|[.)](?=\s)|[-+=](?=[\s=-]))', r'\1\\\2', markdown_text(text))


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]


def _known(value: Number) -> Number:
    if isinstance(value, float) and math.isnan(value):
        raise UserError('a table holds NaN. A number that was not measured is None.')
    return value


def _strict(value: Number) -> float | int | str | None:
    value = _known(value)
    return ('Infinity' if value > 0 else '-Infinity') if isinstance(value, float) and math.isinf(value) else value

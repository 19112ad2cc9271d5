"""One HTML page with a whole benchmark, to be opened offline: pictures, style and script are inside it.

How it looks is said by page.html.j2, page.css and page.js next to this file; here is what the template asks for.
"""

import base64
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cface_basicsr.measuring.results import Faces, Results
from cface_basicsr.measuring.table import Column, Row, Table
from cface_basicsr.report.paper_tables import PUBLISHED


@dataclass
class Page:
    """What the page shows, besides the results.

    Attributes:
        verdicts: headings and their sentences.
        overviews: one table per scale.
        tables: in the paper's layout.
        curves: titles and paths of figures.
        zoomed: titles and paths of the grids with regions.
        folder: where the paths of faces begin.
    """

    results: Results
    folder: Path
    verdicts: dict[str, list[str]]
    overviews: list[Table]
    tables: list[Table]
    curves: list[tuple[str, Path]] = field(default_factory=list)
    zoomed: list[tuple[str, Path]] = field(default_factory=list)


def html_report(page: Page) -> str:
    """The page as text; nothing in it points outside."""
    return _environment().get_template('page.html.j2').render(page=page)


@functools.cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader('cface_basicsr.report', ''), autoescape=True, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    environment.globals |= {
        'file': lambda name: Markup(environment.loader.get_source(environment, name)[0]),
        'as_yaml': functools.partial(yaml.safe_dump, sort_keys=False, allow_unicode=True),
        'data_uri': data_uri, 'galleries': _galleries, 'groups': _groups, 'has_published': _has_published,
        'kind': _kind, 'lines': _lines, 'sort_value': _sort_value}
    return environment


# ------------------------------------------------------------------------------------------------------------- tables

class _Group(NamedTuple):
    """A heading above its columns; the script needs to know how many are left without the published ones."""

    title: str
    columns: int
    ours: int


def _groups(columns: Sequence[Column]) -> Iterator[_Group]:
    for title, below in itertools.groupby(columns, key=lambda column: column.group):
        published = list(map(_is_published, below))
        yield _Group(title, len(published), published.count(False))


def _is_published(column: Column) -> bool:
    return column.key.startswith(PUBLISHED)


def _has_published(tables: Sequence[Table]) -> bool:
    return any(_is_published(column) for table in tables for column in table.columns)


def _lines(table: Table) -> Iterator[tuple[Row, str, list[tuple[Column, str]]]]:
    """Each row, its name, and its columns with their texts; the best of a column is bold."""
    for row, (name, *texts) in zip(table.rows, table.cells(Markup('<b>{}</b>'), escape), strict=True):
        yield row, name, list(zip(table.columns, texts, strict=True))


def _kind(column: Column, text: str = '') -> str | None:
    """The class of a cell, or of a heading, which has no text to judge by."""
    if _is_published(column):
        return 'published'
    return 'failed' if text == 'failed' else 'width' if column.key == 'width' else None


def _sort_value(row: Row, column: Column) -> float | str | None:
    """What the sorter reads; None where there is no number."""
    value = row.numbers.get(column.key)
    if value is None:
        return row.instead[column.key] if column.key == 'width' and row.instead else None
    return value if math.isfinite(value) else 1e308 * math.copysign(1, value)


# ----------------------------------------------------------------------------------------------------------- pictures

class _Face(NamedTuple):
    title: str
    alt: str
    path: Path


def data_uri(path: Path) -> str:
    """A PNG as text that a page can hold."""
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()


def _galleries(page: Page) -> Iterator[tuple[str, list[list[_Face]]]]:
    """For each scale and test set that has pictures, a heading and one row per face."""
    for faces in page.results.faces:
        for scale in page.results.scales:
            if rows := [row for row in _gallery(page, faces, scale) if row]:
                yield f'x{scale} on {faces.test}', rows


def _gallery(page: Page, faces: Faces, scale: int) -> Iterator[list[_Face]]:
    """All systems' pictures of each face, those of the first seed that was finished."""
    columns = {'LR': faces.low.get(scale, {})} | {
        system: next((run.faces for run in page.results.runs_of(system, scale) if run.faces), {})
        for system in page.results.systems}
    for key in faces.keys:
        yield [_Face(title, f'{title}, x{scale}, {key}', page.folder / paths[key])
               for title, paths in columns.items() if key in paths and (page.folder / paths[key]).is_file()]

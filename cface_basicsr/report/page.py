"""What a report looks like: its templates, and the functions that they call.

`page.html.j2` is one HTML page that can be read offline: pictures, style (`page.css`) and script (`page.js`) are inside
it. `report.md.j2` is the same for a repository, `short.md.j2` what a recipe prints. The `.txt.j2` are what commands
print.
"""

import base64
import functools
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cface_basicsr.files.yaml_file import to_yaml
from cface_basicsr.measuring.results import Faces, Facts, Results
from cface_basicsr.measuring.table import Column, Row, Table, markdown_line
from cface_basicsr.report.face_grid import face_files
from cface_basicsr.report.tables import PUBLISHED, domain_table, systems_table

TitledPaths = list[tuple[str, Path]]


def render(template: str, **values: Any) -> str:
    """The text of a template NAME.KIND.j2 of this folder; every value is escaped in html and md, not in txt."""
    return _environment(template.split('.')[1]).get_template(template).render(**values)


@functools.cache
def _environment(kind: str) -> Environment:
    environment = Environment(loader=PackageLoader('cface_basicsr.report', ''), undefined=StrictUndefined,
                              autoescape=kind == 'html', finalize=_for_markdown if kind == 'md' else None,
                              trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.globals |= {
        'file': lambda name: Markup(environment.loader.get_source(environment, name)[0]),
        'as_yaml': to_yaml, 'code': code_span,
        'data_uri': data_uri, 'domain_table': domain_table, 'galleries': _galleries, 'groups': _groups,
        'has_published': _has_published, 'kind': _kind, 'lines': _lines, 'origins': _origins,
        'sort_value': _sort_value, 'systems_table': systems_table}
    return environment


def _for_markdown(value: Any) -> Any:
    return markdown_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def code_span(text: str) -> Markup:
    """Text as code in Markdown, in as many backticks as it needs."""
    longest = max(map(len, re.findall('`+', text)), default=0)
    gap = ' ' * bool(longest)
    return Markup('{0}{1}{2}{1}{0}').format('`' * (longest + 1), gap, Markup(' '.join(text.split())))


def _origins(facts: Facts) -> Iterator[tuple[str, str]]:
    """What makes the numbers traceable: names and texts."""
    yield 'command', facts.command
    yield 'device', facts.device
    if facts.seeds:
        yield 'seeds', ', '.join(map(str, facts.seeds))
    yield 'versions', ', '.join(map(' '.join, facts.versions.items()))
    for data in facts.data:
        yield (f'{data.role} data {data.name}',
               f'SHA-256 {data.sha256}; {data.identities} identities, {data.images} images. {data.protocol}'.strip())
    for name, digest in facts.recognizers.items():
        if digest:
            yield f'recognizer {name}', f'SHA-256 {digest}'


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
    for row, (name, *texts) in zip(table.rows, table.cells(Markup('<b>{}</b>'), escape, Markup('({})')), strict=True):
        yield row, name, list(zip(table.columns, texts, strict=True))


def _kind(column: Column, text: str = '') -> str | None:
    """The class of a cell, or of a heading, which has no text to judge by."""
    if _is_published(column):
        return 'published'
    if column.grey:
        return 'grey'
    return 'failed' if text == 'failed' else 'width' if column.key == 'width' else None


def _sort_value(row: Row, column: Column) -> float | str | None:
    """What the script sorts by; None where there is no number."""
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
    """A PNG file as text that a page can hold."""
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()


def _galleries(results: Results, folder: Path) -> Iterator[tuple[str, list[list[_Face]]]]:
    """For each scale and test set that has pictures, a heading and one row per face."""
    for faces, scale in itertools.product(results.faces, results.scales):
        if rows := [row for row in _gallery(results, folder, faces, scale) if row]:
            yield f'x{scale} on {faces.test}', rows


def _gallery(results: Results, folder: Path, faces: Faces, scale: int) -> Iterator[list[_Face]]:
    """Every system's picture of each face."""
    columns = face_files(results, faces, scale, folder)
    for key in faces.keys:
        yield [_Face(title, f'{title}, x{scale}, {key}', files[key]) for title, files in columns.items()
               if key in files]

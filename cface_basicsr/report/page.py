"""One HTML page with a whole benchmark, to be opened offline: pictures, style and script stand in it."""

import base64
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import yaml

from cface_basicsr.measuring.results import Faces, Facts, Results
from cface_basicsr.measuring.table import Column, Row, Table
from cface_basicsr.report.html_assets import CSS, SCRIPT
from cface_basicsr.report.paper_tables import PUBLISHED


@dataclass
class Page:
    """What stands in the page, besides the results.

    Attributes:
        reading: headings and their sentences.
        overviews: one table a scale.
        tables: in the paper's layout.
        curves: titles and paths of figures.
        zoomed: titles and paths of the grids with regions.
        folder: where the paths of faces begin.
    """

    results: Results
    folder: Path
    reading: dict[str, list[str]]
    overviews: list[Table]
    tables: list[Table]
    curves: list[tuple[str, Path]] = field(default_factory=list)
    zoomed: list[tuple[str, Path]] = field(default_factory=list)


def html_report(page: Page) -> str:
    """The page as text; nothing in it points outside."""
    results = page.results
    sections = [('reading', 'What may be said', _reading(page)),
                ('fairness', 'Fairness checks', _checks(results.facts)),
                ('overview', 'All systems', _tables(page.overviews)),
                ('tables', "The paper's tables", _published_switch(page) + _tables(page.tables)),
                ('faces', 'Faces', _faces(page)), ('curves', 'Curves', _figures(page.curves)),
                ('trace', 'Where every number comes from', _trace(results.facts))]
    sections = [section for section in sections if section[2]]
    links = ' '.join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    body = ''.join(f'<section id="{name}"><h2>{title}</h2>\n{text}</section>\n' for name, title, text in sections)
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{escape(results.title)}</title>\n<style>{CSS}</style></head>\n<body>\n'
            f'<h1>{escape(results.title)}</h1>\n{_lead(results)}<nav>{links}</nav>\n{_failures(results)}{body}'
            f'<dialog><img alt=""><p></p></dialog>\n<script>{SCRIPT}</script>\n</body></html>\n')


# ------------------------------------------------------------------------------------------------------------- tables

def html_table(table: Table) -> str:
    """A sortable table: a button in each heading, the value of each cell beside its text."""
    grouped = any(column.group for column in table.columns)
    groups = ''.join(_group_head(group, list(columns))
                     for group, columns in itertools.groupby(table.columns, key=lambda column: column.group))
    heads = ''.join(f'<th scope="col"{_class(column)}><button type="button">{escape(column.title)}</button></th>'
                    for column in table.columns)
    cells = table.cells('<b>{}</b>', escape)
    rows = '\n'.join(_html_row(row, texts, table.columns) for row, texts in zip(table.rows, cells, strict=True))
    top = f'<tr class="groups"><th></th>{groups}</tr>' if grouped else ''
    notes = ''.join(f'<p class="note">{escape(note)}</p>\n' for note in table.notes)
    return (f'<h3>{escape(table.title)}</h3>\n<div class="scroll"><table>\n<thead>{top}<tr>'
            f'<th scope="col"><button type="button">system</button></th>{heads}</tr></thead>\n'
            f'<tbody>\n{rows}\n</tbody></table></div>\n{notes}')


def _group_head(group: str, columns: Sequence[Column]) -> str:
    """A heading above its columns; the script needs to know how many are left without the published ones."""
    ours = sum(not column.key.startswith(PUBLISHED) for column in columns)
    return f'<th colspan="{len(columns)}" data-all="{len(columns)}" data-ours="{ours}">{escape(group)}</th>'


def _html_row(row: Row, texts: Sequence[str], columns: Sequence[Column]) -> str:
    cells = ''.join(f'<td{_class(column, text)}{_value(row, column)}>{text}</td>'
                    for column, text in zip(columns, texts[1:], strict=True))
    return f'<tr><th scope="row" data-value="{escape(row.name)}">{texts[0]}</th>{cells}</tr>'


def _value(row: Row, column: Column) -> str:
    """What the sorter reads; nothing where there is no number."""
    value = row.numbers.get(column.key)
    if value is None:
        return f' data-value="{escape(row.instead[column.key])}"' if column.key == 'width' and row.instead else ''
    return f' data-value="{value if math.isfinite(value) else 1e308 * math.copysign(1, value)}"'


def _class(column: Column, text: str = '') -> str:
    name = 'published' if column.key.startswith(PUBLISHED) else 'failed' if text == 'failed' else \
        'width' if column.key == 'width' else ''
    return f' class="{name}"' if name else ''


def _tables(tables: Sequence[Table]) -> str:
    return '\n'.join(map(html_table, tables))


def _published_switch(page: Page) -> str:
    shown = any(column.key.startswith(PUBLISHED) for table in page.tables for column in table.columns)
    return ('<p class="controls"><label><input type="checkbox" id="published" checked> show the paper\'s own numbers '
            'beside ours: <span class="published">published on other data</span>, not comparable</label></p>\n'
            if shown else '')


# --------------------------------------------------------------------------------------------------------------- text

def _lead(results: Results) -> str:
    facts = results.facts
    tests = '; '.join(f'{test.name}: {test.identities} identities, {test.images} images, {test.pairs} pairs'
                      for test in results.tests())
    scales = ', '.join(f'x{scale}' for scale in results.scales)
    return (f'<p class="lead">{len(results.systems)} systems at {scales}. Budget: {escape(facts.budget)}. '
            f'Tested on {escape(tests)}. Both faces of each pair are super-resolved. {escape(facts.device)}.</p>\n')


def _failures(results: Results) -> str:
    lines = [f'<li>{escape(run.system)} x{run.scale}, seed {run.seed}: <span class="failed">failed</span>, '
             f'{escape(run.reason)}</li>' for run in results.failed()]
    return f'<div class="alarm"><p>Not everything was finished:</p><ul>{"".join(lines)}</ul></div>\n' if lines else ''


def _reading(page: Page) -> str:
    parts = [f'<p>{escape(note)}</p>\n' for note in page.results.facts.notes]
    for heading, lines in page.reading.items():
        items = ''.join(f'<li>{_unbroken(line)}</li>\n' for line in lines)
        parts.append(f'<h3>{escape(heading)}</h3>\n<ul class="reading">\n{items}</ul>\n')
    return ''.join(parts)


def _unbroken(line: str) -> str:
    """A sentence whose numbers stay with their errors."""
    return escape(line).replace(' ± ', '&nbsp;±&nbsp;')


def _checks(facts: Facts) -> str:
    rows = ''.join(f'<tr><th scope="row">{escape(check.what)}</th><td class="{check.outcome}">{check.outcome}</td>'
                   f'<td>{escape(check.evidence)}</td></tr>\n' for check in facts.checks)
    return ('<div class="scroll"><table class="checks"><thead><tr><th>what</th><th>outcome</th><th>evidence</th></tr>'
            f'</thead><tbody>\n{rows}</tbody></table></div>\n') if rows else '<p>No check was made.</p>\n'


def _trace(facts: Facts) -> str:
    lines = {'command': facts.command, 'device': facts.device, 'seeds': ', '.join(map(str, facts.seeds)),
             'versions': ', '.join(f'{name} {version}' for name, version in facts.versions.items()),
             **{f'{data.role} data {data.name}': f'SHA-256 {data.sha256}; {data.identities} identities, {data.images} '
                                                 f'images. {data.protocol}' for data in facts.data},
             **{f'recognizer {name}': f'SHA-256 {digest}' for name, digest in facts.recognizers.items()}}
    rows = ''.join(f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(text)}</code></td></tr>\n'
                   for name, text in lines.items())
    options = escape(yaml.safe_dump(facts.options, sort_keys=False, allow_unicode=True)) if facts.options else ''
    return (f'<div class="scroll"><table class="facts"><tbody>\n{rows}</tbody></table></div>\n'
            + (f'<details><summary>The benchmark file</summary><pre><code>{options}</code></pre></details>\n'
               if options else ''))


# ----------------------------------------------------------------------------------------------------------- pictures

def data_uri(path: Path) -> str:
    """A PNG as text that a page can hold."""
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()


def _figures(figures: Sequence[tuple[str, Path]]) -> str:
    return ''.join(f'<h3>{escape(title)}</h3>\n<img class="figure" src="{data_uri(path)}" alt="{escape(title)}">\n'
                   for title, path in figures)


def _faces(page: Page) -> str:
    galleries = [_gallery(page, faces, scale) for faces in page.results.faces for scale in page.results.scales]
    zoomed = ''.join(f'<h3>{escape(title)}</h3>\n<div class="wide"><img src="{data_uri(path)}" alt="{escape(title)}">'
                     '</div>\n' for title, path in page.zoomed)
    if not any(galleries):
        return zoomed
    slider = ('<p class="controls"><label>Size of a face <input type="range" id="size" min="64" max="384" step="32" '
              'value="128"></label><span class="note">128 shows a pixel as a pixel; click a face to enlarge it.</span>'
              '</p>\n')
    return slider + ''.join(galleries) + zoomed


def _gallery(page: Page, faces: Faces, scale: int) -> str:
    """All systems' pictures of each face, those of the first seed that was finished."""
    columns = {'LR': faces.low.get(scale, {})} | {
        system: next((run.faces for run in page.results.runs_of(system, scale) if run.faces), {})
        for system in page.results.systems}
    parts = []
    for key in faces.keys:
        figures = ''.join(f'<figure><img src="{data_uri(page.folder / paths[key])}" alt="{escape(title)}, x{scale}, '
                          f'{escape(key)}"><figcaption>{escape(title)}</figcaption></figure>'
                          for title, paths in columns.items() if key in paths)
        parts.append(f'<div class="faces">{figures}</div>\n' if figures else '')
    return f'<h3>x{scale} on {escape(faces.test)}</h3>\n{"".join(parts)}' if any(parts) else ''

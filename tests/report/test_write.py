"""The whole report from made-up results: its files, and an HTML page that stands alone and can be sorted."""

import base64
import csv
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from cface_basicsr.measuring.results import Results, load_results
from cface_basicsr.report.page import code_span
from cface_basicsr.report.tables import overview
from cface_basicsr.report.verdicts import verdicts
from cface_basicsr.report.write import short_report, write_report
from tests.report.made_up_results import made_up_results

VOID = {'meta', 'img', 'input', 'br'}


class Reader(HTMLParser):
    """Tags with their attributes, texts, and whether each tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results, list[Path]]:
    out = tmp_path_factory.mktemp('report')
    results = made_up_results(out, scales=(8,))
    return out, results, [results.save(out), *write_report(results, out)]


@pytest.fixture(scope='module')
def page(written: tuple[Path, Results, list[Path]]) -> str:
    return (written[0] / 'report.html').read_text(encoding='utf-8')


def test_every_file_that_is_named_is_there(written: tuple[Path, Results, list[Path]]) -> None:
    out, results, paths = written
    assert all(path.is_file() and path.stat().st_size for path in paths)
    names = {path.relative_to(out).as_posix() for path in paths}
    assert {f'tables/table{n}.{kind}' for n in range(1, 6) for kind in ('csv', 'md', 'tex')} <= names
    assert {f'tables/table{n}_with_published.csv' for n in range(1, 6)} <= names
    assert {'figures/fig7_x8a.png', 'figures/fig7_x8b.png', 'figures/fig8_x8a.png', 'figures/losses_x8.png',
            'figures/validation_x8.png', 'figures/roc_held-out_sphereface_x8.png', 'report.md', 'report.html',
            'tables/overview_x8.tex'} <= names
    assert load_results(out) == results


def test_the_page_asks_for_nothing_from_outside(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    sources = [value for _, attributes in reader.tags for name, value in attributes.items()
               if name in ('src', 'href', 'srcset', 'data', 'action')]
    assert sources and all(source.startswith(('data:image/png;base64,', '#')) for source in sources)
    assert not {'link', 'iframe', 'object'} & {tag for tag, _ in reader.tags}
    assert not re.search(r'https?://|url\(|@import|fetch\(|XMLHttpRequest', re.sub(r'base64,[A-Za-z0-9+/=]+', '', page))


def test_faces_are_in_the_page_pixel_by_pixel(written: tuple[Path, Results, list[Path]], page: str) -> None:
    out, results, _ = written
    shown = {attributes['alt']: attributes['src'] for tag, attributes in Reader(page).tags
             if tag == 'img' and attributes.get('src')}
    for run in (run for run in results.runs if run.seed in (None, 0)):
        for key, path in run.faces.items():
            inside = shown[f'{run.system}, x8, {key}'].removeprefix('data:image/png;base64,')
            with Image.open(io.BytesIO(base64.b64decode(inside))) as a, Image.open(out / path) as b:
                assert (np.asarray(a) == np.asarray(b)).all()


def test_every_column_can_be_sorted_by_its_numbers(written: tuple[Path, Results, list[Path]], page: str) -> None:
    _, results, _ = written
    table = overview(results, 8)
    first = page.split('<h3>All systems at x8</h3>')[1].split('</table>')[0]
    assert first.count('<th scope="col"') == first.count('<button type="button">') == 1 + len(table.columns)
    for row in table.rows:
        line = next(line for line in first.splitlines() if f'data-value="{row.name}"' in line)
        shown = [re.search(r'data-value="([^"]*)"', cell) for cell in re.findall(r'<td[^>]*>', line)]
        for column, found in zip(table.columns, shown, strict=True):
            if row.numbers.get(column.key) is not None:
                assert float(found[1]) == row.numbers[column.key]
            elif column.key != 'width':
                assert found is None
    assert 'aria-sort' in page and 'addEventListener("click", () => sortBy(' in page


def test_the_best_of_a_column_is_bold(page: str) -> None:
    title = '<h3>PSNR and SSIM on held-out (layout of the paper&#39;s Table 2)</h3>'
    table = page.split(title)[1].split('</table>')[0]
    line = next(line for line in table.splitlines() if 'data-value="C-Face-v2"' in line)
    assert line.count('<b>') == 2
    assert sum(line.count('<b>') for line in table.splitlines()) == 2


def test_names_and_titles_are_escaped(page: str) -> None:
    assert '<h1>C-Face &amp; others &lt;made up&gt;</h1>' in page
    assert '<made up>' not in page


def test_failures_checks_and_published_numbers_are_said(page: str) -> None:
    assert '<li>EDSR x8, seed 1: <span class="failed">failed</span>, the loss is NaN at iteration 42</li>' in page
    for outcome, evidence in (('holds', '200 and 41, none shared'), ('broken', '2 of 190: 0000003/001, 0000005/002'),
                              ('unknown', 'the manifest does not name it')):
        assert f'<td class="{outcome}">{outcome}</td><td>{evidence}</td>' in page
    assert '<td class="published" data-value="0.7442">0.7442</td>' in page
    assert 'published on other data: trained on CASIA-WebFace' in page


def test_the_markdown_report_has_the_checks_the_tables_and_its_pictures(
        written: tuple[Path, Results, list[Path]]) -> None:
    out = written[0]
    text = (out / 'report.md').read_text(encoding='utf-8')
    assert '| no test image is a training image (by hash) | broken | 2 of 190: 0000003/001, 0000005/002 |' in text
    assert (out / 'tables' / 'table1_with_published.md').read_text(encoding='utf-8').strip() in text
    assert text.count("layout of the paper's Table 1") == 1  # the one with the paper's numbers has ours, too
    pictures = re.findall(r'!\[.*?\]\((.*?)\)', text)
    assert len(pictures) == 12 and all((out / picture).is_file() for picture in pictures)
    assert '- EDSR x8, seed 1: **failed**, the loss is NaN at iteration 42' in text


def test_without_published_numbers_there_are_none(tmp_path: Path) -> None:
    results = made_up_results(tmp_path, scales=(8,), seeds=(0,), faces=1)
    results.show_published = False
    for run in results.runs:
        run.curve = []
    paths = write_report(results, tmp_path)
    assert not [path for path in paths if 'with_published' in path.name or 'losses' in path.name]
    page = (tmp_path / 'report.html').read_text(encoding='utf-8')
    assert 'class="published"' not in page and 'id="published"' not in page


# ------------------------------------------------------------------------------------------------- short, and again

@pytest.fixture
def recipe(tmp_path: Path) -> Results:
    """What a recipe leaves: one scale, one seed, distances of domains."""
    results = made_up_results(tmp_path, scales=(8,), seeds=(0,), faces=2)
    domains = {'after stage 1': {'sr_hr': 0.25, 'sr_compare': 0.5, 'hr_compare': 0.125}}
    return replace(results, made_by='train', domains=domains, show_published=False)


def test_the_short_report_has_the_table_the_verdicts_the_distances_and_the_trace(
        recipe: Results, tmp_path: Path) -> None:
    out = tmp_path / 'short'
    paths = write_report(recipe, tmp_path, out, short=True)
    assert paths == [out / 'report.md', out / 'table.csv', out / 'faces.png']
    text = paths[0].read_text(encoding='utf-8')
    assert text == short_report(recipe)
    line = verdicts(recipe)['x8 on held-out'][0]
    for part in ('Held-out identities: 41, 190 images; 400 pairs in 10 folds, both sides super-resolved x8',
                 f'- {line}', 'accuracy % (sphereface)', 'VR % at FAR 1 % (sphereface)', '| after stage 1 |', '0.250',
                 '0.125', 'Nothing here was measured.', 'Command: `cface benchmark options/benchmark/made_up.yml`'):
        assert part in text
    rows = {row['system']: row for row in csv.DictReader(paths[1].read_text().splitlines())}
    assert list(rows) == recipe.systems
    for run in recipe.runs:
        numbers = run.measured['held-out'].numbers
        assert float(rows[run.system]['sphereface/accuracy']) == numbers['sphereface/accuracy']
        assert rows[run.system]['images_g'] == ('' if run.images_g is None else str(run.images_g))
    with Image.open(paths[2]) as picture:
        assert picture.width > 8 * 32  # LR, seven systems


def test_the_whole_report_of_a_recipe_has_its_distances_too(recipe: Results, tmp_path: Path) -> None:
    write_report(recipe, tmp_path, tmp_path / 'whole')
    assert '| after stage 1 |' in (tmp_path / 'whole/tables/domains.md').read_text()
    assert 'after stage 1' in (tmp_path / 'whole/report.html').read_text()
    assert (tmp_path / 'whole/tables/overview_x8.tex').is_file()


def test_a_record_without_its_scores_and_faces_gives_what_can_still_be_drawn(recipe: Results, tmp_path: Path) -> None:
    recipe.save(tmp_path)
    shutil.rmtree(tmp_path / 'faces')
    (tmp_path / recipe.runs[3].measured['held-out'].scores).unlink()
    paths = write_report(load_results(tmp_path), tmp_path, tmp_path / 'again')
    assert {path.name for path in paths if path.parent.name == 'figures'} == {
        'roc_held-out_sphereface_x8.png', 'roc_generated_sphereface_x8.png', 'validation_x8.png', 'losses_x8.png',
        'fig4_held-out_x8.png', 'fig4_generated_x8.png'}
    assert 'id="faces"' not in (tmp_path / 'again/report.html').read_text()
    short = write_report(recipe, tmp_path, tmp_path / 'short', short=True)
    assert [path.name for path in short] == ['report.md', 'table.csv']


HOSTILE = {
    'VDSR': '<img src=x onerror=alert(1)>', 'EDSR': '=HYPERLINK("http://x")', 'ESRGAN': '[a](javascript:b) `c` *d*',
    'C-Face-v1': '# e | f', 'made_up.yml': '`<script>`.yml', 'held-out': '<b>held</b>', 'disjoint': '<i>',
    '16 of 64 features': '<u>16', 'not converged': '<s>not', 'Nothing here': '<p> Nothing',
    'the loss is NaN': '<td>the loss', '<made up>': '<h1>', 'none shared': '</table>'}


@pytest.mark.parametrize('short', [False, True])
def test_names_that_users_choose_start_nothing_in_markdown_html_or_a_spreadsheet(
        tmp_path: Path, short: bool) -> None:
    made_up = replace(made_up_results(tmp_path, scales=(8,)), domains={'<i>after': {'sr_hr': 1.0}})
    text = made_up.save(tmp_path).read_text(encoding='utf-8')
    for plain, hostile in HOSTILE.items():
        assert plain in text
        text = text.replace(plain, json.dumps(hostile, ensure_ascii=False)[1:-1])
    (tmp_path / 'results.json').write_text(text, encoding='utf-8')
    out = tmp_path / 'out'
    results = load_results(tmp_path / 'results.json')
    paths = write_report(replace(results, faces=[]), tmp_path, out, short=short)
    parser = MarkdownIt('commonmark', {'html': True}).enable('table')
    for path in paths:
        content = path.read_text(encoding='utf-8') if path.suffix in ('.md', '.csv', '.html') else ''
        if path.suffix == '.md':
            inline = [child for token in parser.parse(content) for child in token.children or ()]
            assert {child.type for child in inline} <= {'text', 'strong_open', 'strong_close', 'code_inline', 'image',
                                                        'softbreak'}
            assert 'html_block' not in {token.type for token in parser.parse(content)}
            shown = ''.join(child.content for child in inline if child.type == 'text')
            names = ['<i>after'] if path.stem == 'domains' else list(HOSTILE.values())[:4]
            assert all(name in shown for name in names), path
        if path.suffix == '.csv':
            first = [row[0] for row in csv.reader(io.StringIO(content, newline=''))]
            assert path.stem == 'domains' or "'" + HOSTILE['EDSR'] in first, path
            assert not any(cell.startswith('=') for cell in first), path
        if path.suffix == '.html':
            reader = Reader(content)
            assert not reader.open and {tag for tag, _ in reader.tags} & {'u', 's', 'b', 'i'} <= {'b'}
            assert all('onerror' not in attributes for _, attributes in reader.tags)
    assert {path.suffix for path in paths} >= {'.md', '.csv'}


def test_code_in_markdown_keeps_its_backticks() -> None:
    for text in ('a', 'a `b` ``c``', '`', '<b>`'):
        token = MarkdownIt('commonmark', {'html': True}).parseInline(f'x {code_span(text)} y')[0]
        assert [(child.type, child.content) for child in token.children][1] == ('code_inline', text)

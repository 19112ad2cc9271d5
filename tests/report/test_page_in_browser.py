"""The report's page in a real browser: its tables sort, faces open and grow, published numbers can be hidden."""

import json
import math
import os
import shutil
import signal
import subprocess
from base64 import b64encode
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cface_basicsr.measuring.results import Results
from cface_basicsr.report.write import write_report
from tests.report.made_up_results import made_up_results

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
SECONDS = 300  # a busy machine is no defect
ODD = {'VDSR': 9.75, 'ESRGAN': math.inf, 'C-Face-v1': -0.5}  # as words they would come in another order

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is on PATH")

# Does what a reader does, and leaves what it saw in the page.
VISIT = '''
<script>
(() => {
  const seen = {};
  const all = (selector, where = document) => Array.from(where.querySelectorAll(selector));
  const shows = element => element.getClientRects().length > 0;
  const visits = {
    sorting() {
      return all("table").filter(table => table.querySelector("th button")).map(table => {
        const heads = Array.from(table.tHead.rows).at(-1).cells;
        const order = () => Array.from(table.tBodies[0].rows).map(row => row.cells[0].dataset.value);
        const state = () => ({order: order(), sorted: Array.from(heads).map(head => head.getAttribute("aria-sort"))});
        return {before: state(), clicks: Array.from(heads).reverse().map(head => [1, 2, 3].map(() => {
          head.querySelector("button").click();
          return state();
        }))};
      });
    },
    faces() {
      const dialog = document.querySelector("dialog");
      const look = () => ({open: dialog.open, text: dialog.querySelector("p").textContent, visible: shows(dialog),
        src: dialog.querySelector("img").src});
      return all(".faces img, img.figure").map(image => {
        image.click();
        const opened = look();
        dialog.click();
        return {alt: image.alt, opened, closed: look()};
      });
    },
    size() {
      const slider = document.querySelector("#size");
      return ["", "64", "256", "384"].map(value => {
        if (value) {
          slider.value = value;
          slider.dispatchEvent(new Event("input", {bubbles: true}));
        }
        return all(".faces img").map(image => [image.clientWidth, image.clientHeight]);
      });
    },
    published() {
      const box = document.querySelector("#published");
      const grouped = all("table").filter(table => table.querySelector("th[data-ours]"));
      const look = () => ({checked: box.checked, hidden: document.body.classList.contains("hide-published"),
        cells: all("td.published, th.published").filter(shows).length,
        tables: grouped.map(table => ({spans: all("th[data-ours]", table).map(head => head.colSpan),
          heads: Array.from(table.tHead.rows).at(-1).querySelectorAll("th").length,
          shown: all("th", Array.from(table.tHead.rows).at(-1)).filter(shows).length,
          cells: Array.from(table.tBodies[0].rows).map(row => Array.from(row.cells).filter(shows).length)}))});
      return [look(), (box.click(), look()), (box.click(), look())];
    },
  };
  for (const [name, visit] of Object.entries(visits))
    try { seen[name] = visit(); } catch (error) { seen[name] = String(error); }
  const pre = document.createElement("pre");
  pre.id = "seen";
  pre.textContent = JSON.stringify(seen);
  document.body.append(pre);
})();
</script>
'''


class Tables(HTMLParser):
    """The sortable tables as they stand in the file: (system, the values of all cells) of each row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str | None]]] = []
        self.sortable: list[bool] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == 'table':
            self.tables.append([])
            self.sortable.append(False)
        elif tag == 'button':
            self.sortable[-1] = True
        elif tag == 'tr':
            self.tables[-1].append([])
        elif tag in ('td', 'th'):
            self.tables[-1][-1].append(dict(attrs).get('data-value'))

    def rows(self) -> list[list[list[str | None]]]:
        """Body rows of each sortable table; a row of headings has no value in its first cell."""
        return [[row for row in table if row and row[0] is not None]
                for table, sortable in zip(self.tables, self.sortable, strict=True) if sortable]


def visit(page: Path, folder: Path) -> dict[str, Any]:
    """Open a page in the browser, run VISIT in it, and read what it left; the browser writes into `folder` alone."""
    page.write_text(page.read_text(encoding='utf-8').replace('</body>', VISIT + '</body>'), encoding='utf-8')
    home = {name: str(folder) for name in ('HOME', 'TMPDIR', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'XDG_RUNTIME_DIR')}
    command = [BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
               '--disable-background-networking', '--host-resolver-rules=MAP * ~NOTFOUND', '--window-size=1200,900',
               f"--user-data-dir={folder / 'profile'}", '--dump-dom', page.as_uri()]
    process = subprocess.Popen(command, env={**os.environ, **home}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, encoding='utf-8', start_new_session=True)
    try:
        dom, said = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started itself
        raise
    assert '<pre id="seen">' in dom, f'the script left nothing; the browser said:\n{said[-2000:]}'
    return json.loads(unescape(dom.split('<pre id="seen">')[1].split('</pre>')[0]))


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results, str]:
    """The report where EDSR has failed, HR has no PSNR and no costs, one set has no DIR, and no two digits line up."""
    out = tmp_path_factory.mktemp('page')
    results = made_up_results(out, scales=(8,), seeds=(1,), faces=2)
    for run in results.runs:
        run.curve = []
        if run.system in ODD and run.status == 'done':
            run.measured['held-out'].numbers |= {'psnr': ODD[run.system], 'ssim': ODD[run.system] / 1e6}
    write_report(results, out)
    return out, results, (out / 'report.html').read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def seen(written: tuple[Path, Results, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script saw: one start of the browser for all tests."""
    found = visit(written[0] / 'report.html', tmp_path_factory.mktemp('browser'))
    broken = {name: what for name, what in found.items() if isinstance(what, str)}
    assert broken == {}
    return found


def is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def in_order(rows: Sequence[list[str | None]], column: int, *, down: bool) -> list[list[str | None]]:
    """Rows by a column: numbers by value, words as words, those without a value last; equal ones stay as they were."""
    known = [row for row in rows if row[column] is not None]
    numbers = column > 0 and all(is_number(row[column]) for row in known)
    ordered = sorted(known, reverse=down, key=lambda row: float(row[column]) if numbers else (
        row[column] != '–', row[column]))  # a dash comes before words
    return ordered + [row for row in rows if row[column] is None]


def test_a_click_sorts_every_column_of_every_table_and_a_second_one_turns_it_round(
        written: tuple[Path, Results, str], seen: dict[str, Any]) -> None:
    tables = Tables(written[2]).rows()
    assert len(tables) == len(seen['sorting']) > 5
    for rows, shown in zip(tables, seen['sorting'], strict=True):
        names = [row[0] for row in rows]
        assert shown['before'] == {'order': names, 'sorted': [None] * len(rows[0])}
        for column, states in zip(reversed(range(len(rows[0]))), shown['clicks'], strict=True):
            first = column > 0  # numbers: the largest first; names: from A to Z
            for down, state in zip((first, not first, first), states, strict=True):
                rows = in_order(rows, column, down=down)
                sign = 'descending' if down else 'ascending'
                assert state['order'] == [row[0] for row in rows], f'column {column}, {sign}'
                assert state['sorted'] == [sign if place == column else None for place in range(len(rows[0]))]


def test_the_tables_that_were_sorted_have_gaps_ties_and_different_orders(written: tuple[Path, Results, str]) -> None:
    overview = Tables(written[2]).rows()[0]
    columns = list(zip(*overview, strict=True))
    gaps = [column.count(None) for column in columns]
    assert gaps[0] == 0 and max(gaps) > 1
    assert any(None not in column and len(set(column)) < len(column) for column in columns)
    orders = {tuple(row[0] for row in in_order(overview, column, down=True)) for column in range(len(columns))}
    assert len(orders) > 5


def test_the_largest_and_the_smallest_psnr_lead_and_hr_without_one_is_last(
        written: tuple[Path, Results, str], seen: dict[str, Any]) -> None:
    _, results, page = written
    psnr = {run.system: run.measured['held-out'].numbers['psnr'] for run in results.runs if run.status == 'done'}
    known = sorted((system for system in psnr if psnr[system] is not None), key=psnr.__getitem__, reverse=True)
    column = next(place for place, values in enumerate(zip(*Tables(page).rows()[0], strict=True))
                  if str(psnr['Bicubic']) in values)
    down, up, _ = list(reversed(seen['sorting'][0]['clicks']))[column]
    assert (known[0], known[-2:]) == ('ESRGAN', ['VDSR', 'C-Face-v1'])
    assert (down['order'][:-2], up['order'][:-2]) == (known, known[::-1])
    assert set(down['order'][-2:]) == set(up['order'][-2:]) == {'HR', 'EDSR'}


def test_a_click_opens_a_picture_with_its_name_and_another_one_closes_it(
        written: tuple[Path, Results, str], seen: dict[str, Any]) -> None:
    out, results, _ = written
    files = {f'{run.system}, x8, {key}': out / path for run in results.runs for key, path in run.faces.items()}
    files |= {f'LR, x8, {key}': out / path for faces in results.faces for key, path in faces.low[8].items()}
    files |= {f'ROC and DET on {test.name} by sphereface, x8': out / f'figures/roc_{test.name}_sphereface_x8.png'
              for test in results.tests()}
    files |= {f'{title} on {test.name}, x8, by sphereface': out / f'figures/{name}_{test.name}_x8.png'
              for test in results.tests() for title, name in (('Distances of one person\'s faces', 'fig3'),
                                                              ('Features by person', 'fig4'))}
    assert {face['alt'] for face in seen['faces']} == set(files)
    for face in seen['faces']:
        source = 'data:image/png;base64,' + b64encode(files[face['alt']].read_bytes()).decode()
        assert face['opened'] == {'open': True, 'visible': True, 'text': face['alt'], 'src': source}
        assert not face['closed']['open'] and not face['closed']['visible']


def test_the_slider_sets_the_width_of_every_face(seen: dict[str, Any]) -> None:
    for pixels, sizes in zip((128, 64, 256, 384), seen['size'], strict=True):
        assert sizes and all(size == [pixels, pixels] for size in sizes)


def test_published_numbers_can_be_hidden_and_shown_again_and_headings_span_what_is_left(seen: dict[str, Any]) -> None:
    before, hidden, again = seen['published']
    assert before == again and before['checked'] and not before['hidden'] and before['cells'] > 0
    assert not hidden['checked'] and hidden['hidden'] and hidden['cells'] == 0
    narrower = 0
    for wide, narrow in zip(before['tables'], hidden['tables'], strict=True):
        assert wide['shown'] == wide['heads']
        for table in (wide, narrow):
            assert 1 + sum(table['spans']) == table['shown']  # the systems' column has no heading above
            assert set(table['cells']) == {table['shown']}
        narrower += narrow['spans'] != wide['spans']
    assert 0 < narrower < len(hidden['tables'])  # the overview has no published numbers

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.table import Column, Row, Table, markdown_line, markdown_text


@pytest.fixture
def table():
    rows = [Row('HR', {'acc': .99, 'std': .01, 'psnr': float('inf'), 'time': None}, reference=True),
            Row('Bicubic', {'acc': .7004, 'std': .02, 'psnr': 24.5, 'time': 1}),
            Row('A|B', {'acc': .7001, 'std': None, 'psnr': 26.123, 'time': 3}, sign='†')]
    columns = [Column('acc', 'accuracy %', 1, factor=100, spread='std'), Column('psnr', 'PSNR dB'),
               Column('time', 'seconds', 0, best='min')]
    return Table('x8', columns, rows, ['† continued'], {'seed': 0})


def test_markdown_shows_numbers_spreads_gaps_and_the_best(table):
    assert table.markdown() == '''**x8**

| system  |     accuracy % |   PSNR dB | seconds |
| ------- | -------------: | --------: | ------: |
| HR      |     99.0 ± 1.0 |         ∞ |       – |
| Bicubic | **70.0 ± 2.0** |     24.50 |   **1** |
| A\\|B †  |       **70.0** | **26.12** |       3 |

† continued
'''


def test_csv_keeps_all_digits(table):
    lines = list(csv.DictReader(io.StringIO(table.csv())))
    assert lines[1] == {'system': 'Bicubic', 'acc': '0.7004', 'std': '0.02', 'psnr': '24.5', 'time': '1'}
    assert lines[0]['time'] == '' and lines[0]['psnr'] == 'inf' and lines[2]['system'] == 'A|B'


def test_json_is_strict_and_whole(table):
    def refuse(constant):
        raise AssertionError(constant)
    content = json.loads(table.json(), parse_constant=refuse)
    assert content['facts'] == {'seed': 0}
    assert float(content['rows'][0]['numbers']['psnr']) == float('inf')
    assert content['rows'][1]['numbers'] == {'acc': .7004, 'std': .02, 'psnr': 24.5, 'time': 1}


def test_the_console_shows_every_row_and_note(table):
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(table.rich())
    shown = console.export_text()
    assert all(text in shown for text in ('70.0 ± 2.0', 'A|B †', '26.12', '† continued', 'seconds'))


def test_saving_leaves_two_files_and_nothing_else(table, tmp_path):
    paths = table.save(tmp_path / 'new' / 'result')
    assert [path.name for path in paths] == ['result.md', 'result.csv']
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['result.csv', 'result.md']
    assert paths[0].read_text(encoding='utf-8') == table.markdown()


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    (tmp_path / 'result.csv').write_text('old')
    with pytest.raises(UserError, match='NaN'):
        Table('', [Column('a', 'a')], [Row('s', {'a': float('nan')})]).save(tmp_path / 'result')
    assert [path.name for path in tmp_path.iterdir()] == ['result.csv']
    assert (tmp_path / 'result.csv').read_text() == 'old'


def test_a_group_stands_before_its_title_where_there_is_one_line_of_headings() -> None:
    columns = [Column('a', 'PSNR (dB)', group='Scale=8'), Column('b', 'SSIM')]
    table = Table('', columns, [Row('X', {'a': 1.0, 'b': 2.0})])
    assert table.markdown().splitlines()[0].split(' | ')[1:] == ['Scale=8 PSNR (dB)', 'SSIM |']


def test_a_cell_without_a_number_says_what_stands_there_instead() -> None:
    row = Row('X', {'b': 2.0}, instead={'a': 'failed', 'b': 'failed'})
    table = Table('', [Column('a', 'A'), Column('b', 'B')], [row])
    assert table.cells('{}') == [['X', 'failed', '2.00']]
    assert table.csv().splitlines()[1] == 'X,,2.0'


def test_further_tables_are_below_and_json_holds_no_number_twice() -> None:
    row = Row('X', {'a': 1.0, 'b': 2.0})
    below = Table('Below', [Column('b', 'B')], [row], ['a note'])
    table = Table('Main', [Column('a', 'A')], [row], ['first'], below=[below])
    assert table.markdown().endswith('first\n\n' + below.markdown())
    assert json.loads(table.json())['rows'] == [{'system': 'X', 'numbers': {'a': 1.0, 'b': 2.0}}]
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(table.rich())
    shown = console.export_text()
    assert all(text in shown for text in ('Main', 'first', 'Below', 'a note')) and shown.count('X') == 2


def test_a_narrow_screen_cuts_no_name_off() -> None:
    name = 'net_r_latest_of_the_second_training'
    console = Console(record=True, width=24, file=io.StringIO())
    console.print(Table('', [Column('a', name)], [Row(name, {'a': 1.0})]).rich())
    shown = console.export_text()
    assert '…' not in shown
    left, right = (''.join(line.split('│' if '│' in line else '┃')[place].strip() for line in shown.splitlines()
                           if '│' in line or '┃' in line) for place in (1, 2))
    assert name in left and name in right


@given(st.text(st.characters(codec='utf-8', exclude_categories=['Cc', 'Zl', 'Zp'], include_characters='\n')))
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    """As a Markdown parser reads it: one line of plain text, also where it begins a line, and in a cell of a table."""
    plain = ' '.join(text.split()).strip()
    parser = MarkdownIt('commonmark', {'html': True}).enable(['table', 'strikethrough'])
    for markdown in (f'a {markdown_text(plain)} b', markdown_line(f'{plain} b'), f'- {markdown_line(plain)} b'):
        kinds = {token.type for token in parser.parse(markdown)} - {'bullet_list_open', 'list_item_open',
                                                                    'bullet_list_close', 'list_item_close'}
        inline = [child for token in parser.parse(markdown) for child in token.children or ()]
        assert kinds <= {'paragraph_open', 'inline', 'paragraph_close'}, markdown
        assert {child.type for child in inline} <= {'text'}, markdown
        assert ' '.join(''.join(child.content for child in inline).split()) in (f'a {plain} b', f'{plain} b'.strip(),
                                                                                'a b' if not plain else '')
    table = Table('', [Column('a', 'A')], [Row(plain or 'x', {'a': 1.0})]).markdown()
    cells = [token.children for token in parser.parse(table) if token.type == 'inline']
    assert len(cells) == 4 and ''.join(child.content for child in cells[2]) == (plain or 'x')


def test_names_and_notes_are_text_in_markdown() -> None:
    row = Row('<img src=x onerror=alert(1)>', {'a': 1.0}, sign='†', instead={'b': '<i>'})
    table = Table('<h1>', [Column('a', '<u>'), Column('b', '[b](c)', group='`')], [row], ['# <script>'])
    assert table.markdown() == r'''**&lt;h1&gt;**

| system                               | &lt;u&gt; | \` \[b\](c) |
| ------------------------------------ | --------: | ----------: |
| &lt;img src=x onerror=alert(1)&gt; † |      1.00 |   &lt;i&gt; |

\# &lt;script&gt;
'''

"""Tables that we write: what a spreadsheet reads is the text and the numbers, and no formula."""

import ast
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cface_basicsr
from cface_basicsr.files.identities import identity_table
from cface_basicsr.files.text_file import table_text


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline='')))


@pytest.mark.parametrize('name', ['=cmd', '+cmd', '-cmd', '@SUM(A1)', '\t=1', '\r=1', '\n=1', '＝1', '=1+1', '-2+3',
                                  "=cmd|' /C calc'!A0", '-', '=', '-1e', '--1', '\r', '\t'])
def test_a_name_that_looks_like_a_formula_is_text(name: str) -> None:
    assert read(table_text([[name, 'a']])) == [[f"'{name}", 'a']]


@pytest.mark.parametrize('value', [-0.5, -3, float('-inf'), 1e-9, '-0.5', '+3', '-1e-3', '', 'C-Face-v2', "'x", 'a=b'])
def test_numbers_and_other_names_stay_as_they_are(value: object) -> None:
    assert read(table_text([['x', value]])) == [['x', str(value)]]


@given(st.lists(st.lists(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False)), min_size=2, max_size=4),
                min_size=1, max_size=5))
def test_every_text_comes_back_but_for_the_sign_and_begins_no_formula(rows: list[list[object]]) -> None:
    back = read(table_text(rows))
    assert len(back) == len(rows)
    for row, cells in zip(rows, back, strict=True):
        for value, cell in zip(row, cells, strict=True):
            assert cell in (str(value), f"'{value}")
            if isinstance(value, str) and cell[:1] in tuple('=+-@\t\r\n＝＋－＠'):
                float(cell)  # a number


def test_keys_name_images_as_before_and_original_names_are_text() -> None:
    text, people = identity_table({'-x/1': ('-x/1.png', ''), '%3Dcmd/2': ('=cmd/2.png', '')})
    assert people == 2 and read(text)[1:] == [['%3Dcmd/2', '0', "'=cmd/2.png"], ['-x/1', '1', "'-x/1.png"]]


def test_no_module_writes_tables_in_another_way() -> None:
    package = Path(cface_basicsr.__file__).parent
    found = {path.relative_to(package).as_posix() for path in package.rglob('*.py')
             for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))) if isinstance(node, ast.Call)
             and ast.unparse(node.func).split('.')[-1] in ('writer', 'DictWriter', 'to_csv', 'savetxt')}
    assert found == set()

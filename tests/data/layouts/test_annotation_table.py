"""Tables of numbers about images, in CelebA's forms and in users' own."""

from pathlib import Path

import pytest

from cface_basicsr.data.layouts.annotation_table import read_annotation_table
from cface_basicsr.errors import UserError

BOX = ('x_1', 'y_1', 'width', 'height')


def file(folder: Path, text: str) -> Path:
    path = folder / 'table.txt'
    path.write_text(text)
    return path


def test_celebas_text_form_is_read_with_its_two_heading_lines(tmp_path: Path) -> None:
    path = file(tmp_path, '2\nimage_id x_1 y_1 width height\n'
                          '000001.jpg    95  71 226 313\n000002.jpg    72  94 221 306\n')
    assert read_annotation_table(path, BOX) == {'000001.jpg': (95, 71, 226, 313), '000002.jpg': (72, 94, 221, 306)}


def test_celebas_csv_form_gives_the_same(tmp_path: Path) -> None:
    path = file(tmp_path, 'image_id,x_1,y_1,width,height\n000001.jpg,95,71,226,313\n000002.jpg, 72, 94, 221, 306\n')
    assert read_annotation_table(path, BOX) == {'000001.jpg': (95, 71, 226, 313), '000002.jpg': (72, 94, 221, 306)}


def test_a_table_without_any_heading_is_read_from_its_first_line(tmp_path: Path) -> None:
    assert read_annotation_table(file(tmp_path, '000001.jpg 2880\n000002.jpg 2937\n'), ('identity',)) == {
        '000001.jpg': (2880,), '000002.jpg': (2937,)}


def test_names_may_contain_blanks_and_lines_may_be_comments(tmp_path: Path) -> None:
    assert read_annotation_table(file(tmp_path, '# mine\n\nJosé 1/a b.jpg 1.5 -2\n'), ('x', 'y')) == {
        'José 1/a b.jpg': (1.5, -2)}


@pytest.mark.parametrize(('text', 'message'), [
    ('3\na b c d e\n1.jpg 1 2 3 4\n', 'declares 3 lines but holds 1: it is truncated'),
    ('1.jpg 1 2 3 4\n2.jpg 1 2 3\n',
     "line 2: expected a name and 4 numbers .x_1 y_1 width height., got '2.jpg 1 2 3'"),
    ('1.jpg 1 2 3 4\n2.jpg 1 2 3 nan\n', 'line 2: expected'), ('1.jpg,1,2,3,4,5\n', 'line 1: expected'),
    ('1.jpg 1 2 3 4\n1.jpg 1 2 3 4\n', "line 2: '1.jpg' occurs for the second time"),
    ('', 'has no line'), ('2\nimage_id x_1 y_1 width height\n', 'declares 2 lines but holds 0')])
def test_a_malformed_table_is_refused_with_the_number_of_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_annotation_table(file(tmp_path, text), BOX)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'is missing. Expected a table of x_1, y_1, width, height'):
        read_annotation_table(tmp_path / 'no.txt', BOX)

"""LFW's people.txt."""

from pathlib import Path

import pytest

from cface_basicsr.data.layouts.lfw import read_people
from cface_basicsr.errors import UserError


def file(folder: Path, text: str) -> Path:
    path = folder / 'file.txt'
    path.write_text(text)
    return path


@pytest.mark.parametrize('text', ['2\n1\nAnn\t4\n2\nBob\t12\nCy\t1\n', '3\nAnn\t4\nBob\t12\nCy\t1\n',
                                  'Ann 4\nBob 12\nCy 1\n'])
def test_people_come_with_their_numbers_of_images(tmp_path: Path, text: str) -> None:
    assert read_people(file(tmp_path, text)) == {'Ann': 4, 'Bob': 12, 'Cy': 1}


@pytest.mark.parametrize(('text', 'message'), [
    ('2\n1\nAnn\t4\n2\nBob\t12\n', 'declares 3 people and holds 2'), ('Ann 1 4\n', 'is not a people file'),
    ('Ann x\n', 'is not a people file'), ('', 'is not a people file')])
def test_what_is_not_a_people_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_people(file(tmp_path, text))


def test_between_tabs_a_name_may_have_blanks(tmp_path: Path) -> None:
    assert read_people(file(tmp_path, '\ufeff2\nAnn Lee\t4\nBob\t1\n')) == {'Ann Lee': 4, 'Bob': 1}

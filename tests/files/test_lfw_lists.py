"""LFW's two protocol files."""

from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.files.lfw_lists import NamedPair, read_named_pairs, read_people

SHARED = Path(__file__).parents[3] / 'shared' / 'protocols' / 'pairs.txt'


def file(folder: Path, text: str) -> Path:
    path = folder / 'file.txt'
    path.write_text(text)
    return path


def test_pairs_come_with_numbers_and_folds(tmp_path: Path) -> None:
    path = file(tmp_path, '2\t1\nAnn\t1\t4\nAnn\t2\tBob\t1\nBob\t3\t12\nBob\t1\tCy\t1\n')
    assert read_named_pairs(path) == [
        NamedPair(('Ann', 1), ('Ann', 4), True, 0), NamedPair(('Ann', 2), ('Bob', 1), False, 0),
        NamedPair(('Bob', 3), ('Bob', 12), True, 1), NamedPair(('Bob', 1), ('Cy', 1), False, 1)]


def test_the_development_view_has_one_fold(tmp_path: Path) -> None:
    pairs = read_named_pairs(file(tmp_path, '1\nAnn\t1\t4\nAnn\t2\tBob\t1\n'))
    assert [(pair.same, pair.fold) for pair in pairs] == [(True, 0), (False, 0)]


@pytest.mark.parametrize(('text', 'message'), [
    ('2 1\nAnn 1 4\nAnn 2 Bob 1\n', 'declares 4 pairs and holds 2'), ('', 'is not a pairs file'),
    ('1 1\nAnn 1 x\nAnn 2 Bob 1\n', 'is not a pairs file'),
    ('1 1\nAnn 1 2\nAnn 1 3\n', 'fold 1 has 2 pairs of one person'),
    ('1 2 3\nAnn 1 2\n', 'is not a pairs file')])
def test_what_is_not_a_pairs_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_named_pairs(file(tmp_path, text))


@pytest.mark.skipif(not SHARED.is_file(), reason="needs ../shared with LFW's pairs.txt")
def test_the_official_pairs_are_six_thousand_in_ten_folds() -> None:
    pairs = read_named_pairs(SHARED)
    assert len(pairs) == 6000 and sum(pair.same for pair in pairs) == 3000
    assert len({image for pair in pairs for image in (pair.left, pair.right)}) == 7701
    assert pairs[0] == NamedPair(('Abel_Pacheco', 1), ('Abel_Pacheco', 4), True, 0) and pairs[-1].fold == 9


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

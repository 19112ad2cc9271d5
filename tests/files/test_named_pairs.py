"""Pairs by key from both kinds of file, however an editor or a spreadsheet saved them."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cface_basicsr.errors import UserError
from cface_basicsr.files.image_keys import escape
from cface_basicsr.files.named_pairs import Pair, pairs_table, read_named_pairs

SHARED = Path(__file__).parents[3] / 'shared' / 'protocols' / 'pairs.txt'
LFW = '2\t1\nAnn\t1\t4\nAnn\t2\tBob\t1\nBob\t3\t12\nBob\t1\tCy\t1\n'
TABLE = 'left,right,same,fold\nAnn/Ann_0001,Ann/Ann_0004,1,0\nAnn/Ann_0002,Bob/Bob_0001,0,0\n'


def file(folder: Path, content: str | bytes, name: str = 'pairs.txt') -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def test_lines_of_pairs_txt_become_keys_with_folds(tmp_path: Path) -> None:
    assert read_named_pairs(file(tmp_path, LFW)) == [
        ('Ann/Ann_0001', 'Ann/Ann_0004', True, 0), ('Ann/Ann_0002', 'Bob/Bob_0001', False, 0),
        ('Bob/Bob_0003', 'Bob/Bob_0012', True, 1), ('Bob/Bob_0001', 'Cy/Cy_0001', False, 1)]


def test_the_development_view_has_one_fold(tmp_path: Path) -> None:
    pairs = read_named_pairs(file(tmp_path, '1\nAnn\t1\t4\nAnn\t2\tBob\t1\n'))
    assert [(pair.same, pair.fold) for pair in pairs] == [(True, 0), (False, 0)]


@pytest.mark.parametrize('text', [
    LFW, '\ufeff' + LFW, LFW.replace('\n', '\r\n'), LFW.replace('\n', '\r'), LFW.replace('\t', ' '),
    LFW.replace('\n', '\t\t\n'), '\n' + LFW.replace('\n', '\n\n'), LFW.replace('\t', '  \t ')])
def test_all_these_are_the_same_pairs(tmp_path: Path, text: str) -> None:
    assert read_named_pairs(file(tmp_path, text)) == read_named_pairs(file(tmp_path, LFW, 'plain.txt'))


def test_names_have_dots_accents_apostrophes_and_between_tabs_also_blanks(tmp_path: Path) -> None:
    one, other = read_named_pairs(file(tmp_path, "1\nJ.R. de Ray\t1\t2\nMiguel_Peña\t1\tO'Neil\t2\n"))
    assert one.left == f'{escape("J.R. de Ray")}/{escape("J.R. de Ray_0001")}' == (
        'J%2ER%2E%20de%20Ray/J%2ER%2E%20de%20Ray_0001')
    assert (other.left, other.right) == ('Miguel_Pe%C3%B1a/Miguel_Pe%C3%B1a_0001', 'O%27Neil/O%27Neil_0002')


@pytest.mark.parametrize(('text', 'message'), [
    ('2 1\nAnn 1 4\nAnn 2 Bob 1\n', 'declares 4 pairs and holds 2'), ('', 'is not a pairs file'),
    ('1 1\nAnn 1 x\nAnn 2 Bob 1\n', "line 2: expected 'NAME i j' or 'NAME i OTHER j', got 'Ann 1 x'"),
    ('1 1\nAnn 1 2\nAnn 1 Ann 3\n', "line 3: expected two people in 'NAME i OTHER j', got 'Ann 1 Ann 3'"),
    ('1 1\nAnn 1 2\nAnn 1 3\n', 'fold 1 has 2 pairs of one person'),
    ('1 1\n\nAnn 1 2\nAnn Lee 1 Bob de Ray 2\n', "line 4: .* got 'Ann Lee 1 Bob de Ray 2'.\nWhere names have blanks, "
                                               'there must be tabs'),
    ('1 2 3\nAnn 1 2\n', "'FOLDS PAIRS' in its first line"), ('0 3\nAnn 1 2\n', "'FOLDS PAIRS' in its first line"),
    ('Ann 1 2\n', "'FOLDS PAIRS' in its first line"), (LFW.encode('utf-16'), 'is not UTF-8 text')])
def test_what_is_not_a_pairs_file_is_refused_with_the_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_named_pairs(file(tmp_path, text))
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(('start', 'delimiter', 'newline', 'end', 'quote'), product(
    ('', '\ufeff'), ',;\t', ('\n', '\r\n', '\r'), ('', '{}{}'), ('', '"')))
def test_a_table_that_a_spreadsheet_saved_again_holds_the_same_pairs(
        tmp_path: Path, start: str, delimiter: str, newline: str, end: str, quote: str) -> None:
    lines = [delimiter.join(f'{quote}{cell}{quote}' for cell in line.split(',')) + end.format(delimiter, delimiter)
             for line in TABLE.splitlines()]
    saved = file(tmp_path, start + newline.join([*lines, '']), 'pairs.csv')
    assert read_named_pairs(saved) == read_named_pairs(file(tmp_path, TABLE, 'plain.csv')) == [
        Pair('Ann/Ann_0001', 'Ann/Ann_0004', True, 0), Pair('Ann/Ann_0002', 'Bob/Bob_0001', False, 0)]


def test_the_content_and_not_the_ending_says_which_kind_it_is(tmp_path: Path) -> None:
    assert len(read_named_pairs(file(tmp_path, LFW, 'pairs.csv'))) == 4
    assert len(read_named_pairs(file(tmp_path, TABLE, 'pairs.txt'))) == 2


@pytest.mark.parametrize(('text', 'message'), [
    ('left|right\na/1|a/2\n', "expected the first line 'left,right,same,fold', got 'left.right'"),
    ('name,imagenum1,imagenum2\n', "expected the first line 'left,right,same,fold', got 'name,imagenum1,imagenum2'"),
    ('', "expected the first line 'left,right,same,fold', got ''"), ('left,right,same,fold\n', 'holds no pairs'),
    (TABLE.replace(',1,0', ',2,0'), "line 2: expected .* got 'Ann/Ann_0001,Ann/Ann_0004,2,0'"),
    (TABLE + 'a,b,1\n', "line 4: .* got 'a,b,1'"), (TABLE + 'a,b,1,0,7\n', "line 4: .* got 'a,b,1,0,7'"),
    (TABLE.encode('utf-16'), "is not UTF-8 text. Expected pairs(.|\n)*saves it as 'CSV UTF-8'")])
def test_of_a_table_the_message_is_about_a_table(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_named_pairs(file(tmp_path, text, 'pairs.csv'))
    assert 'FOLDS PAIRS' not in str(caught.value) and len(str(caught.value).splitlines()) <= 3


_KEYS = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='/\0'), min_size=1).map(escape)


@settings(max_examples=60)
@given(st.lists(st.tuples(_KEYS, _KEYS, st.booleans(), st.integers(0, 9)), min_size=1))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple]) -> None:
    pairs = [Pair(f'a/{left}', f'b/{right}', same, fold) for left, right, same, fold in pairs]
    assert read_named_pairs(file(tmp_path_factory.mktemp('pairs'), pairs_table(pairs), 'pairs.csv')) == pairs


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(
    ['2', '1', '\t', ' ', '\n', 'Ann', 'left,right,same,fold', ',', ';', '"', '\r', '\ufeff', '0', '-1', 'true']),
    max_size=14).map(lambda words: ''.join(words).encode())), st.sampled_from(['pairs.csv', 'pairs.txt']))
def test_any_other_bytes_are_refused_and_never_end_in_a_traceback(tmp_path_factory: pytest.TempPathFactory,
                                                                  content: bytes, name: str) -> None:
    try:
        assert read_named_pairs(file(tmp_path_factory.mktemp('any'), content, name))
    except UserError as error:
        assert 'pairs' in str(error)


@pytest.mark.skipif(not SHARED.is_file(), reason="needs ../shared with LFW's pairs.txt")
def test_the_official_pairs_are_six_thousand_in_ten_folds() -> None:
    pairs = read_named_pairs(SHARED)
    assert len(pairs) == 6000 and sum(pair.same for pair in pairs) == 3000
    assert len({image for pair in pairs for image in (pair.left, pair.right)}) == 7701
    assert pairs[0] == Pair('Abel_Pacheco/Abel_Pacheco_0001', 'Abel_Pacheco/Abel_Pacheco_0004', True, 0)
    assert pairs[-1].fold == 9

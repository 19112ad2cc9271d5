"""Parts of messages: a missing file, another library's error, names in a list, the nearest name."""

from pathlib import Path

import pytest

from cface_basicsr.errors import UserError, check_file, describe_error, first_few, nearest


def test_a_file_that_exists_is_returned_as_a_path(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').touch()
    assert check_file(str(tmp_path / 'a.txt'), 'Expected text.') == tmp_path / 'a.txt'


@pytest.mark.parametrize(('kind', 'message'), [('', "'{}' is missing. Expected text."),
                                               ('names file', "names file '{}' is missing. Expected text.")])
def test_a_missing_file_is_named_with_what_was_expected(tmp_path: Path, kind: str, message: str) -> None:
    for path, what in ((tmp_path / 'a.txt', 'is missing'), (tmp_path, 'is a folder')):
        with pytest.raises(UserError) as caught:
            check_file(path, 'Expected text.', kind)
        assert str(caught.value) == message.format(path).replace('is missing', what)


def test_another_librarys_error_becomes_one_line_of_bounded_length() -> None:
    assert describe_error(ValueError('two\n  lines')) == 'ValueError: two lines'
    assert len(describe_error(KeyError('x' * 1000))) == len('KeyError: ') + 120


@pytest.mark.parametrize(('names', 'text'), [
    (['a'], 'a'), (['a', 'b', 'c'], 'a, b, c'), (list('abcdef'), 'a, b, c and 3 more')])
def test_a_list_of_names_is_cut_after_three(names: list[str], text: str) -> None:
    assert first_few(names) == text


def test_a_misspelt_name_gets_the_nearest_one_or_all_of_them() -> None:
    assert nearest('gama1', ['gamma1', 'distance']) == "did you mean 'gamma1'?"
    assert nearest('zzz', ['gamma1', 'distance']) == 'valid: distance, gamma1'
    assert nearest('zzz', []) == 'valid: none'

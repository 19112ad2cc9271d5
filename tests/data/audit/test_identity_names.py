"""A person's name is recognized however a data set spells it."""

from pathlib import Path

import pytest

from cface_basicsr.data.audit.identity_names import SharedPerson, plain_name, read_names, shared_people
from cface_basicsr.errors import UserError


@pytest.mark.parametrize(('one', 'other'), [
    ('George_W_Bush', 'George W. Bush'), ('george_w_bush', 'GEORGE W BUSH'), ('A.J. Buckley', 'AJ_Buckley'),
    ('Penélope_Cruz', 'Penelope Cruz'), ('Penélope_Cruz', 'Penelope Cruz'), ("Conan_O'Brien", 'Conan OBrien'),
    ('Jean-Claude Van Damme', 'Jean_Claude_Van_Damme'), ('Ulrich Groß', 'ULRICH_GROSS')])
def test_two_spellings_of_a_name_are_the_same(one: str, other: str) -> None:
    assert plain_name(one) == plain_name(other)


@pytest.mark.parametrize(('one', 'other'), [('Ann_Lee', 'Anna_Lee'), ('0000045', '45'), ('章子怡', '巩俐'), ('?', '!')])
def test_different_names_stay_different(one: str, other: str) -> None:
    assert plain_name(one) != plain_name(other)


def test_people_in_both_sets_are_found_and_spellings_are_compared() -> None:
    found = shared_people(['Ann_Lee', 'Bob_Ray', 'Cy'], ['ann lee', 'Bob_Ray', 'Dora'])
    assert found == [SharedPerson('Ann_Lee', ('Ann_Lee',), ('ann lee',), False),
                     SharedPerson('Bob_Ray', ('Bob_Ray',), ('Bob_Ray',), True)]


def test_a_list_of_names_is_applied_only_to_its_own_side() -> None:
    names = {'0000045': 'Ann Lee', '0000099': 'Cy'}
    found = shared_people(['0000045', '0000077'], ['Ann_Lee', '0000099'], train_names=names)
    assert found == [SharedPerson('Ann Lee', ('0000045',), ('Ann_Lee',), False)]


def test_two_numbers_with_the_same_name_are_both_reported() -> None:
    found = shared_people(['1', '2'], ['Ann Lee'], train_names={'1': 'Ann_Lee', '2': 'Ann Lee'})
    assert found == [SharedPerson('Ann_Lee', ('1', '2'), ('Ann Lee',), True)]


def test_a_list_of_names_is_read_with_blanks_tabs_and_commas(tmp_path: Path) -> None:
    path = tmp_path / 'names.txt'
    path.write_bytes('\ufeff0000045 Ann Lee\n0000099\tPenélope_Cruz\r\n\n0000100, O. J. Simpson \n'.encode())
    assert read_names(path, ['0000045', '7']) == {
        '0000045': 'Ann Lee', '0000099': 'Penélope_Cruz', '0000100': 'O. J. Simpson'}


@pytest.mark.parametrize(('text', 'message'), [
    ('0000045\n', "line 1: expected 'id name', got '0000045'"),
    ('1 Ann\n1 Bob\n', "line 2: '1' is 'Bob', but above 'Ann'"),
    ('7 Ann\n', "has names for 1 ids, for example '7', but for none of the 2 identities, for example '1'"),
    ('', 'has names for 0 ids'), ('1 Ann\xe9\n', 'is not UTF-8 text')])
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'names.txt').write_bytes(text.encode('latin-1'))
    with pytest.raises(UserError, match=message):
        read_names(tmp_path / 'names.txt', ['2', '1'])


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names file '.*none.txt' is missing"):
        read_names(tmp_path / 'none.txt', ['1'])

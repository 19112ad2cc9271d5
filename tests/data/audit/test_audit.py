"""An audit finds the people and pictures that two sets share, in sets made for these tests."""

from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.audit.audit import Audit, Match, audit, audit_names
from cface_basicsr.data.audit.identity_names import SharedPerson
from cface_basicsr.data.audit.picture_set import open_alike, open_pictures
from cface_basicsr.errors import UserError
from tests.photos import Silent, mirror, photo, recompressed, write_tree

TRAIN = {'Ann_Lee/1': 0, 'Ann_Lee/2': 1, 'Bob/1': 2, 'Cy/1': 3}


def compare(folder: Path, train: dict[str, np.ndarray], test: dict[str, np.ndarray],
            names: dict[str, str] | None = None, **options: object) -> Audit:
    sides = open_alike(write_tree(folder / 'train', train), write_tree(folder / 'test', test))
    sides[0].names = names or {}
    return audit(*sides, show=Silent(), **options)


@pytest.fixture
def train() -> dict[str, np.ndarray]:
    return {key: photo(seed) for key, seed in TRAIN.items()}


def test_sets_with_different_people_and_pictures_are_disjoint(tmp_path: Path, train: dict[str, np.ndarray]) -> None:
    result = compare(tmp_path, train, {'Dora/1': photo(20), 'Eve/1': photo(21)}, within=True)
    assert not result.overlaps
    assert (result.people, result.equal, result.near, result.within) == ([], [], [], {'train': [], 'test': []})
    assert (result.train.images, result.train.identities, result.test.images) == (4, 3, 2)


def test_a_person_in_both_is_found_by_name(tmp_path: Path, train: dict[str, np.ndarray]) -> None:
    result = compare(tmp_path, train, {'ann lee/9': photo(20)})
    assert result.people == [SharedPerson('Ann_Lee', ('Ann_Lee',), ('ann lee',), False)] and result.overlaps
    assert result.equal == result.near == []


def test_a_picture_under_another_name_is_found(tmp_path: Path, train: dict[str, np.ndarray]) -> None:
    result = compare(tmp_path, train, {'Dora/1': photo(2), 'Eve/1': photo(20)})
    assert result.equal == [Match('equal', ('Bob/1',), ('Dora/1',), ('Bob', 'Dora'), False)]
    assert result.people == result.near == [] and result.overlaps


def test_recompressed_and_mirrored_copies_are_found(tmp_path: Path, train: dict[str, np.ndarray]) -> None:
    result = compare(tmp_path, train, {'Dora/1': mirror(photo(1)), 'bob/7': recompressed(photo(2), 50)})
    found = {(match.kind, match.train, match.test, match.same_person) for match in result.near}
    assert found == {('mirrored', ('Ann_Lee/2',), ('Dora/1',), False), ('near', ('Bob/1',), ('bob/7',), True)}
    assert result.equal == [] and all(match.distance <= 22 and match.likeness >= 0.96 for match in result.near)


def test_an_equal_picture_is_not_reported_as_near_too(tmp_path: Path, train: dict[str, np.ndarray]) -> None:
    result = compare(tmp_path, train, {'Dora/1': photo(2), 'Dora/2': recompressed(photo(2), 60)})
    assert [match.test for match in result.equal] == [('Dora/1',)]
    assert [match.test for match in result.near] == [('Dora/2',)]


def test_numbers_are_replaced_by_names(tmp_path: Path) -> None:
    result = compare(tmp_path, {'0000045/001': photo(0)}, {'Ann_Lee/1': photo(0), 'Cy/1': photo(1)},
                     {'0000045': 'Ann Lee'})
    assert [(person.train, person.test) for person in result.people] == [(('0000045',), ('Ann_Lee',))]
    assert result.equal[0].same_person and result.equal[0].people == ('Ann Lee', 'Ann_Lee')


def test_equal_numbers_are_reported_with_a_warning(tmp_path: Path) -> None:
    result = compare(tmp_path, {'0000045/1': photo(0)}, {'0000045/1': photo(1)})
    assert result.overlaps and 'only if both sets use the same numbering' in result.notes[0]


def test_a_picture_under_two_identities_of_a_set_is_label_noise(tmp_path: Path) -> None:
    train = {'a/1': photo(0), 'b/1': photo(0), 'b/2': photo(0), 'c/1': photo(1), 'c/2': photo(1), 'd/1': photo(2),
             'e/1': recompressed(photo(2), 60), 'd/2': recompressed(photo(2), 40)}
    test = {'z/1': photo(9)}
    equal = compare(tmp_path / 'one', train, test)
    assert equal.within == {'test': [], 'train': [Match('equal', ('a/1',), ('b/1', 'b/2'), ('a', 'b'), False)]}
    assert not equal.overlaps  # wrong labels are not an overlap
    near = compare(tmp_path / 'two', train, test, within=True).within['train']
    assert [(match.kind, match.train, match.test) for match in near] == [
        ('equal', ('a/1',), ('b/1', 'b/2')), ('near', ('d/1',), ('e/1',)), ('near', ('d/2',), ('e/1',))]


def test_two_numbers_with_the_same_name_are_not_label_noise(tmp_path: Path) -> None:
    names = {'1': 'Ann Lee', '2': 'ann_lee'}
    result = compare(tmp_path, {'1/a': photo(0), '2/a': photo(0)}, {'z/1': photo(9)}, names, within=True)
    assert result.within['train'] == []


def test_pictures_without_identities_are_not_compared_by_name(tmp_path: Path) -> None:
    sides = [open_pictures(write_tree(tmp_path / name, {'0000000/1': photo(0)})) for name in ('train', 'test')]
    sides[1].has_identities = False
    result = audit_names(*sides)
    assert result.people == [] and 'nothing says who is on the pictures' in result.notes[0]


def test_what_could_not_be_read_is_reported(tmp_path: Path, train: dict[str, np.ndarray]) -> None:
    write_tree(tmp_path / 'train', train)
    (tmp_path / 'train' / 'Bob' / 'cut.jpg').write_bytes(b'')
    (tmp_path / 'train' / 'loose.txt').write_text('x')
    result = compare(tmp_path, train, {'Dora/1': photo(20)})
    assert ('Bob/cut.jpg', 'empty file') in result.train.rejected and result.test.rejected == []
    assert any(path == 'loose.txt' for path, _ in result.train.rejected)


def test_a_side_of_which_nothing_can_be_read_is_not_called_disjoint(
        tmp_path: Path, train: dict[str, np.ndarray]) -> None:
    write_tree(tmp_path / 'train', train)
    for name in 'ab':
        (tmp_path / 'test' / name).mkdir(parents=True)
        (tmp_path / 'test' / name / '1.jpg').write_text('text')
    with pytest.raises(UserError, match=r"test': none of the pictures .whole photographs. can be compared: 2 of 2: not "
                                        r'an image .a/1.jpg.'):
        audit(*open_alike(tmp_path / 'train', tmp_path / 'test'), show=Silent())

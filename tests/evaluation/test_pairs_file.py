"""Pairs in LFW's own layout, joined by name."""

from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.pairs_file import read_pairs_file

KEYS = ['Ann_A/Ann_A_0001', 'Ann_A/Ann_A_0002', 'Bob/Bob_0001', 'Bob/Bob_0010']
TEXT = '2\t1\nAnn_A\t1\t2\nAnn_A\t1\tBob\t10\nBob\t1\t10\nBob\t1\tAnn_A\t2\n'


def test_folds_kinds_and_rows_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / 'pairs.txt').write_text(TEXT)
    pairs = read_pairs_file(tmp_path / 'pairs.txt', KEYS)
    assert pairs.pairs.tolist() == [[0, 1], [0, 3], [2, 3], [2, 1]]
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(('text', 'message'), [
    (TEXT.replace('Bob\t10', 'Bob\t11'), "names 1 images that the folder does not have, for example 'Bob_0011'"),
    (TEXT + 'Bob\t1\t10\n', 'announces 4 pairs and holds 5'), ('hello\n', 'is no pairs file'),
    ('', 'is no pairs file')])
def test_a_broken_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'pairs.txt').write_text(text)
    with pytest.raises(UserError, match=message):
        read_pairs_file(tmp_path / 'pairs.txt', KEYS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='pairs.txt. is missing'):
        read_pairs_file(tmp_path / 'pairs.txt', KEYS)


def test_the_official_file_of_lfw_has_ten_folds_of_300_and_300() -> None:
    path = Path(__file__).parents[2] / '../shared/protocols/pairs.txt'
    if not path.is_file():
        pytest.skip('needs ../shared/protocols/pairs.txt')
    words = [line.split() for line in path.read_text().splitlines()[1:]]
    names = {f'{w[0]}_{int(w[1]):04d}' for w in words} | {f'{w[-2] if len(w) == 4 else w[0]}_{int(w[-1]):04d}'
                                                           for w in words}
    keys = sorted(f'{name[:-5]}/{name}' for name in names)
    pairs = read_pairs_file(path, keys)
    assert len(pairs.same) == 6000 and pairs.same.sum() == 3000 and set(pairs.fold.tolist()) == set(range(10))
    people = [key.split('/')[0] for key in keys]
    assert all((people[a] == people[b]) == same for (a, b), same in zip(pairs.pairs, pairs.same, strict=True))

"""Pairs in LFW's own layout, joined by name."""

from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.pairs_file import pairs_sha256, read_pairs

KEYS = ['Ann_A/Ann_A_0001', 'Ann_A/Ann_A_0002', 'Bob/Bob_0001', 'Bob/Bob_0010']
TEXT = '2\t1\nAnn_A\t1\t2\nAnn_A\t1\tBob\t10\nBob\t1\t10\nBob\t1\tAnn_A\t2\n'


def test_folds_kinds_and_rows_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / 'pairs.txt').write_text(TEXT)
    pairs = read_pairs(tmp_path / 'pairs.txt', KEYS)
    assert pairs.pairs.tolist() == [[0, 1], [0, 3], [2, 3], [2, 1]]
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(('text', 'message'), [
    (TEXT.replace('Bob\t10', 'Bob\t11'), "names 1 images that are not among the 4 here: Bob/Bob_0011; 1 of 4 pairs"),
    (TEXT + 'Bob\t1\t10\n', 'declares 4 pairs and holds 5'), ('hello\n', 'is not a pairs file'),
    ('', 'is not a pairs file')])
def test_a_broken_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'pairs.txt').write_text(text)
    with pytest.raises(UserError, match=message):
        read_pairs(tmp_path / 'pairs.txt', KEYS)


TABLE = 'left,right,same,fold\nBob/Bob_0010,Bob/Bob_0001,1,0\nAnn_A/Ann_A_0001,Bob/Bob_0001,0,1\n'


def test_a_table_names_complete_keys_and_keeps_left_and_right(tmp_path: Path) -> None:
    (tmp_path / 'pairs.csv').write_text(TABLE)
    pairs = read_pairs(tmp_path / 'pairs.csv', KEYS)
    assert pairs.pairs.tolist() == [[3, 2], [0, 2]]
    assert pairs.same.tolist() == [True, False] and pairs.fold.tolist() == [0, 1]


def test_an_image_of_the_same_name_in_another_folder_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / 'pairs.csv').write_text('left,right,same,fold\na/1,a/7,1,0\n')
    with pytest.raises(UserError, match='names 1 images that are not among the 3 here: a/7'):
        read_pairs(tmp_path / 'pairs.csv', ['a/1', 'a/2', 'b/7'])


def test_images_of_pairs_txt_are_found_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / 'pairs.txt').write_text(TEXT)
    keys = [f'all/{key.split("/")[1]}' for key in KEYS]
    assert read_pairs(tmp_path / 'pairs.txt', keys).pairs.tolist() == [[0, 1], [0, 3], [2, 3], [2, 1]]


@pytest.mark.parametrize(('text', 'message'), [
    (TABLE.replace(',1,0', ',2,0'), "line 2: expected .* got 'Bob/Bob_0010,Bob/Bob_0001,2,0'"),
    (TABLE.replace(',1,0', ',1,-1'), "line 2: expected .* a fold from 0, got 'Bob/Bob_0010,Bob/Bob_0001,1,-1'"),
    (TABLE.replace(',1,0', ',1,' + '9' * 20), 'line 2: expected .* a fold from 0, got'),
    (TABLE.replace('Bob/Bob_0001,1', 'Bob/Bob_0010.jpg,1'), "compares 'Bob/Bob_0010' with itself"),
    (TABLE + 'x' * 200_000 + ',b,1,0\n', r'line 4: field larger than field limit \(131072\)\. Is a quotation'),
    (TABLE + '"a,b,1,0\n' + 'c,d,1,0\n' * 99, "line 103: expected .* got 'a,b,1,0 c,d,1,0[ acd01,]{,65}'"),
    (TABLE + 'a,b,1\n', "line 4: .* got 'a,b,1'"), ('left,right,same,fold\n', 'holds no pairs'),
    (TABLE.replace('Ann_A_0001', 'x') + ''.join(f'{n}/1,{n}/2,1,1\n' for n in 'pq'),
     'names 5 images that are not among the 4 here: Ann_A/x, p/1, p/2 and 2 more; 3 of 4 pairs need them')])
def test_a_broken_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'pairs.csv').write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        read_pairs(tmp_path / 'pairs.csv', KEYS)
    assert len(str(refused.value).splitlines()) <= 3


def test_bytes_are_not_pairs(tmp_path: Path) -> None:
    (tmp_path / 'lfw.bin').write_bytes(b'\x80\x03\xff\xfe')
    with pytest.raises(UserError, match='is not a pairs file: expected'):
        read_pairs(tmp_path / 'lfw.bin', KEYS)


def test_the_hash_depends_on_order_side_kind_and_fold_but_not_on_the_format(tmp_path: Path) -> None:
    (tmp_path / 'pairs.txt').write_text(TEXT)
    pairs = read_pairs(tmp_path / 'pairs.txt', KEYS)
    rows = [(KEYS[a], KEYS[b], int(s), f) for (a, b), s, f in zip(*pairs, strict=True)]
    (tmp_path / 'pairs.csv').write_text('left,right,same,fold\n' + ''.join(f'{a},{b},{s},{f}\n' for a, b, s, f in rows))
    assert pairs_sha256(read_pairs(tmp_path / 'pairs.csv', KEYS), KEYS) == pairs_sha256(pairs, KEYS)
    others = [pairs._replace(pairs=pairs.pairs[:, ::-1]), pairs._replace(same=~pairs.same),
              pairs._replace(fold=pairs.fold + 1), pairs._replace(pairs=pairs.pairs[::-1])]
    assert len({pairs_sha256(each, KEYS) for each in (pairs, *others)}) == 5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='pairs.txt. is missing'):
        read_pairs(tmp_path / 'pairs.txt', KEYS)


def test_the_official_file_of_lfw_has_ten_folds_of_300_and_300() -> None:
    path = Path(__file__).parents[2] / '../shared/protocols/pairs.txt'
    if not path.is_file():
        pytest.skip('needs ../shared/protocols/pairs.txt')
    words = [line.split() for line in path.read_text().splitlines()[1:]]
    names = {f'{w[0]}_{int(w[1]):04d}' for w in words} | {f'{w[-2] if len(w) == 4 else w[0]}_{int(w[-1]):04d}'
                                                           for w in words}
    keys = sorted(f'{name[:-5]}/{name}' for name in names)
    pairs = read_pairs(path, keys)
    assert len(pairs.same) == 6000 and pairs.same.sum() == 3000 and set(pairs.fold.tolist()) == set(range(10))
    people = [key.split('/')[0] for key in keys]
    assert all((people[a] == people[b]) == same for (a, b), same in zip(pairs.pairs, pairs.same, strict=True))

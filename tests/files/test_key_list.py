"""Keys that stay on the disk: those that a plain loop reads, in any state of the file, and few bytes for each."""

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cface_basicsr.files import identities, key_list
from cface_basicsr.files.identities import identity_table, read_identities, read_labels
from cface_basicsr.files.key_list import KeyList

NAMES = st.text('abc019_-%/', min_size=1, max_size=6)
SOME_BYTES = st.sampled_from([1, 3, 16, 1 << 20])


def listed(folder: Path, text: str) -> KeyList:
    path = folder / 'meta_info.txt'
    path.write_bytes(text.encode())
    return KeyList(path)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('keys')


@settings(deadline=None, max_examples=150)
@given(names=st.lists(NAMES, max_size=9), ordered=st.booleans(), ending=st.sampled_from(['\n', '\r\n', '\n\n']),
       last=st.booleans(), at_once=SOME_BYTES)
def test_keys_are_those_that_a_plain_loop_reads(folder: Path, names: list[str], ordered: bool, ending: str, last: bool,
                                                at_once: int) -> None:
    names = sorted(set(names)) if ordered else names
    text = ending.join(f'{name}.png (8,8,3) 1' for name in names) + (ending if last else '')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_list, '_BYTES_AT_ONCE', at_once)
        keys = listed(folder, text)
    expected = sorted(line.split('.')[0] for line in text.splitlines() if line.strip())
    for kept in (keys, pickle.loads(pickle.dumps(keys))):
        assert list(kept) == kept[:] == [kept[row] for row in range(len(kept))] == expected
    assert keys == expected and keys == listed(folder, text) and keys != [*expected, 'more']
    assert keys[1:-1] == expected[1:-1] and keys[::-2] == expected[::-2]
    assert [keys[-row] for row in range(1, len(keys) + 1)] == expected[::-1]
    assert keys.sha256 == hashlib.sha256('\n'.join(expected).encode()).hexdigest()
    with pytest.raises(IndexError):
        keys[len(expected)]


ANY_LINES = st.lists(st.text('a0.,\r \t9', max_size=14), min_size=1, max_size=4).map(
    lambda lines: ''.join(f'{line}\n' for line in lines).encode())
CELLS = st.tuples(st.text('a.0 ', min_size=1, max_size=3), st.integers(0, 12 * 10 ** 9), st.text('a,.', max_size=3))
ROWS = st.lists(CELLS, min_size=1, max_size=4).map(
    lambda rows: ''.join(f'{name},{number},{rest}\n' for name, number, rest in rows).encode())


@settings(deadline=None, max_examples=400)
@given(lines=ANY_LINES | ROWS)
def test_keys_and_labels_found_by_arrays_are_those_of_the_regular_expressions(lines: bytes) -> None:
    assert key_list._keys(lines) == key_list._LINE.findall(lines)
    cells = b','.join(identities._ROW.findall(lines)).split(b',')
    names, numbers = identities._rows(lines)
    assert names == cells[::2] and numbers.tolist() == [int(cell) for cell in cells[1::2]]
    assert numbers.dtype == np.int32


def test_lines_as_we_write_them_are_found_by_arrays() -> None:
    heads, places = key_list.line_heads(b'p/1.png (8,8,3) 1\np/22.png (8,8,3) 1\n', b'.')
    assert heads == [b'p/1', b'p/22'] and places.tolist() == [3, 22]
    numbers = identities._numbers_behind(b'p/1,7,p/1.jpg\np/22,123456789,x\n', np.array([3, 18]))
    assert numbers is not None and numbers.tolist() == [7, 123456789]
    assert key_list.line_heads(b'p/1.png\np/2\n', b'.') is None


def test_what_is_before_a_dot_at_the_start_of_a_line_is_no_key(folder: Path) -> None:
    assert listed(folder, 'a/1.png (8,8,3) 1\n.png (8,8,3) 1\n   \nb/1\n') == ['a/1', 'b/1']


def test_a_key_takes_four_bytes_of_memory_and_is_read_from_the_file(folder: Path) -> None:
    keys = listed(folder, ''.join(f'p/{number:04d}.png (8,8,3) 1\n' for number in range(1000)))
    assert keys[517] == 'p/0517'
    arrays = [value for value in vars(keys).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) == 4 * 1001
    assert not any(isinstance(value, (list, tuple, dict, bytes)) for value in vars(keys).values())


@settings(deadline=None, max_examples=100)
@given(names=st.lists(NAMES, max_size=8, unique=True), at_once=SOME_BYTES,
       originals=st.lists(st.text('a,"\n=\u00e9', max_size=5), min_size=8, max_size=8))
def test_labels_are_those_that_the_reader_of_tables_finds(folder: Path, names: list[str], originals: Sequence[str],
                                                          at_once: int) -> None:
    """Also where an original name has commas, quotes or several lines."""
    table, _ = identity_table(dict(zip(names, zip(originals, originals, strict=True), strict=False)))
    (folder / 'identities.csv').write_text(table, encoding='utf-8')
    keys = listed(folder, ''.join(f'{name}.png (8,8,3) 1\n' for name in sorted(names)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_list, '_BYTES_AT_ONCE', at_once)
        labels = read_labels(folder, keys)
    assert labels is not None and labels.tolist() == read_identities(folder)[1].tolist() and labels.dtype == np.int32


@pytest.mark.parametrize(('table', 'labels'), [
    ('key;label;original_name\na/1;0;x\nb/1;1;x\n', [0, 1]),  # saved by a spreadsheet
    ('key,label,original_name\nb/1,1,x\na/1,0,x\n', [0, 1]),  # in another order
    ('key,label\na/1,0\nb/1,1\n', [0, 1]),
    ('key,label,original_name\n"a/1",0,x\nb/1,1,x\n', [0, 1]),
    ('key,label,original_name\na/1,0,x\n', None),
    ('key,label,original_name\na/1,0,x\nb/2,1,x\n', None)])
def test_labels_of_a_table_of_another_form_are_read_and_those_of_other_keys_are_not(
        folder: Path, table: str, labels: list[int] | None) -> None:
    (folder / 'identities.csv').write_text(table)
    found = read_labels(folder, listed(folder, 'a/1.png (8,8,3) 1\nb/1.png (8,8,3) 1\n'))
    assert (found if found is None else found.tolist()) == labels

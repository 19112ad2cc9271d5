"""Pairs of images by key, from a file of either kind: pairs.csv, or LFW's pairs.txt.

pairs.csv, which `cface prepare` writes, has the header left,right,same,fold: two keys, 1 for one person or 0, and the
fold from 0. pairs.txt has F, the number of folds, and P, the number of pairs of each kind in a fold (pairsDevTest.txt:
only P); then each fold has P lines 'NAME i j' (one person) and P lines 'NAME i OTHER j'. Tabs between the words allow
blanks in names.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cface_basicsr.errors import UserError
from cface_basicsr.files.image_keys import image_key
from cface_basicsr.files.text_file import has_header, read_lines, read_table, table_text

PAIRS_HEADER = ['left', 'right', 'same', 'fold']

_EXPECTED = f"Expected pairs, in the layout of LFW's pairs.txt or with the header {','.join(PAIRS_HEADER)}."
_SAME = {'1': True, 'true': True, '0': False, 'false': False}


class Pair(NamedTuple):
    """Two keys to compare, whether they show the same person, and the fold (from 0)."""

    left: str
    right: str
    same: bool
    fold: int


def pairs_table(pairs: Iterable[Pair]) -> str:
    """The text of pairs.csv, in the order of the protocol."""
    return table_text([PAIRS_HEADER, *([pair.left, pair.right, int(pair.same), pair.fold] for pair in pairs)], keys=2)


def read_named_pairs(path: str | Path) -> list[Pair]:
    """The pairs of a file in its order; those of pairs.txt by the keys that images have in LFW's own folders.

    Raises:
        UserError: the file is missing or malformed; it names the line.
    """
    lines = read_lines(path, _EXPECTED)
    first = lines[0][1] if lines else ''
    if has_header(first, PAIRS_HEADER) or (Path(path).suffix.lower() == '.csv' and not _counts(first)):
        return _of_table(path)
    return _of_lfw(path, lines)


def _of_table(path: str | Path) -> list[Pair]:
    pairs = []
    for number, words in read_table(path, PAIRS_HEADER, _EXPECTED):
        try:
            left, right, same, fold = (word.strip() for word in words)
            pairs.append(Pair(left, right, _SAME[same.lower()], _fold(fold)))
        except (ValueError, KeyError) as error:
            got = ' '.join(','.join(words).split())[:80]
            raise UserError(f"'{path}', line {number}: expected {','.join(PAIRS_HEADER)} with 1 or 0 and a fold from "
                            f"0, got '{got}'.") from error
    if not pairs:
        raise UserError(f"'{path}' holds no pairs.")
    return pairs


def _fold(text: str) -> int:
    fold = int(text)
    if not 0 <= fold < 2 ** 31:
        raise ValueError(text)
    return fold


def _of_lfw(path: str | Path, lines: Sequence[tuple[int, str]]) -> list[Pair]:
    counts = _counts(lines[0][1]) if lines else []
    if not counts:
        raise UserError(f"'{path}' is not a pairs file: expected 'FOLDS PAIRS' in its first line, then 'NAME i j' and "
                        f"'NAME i OTHER j', or the first line '{','.join(PAIRS_HEADER)}'.")
    folds, of_each_kind = counts
    pairs = [_pair(path, number, line, place // (2 * of_each_kind)) for place, (number, line) in enumerate(lines[1:])]
    if len(pairs) != 2 * folds * of_each_kind:
        raise UserError(f"'{path}' declares {2 * folds * of_each_kind} pairs and holds {len(pairs)}. Copy it again.")
    same = Counter(pair.fold for pair in pairs if pair.same)
    for fold in range(folds):
        if same[fold] != of_each_kind:
            raise UserError(f"'{path}': fold {fold + 1} has {same[fold]} pairs of one person, expected {of_each_kind}.")
    return pairs


def _counts(line: str) -> list[int]:
    """Folds, and pairs of each kind in a fold, from the first line of pairs.txt; empty for another line."""
    words = line.split()
    if len(words) not in (1, 2) or not all(word.isdecimal() and len(word) < 10 and int(word) for word in words):
        return []
    return [1, *map(int, words)][-2:]


def _pair(path: str | Path, number: int, line: str, fold: int) -> Pair:
    words = lfw_words(line)
    try:
        if len(words) == 3:
            return Pair(image_key(words[0], int(words[1])), image_key(words[0], int(words[2])), True, fold)
        left, i, right, j = words
        pair = Pair(image_key(left, int(i)), image_key(right, int(j)), False, fold)
    except ValueError as error:
        raise UserError(f"'{path}', line {number}: expected 'NAME i j' or 'NAME i OTHER j', got '{line[:60]}'.\n"
                        'Where names have blanks, there must be tabs between the words.') from error
    if left == right:
        raise UserError(f"'{path}', line {number}: expected two people in 'NAME i OTHER j', got '{line[:60]}'.")
    return pair


def lfw_words(line: str) -> list[str]:
    """The words of a line of LFW's lists, between tabs where it has any, else between blanks.

    >>> lfw_words('Ann Lee\\t1\\t2'), lfw_words('Ann_Lee 1 2')
    (['Ann Lee', '1', '2'], ['Ann_Lee', '1', '2'])
    """
    return [word.strip() for word in line.split('\t')] if '\t' in line else line.split()

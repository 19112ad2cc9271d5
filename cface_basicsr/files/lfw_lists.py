"""LFW's pairs.txt and people.txt, as names and numbers of images.

pairs.txt: F, the number of folds, and P, the number of pairs of each kind in a fold (pairsDevTest.txt: only P); then
each fold has P lines 'NAME i j' (one person) and P lines 'NAME i OTHER j'. people.txt: the number of sets, then for
each set its number of people and a line 'NAME images' for each of them; lfw-names.txt has only these lines.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cface_basicsr.errors import UserError, check_file


class NamedPair(NamedTuple):
    """A pair of images (name, number from 1), whether both show the same identity, and the fold, from 0."""

    left: tuple[str, int]
    right: tuple[str, int]
    same: bool
    fold: int


def read_named_pairs(path: str | Path) -> list[NamedPair]:
    """The pairs of a file in the layout of pairs.txt, in its order.

    Raises:
        UserError: the file is missing or malformed.
    """
    lines = _lines(path, 'pairs.txt')
    try:
        head = [int(word) for word in lines[0]]
        folds, of_each_kind = head if len(head) == 2 else (1, *head)
        pairs = [_pair(words, number // (2 * of_each_kind)) for number, words in enumerate(lines[1:])]
    except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        raise UserError(f"'{path}' is not a pairs file: expected 'FOLDS PAIRS', then lines 'NAME i j' and "
                        "'NAME i OTHER j'.") from error
    if len(pairs) != 2 * folds * of_each_kind:
        raise UserError(f"'{path}' declares {2 * folds * of_each_kind} pairs and holds {len(pairs)}. Copy it again.")
    for fold in range(folds):
        same = sum(pair.same for pair in pairs if pair.fold == fold)
        if same != of_each_kind:
            raise UserError(f"'{path}': fold {fold + 1} has {same} pairs of one person, expected {of_each_kind}.")
    return pairs


def _pair(words: Sequence[str], fold: int) -> NamedPair:
    if len(words) == 3:
        return NamedPair((words[0], int(words[1])), (words[0], int(words[2])), True, fold)
    left, i, right, j = words
    return NamedPair((left, int(i)), (right, int(j)), False, fold)


def read_people(path: str | Path) -> dict[str, int]:
    """Name -> number of images, of a file in the layout of people.txt.

    Raises:
        UserError: the file is missing or malformed.
    """
    lines = _lines(path, 'people.txt')
    try:
        people = {words[0]: int(words[1]) for words in lines if len(words) == 2}
        counts = [int(words[0]) for words in lines if len(words) == 1]
    except ValueError as error:
        raise _malformed(path, f"a line that is neither: {error}") from error
    if not people or any(len(words) > 2 for words in lines):
        raise _malformed(path, 'other lines')
    declared = sum(counts[1:]) if len(counts) > 1 else sum(counts)
    if counts and declared != len(people):
        raise UserError(f"'{path}' declares {declared} people and holds {len(people)}. Copy it again.")
    return people


def _malformed(path: str | Path, came: str) -> UserError:
    return UserError(f"'{path}' is not a people file: expected lines 'NAME IMAGES' and counts of them, got {came}.")


def _lines(path: str | Path, like: str) -> list[list[str]]:
    path = check_file(path, f"Expected a file in the layout of LFW's {like}.")
    text = path.read_text(encoding='utf-8-sig', errors='surrogateescape')
    return [line.split() for line in text.splitlines() if line.strip()]

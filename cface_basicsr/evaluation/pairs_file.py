"""Pairs from a file, joined to the images of a prepared folder by name.

Two kinds are read: the layout of LFW's pairs.txt, and pairs.csv, which `cface prepare` writes where the source has
pairs.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import FoldedPairs

HEADER = ['left', 'right', 'same', 'fold']
"""First line of pairs.csv: two keys, 1 or 0, and the fold from 0."""

_SAME = {'1': True, 'true': True, '0': False, 'false': False}
_SHOWN = 3


class _Named(NamedTuple):
    """Pairs before their images are found."""

    names: list[tuple[str, str]]
    same: list[bool]
    fold: list[int]


def read_pairs(path: str | Path, keys: Sequence[str]) -> FoldedPairs:
    """The pairs of a file as rows of a folder's images.

    pairs.csv has the header left,right,same,fold and whole keys. In LFW's layout the first line holds the number of
    folds and of pairs of either kind in a fold; then each fold has so many lines 'NAME i j' (one person) and so many
    'NAME i OTHER j', and image i of NAME is called NAME_000i, whatever folder it is in.

    Args:
        path: of the file.
        keys: '<identity>/<image>' of each row.

    Raises:
        UserError: the file is missing or broken, or names images that the folder does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"'{path}' is missing: expected pairs, in the layout of LFW's pairs.txt or with the header "
                        f"{','.join(HEADER)}.")
    try:
        lines = [line for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"'{path}' is no pairs file: it is no text.") from error
    rows = {key: row for row, key in enumerate(keys)}
    if lines and next(csv.reader(lines)) == HEADER:
        return _joined(path, _table(path, lines[1:]), rows)
    return _joined(path, _lfw(path, lines), {key.split('/')[-1]: row for key, row in rows.items()})


def pairs_sha256(folded: FoldedPairs, keys: Sequence[str]) -> str:
    """A hash of which images are compared, in which order and fold; it knows nothing of how they look."""
    digest = hashlib.sha256()
    for (left, right), same, fold in zip(folded.pairs, folded.same, folded.fold, strict=True):
        digest.update(f'{keys[left]},{keys[right]},{int(same)},{int(fold)}\n'.encode())
    return digest.hexdigest()


def _table(path: Path, lines: Sequence[str]) -> _Named:
    """The lines of pairs.csv below its header."""
    named = _Named([], [], [])
    for number, words in enumerate(csv.reader(lines), 2):
        try:
            left, right, same, fold = words
            same, fold = _SAME[same.strip().lower()], int(fold)
        except (ValueError, KeyError) as error:
            raise UserError(f"'{path}', line {number}: expected {','.join(HEADER)} with 1 or 0 and a fold from 0, "
                            f"got '{','.join(words)}'.") from error
        named.names.append((left, right))
        named.same.append(same)
        named.fold.append(fold)
    if not named.names:
        raise UserError(f"'{path}' holds no pairs.")
    return named


def _lfw(path: Path, lines: Sequence[str]) -> _Named:
    words = [line.split() for line in lines]
    try:
        folds, of_a_kind = (int(word) for word in words[0])
        names = [_names(line) for line in words[1:]]
    except (ValueError, IndexError) as error:
        raise UserError(f"'{path}' is no pairs file: expected 'FOLDS PAIRS', then lines of three or four words; or the "
                        f"header {','.join(HEADER)}.") from error
    if len(names) != 2 * folds * of_a_kind:
        raise UserError(f"'{path}' announces {2 * folds * of_a_kind} pairs and holds {len(names)}.")
    same = ([True] * of_a_kind + [False] * of_a_kind) * folds
    return _Named(names, same, [fold for fold in range(folds) for _ in range(2 * of_a_kind)])


def _names(words: Sequence[str]) -> tuple[str, str]:
    """The image names of one line."""
    if len(words) == 3:
        words = (words[0], words[1], words[0], words[2])
    first, i, second, j = words
    return f'{first}_{int(i):04d}', f'{second}_{int(j):04d}'


def _joined(path: Path, named: _Named, rows: Mapping[str, int]) -> FoldedPairs:
    missing = sorted({name for pair in named.names for name in pair} - rows.keys())
    if missing:
        lost = set(missing)
        pairs = sum(not lost.isdisjoint(pair) for pair in named.names)
        more = f' and {len(missing) - _SHOWN} more' if len(missing) > _SHOWN else ''
        raise UserError(
            f"'{path}' names {len(missing)} images that the {len(rows)} here do not hold: "
            f"{', '.join(missing[:_SHOWN])}{more}; {pairs} of {len(named.names)} pairs need them.\n"
            'Is it the same data set? What `cface prepare` left out stands in manifest.json under rejected, with the '
            'reason.\nPrepare it again so that they are kept, or take a pairs file without them.')
    pairs = np.array([[rows[left], rows[right]] for left, right in named.names], dtype=np.int64)
    return FoldedPairs(pairs, np.array(named.same), np.array(named.fold, dtype=np.int64))

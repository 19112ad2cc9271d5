"""Pairs from a file, joined to the images of a prepared folder by name.

Two kinds are read: the layout of LFW's pairs.txt, and pairs.csv, which `cface prepare` writes if the source has pairs.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cface_basicsr.errors import UserError, check_file, first_few
from cface_basicsr.evaluation.verification import FoldedPairs
from cface_basicsr.files.lfw_lists import read_named_pairs

HEADER = ['left', 'right', 'same', 'fold']
"""First line of pairs.csv; the others hold two keys, 1 or 0, and the fold, from 0."""

_SAME = {'1': True, 'true': True, '0': False, 'false': False}


class _Named(NamedTuple):
    """Pairs before their images are found."""

    names: list[tuple[str, str]]
    same: list[bool]
    fold: list[int]


def read_pairs(path: str | Path, keys: Sequence[str]) -> FoldedPairs:
    """The pairs of a file as rows of a folder's images.

    pairs.csv has the header left,right,same,fold and complete keys. In LFW's layout the first line holds the number of
    folds, and the number P of pairs of each kind in a fold; then each fold has P lines 'NAME i j' (same identity) and P
    lines 'NAME i OTHER j', and image i of NAME is called NAME_000i, whatever folder it is in.

    Args:
        path: of the file.
        keys: '<identity>/<image>' of each row.

    Returns:
        pairs (P, 2) row numbers into keys, same (P,), fold (P,) from 0.

    Raises:
        UserError: the file is missing or broken, or names images that the folder does not have.
    """
    path = check_file(path, f"Expected pairs, in the layout of LFW's pairs.txt or with the header {','.join(HEADER)}.")
    try:
        lines = [line for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"'{path}' is not a pairs file: it is not text.") from error
    rows = {key: row for row, key in enumerate(keys)}
    if lines and next(csv.reader(lines)) == HEADER:
        return _joined(path, _table(path, lines[1:]), rows)
    return _joined(path, _lfw(path), {key.split('/')[-1]: row for key, row in rows.items()})


def pairs_sha256(folded: FoldedPairs, keys: Sequence[str]) -> str:
    """A hash of the images that are compared, by their keys, of their order and their folds."""
    digest = hashlib.sha256()
    for (left, right), same, fold in zip(folded.pairs, folded.same, folded.fold, strict=True):
        digest.update(f'{keys[left]},{keys[right]},{int(same)},{int(fold)}\n'.encode())
    return digest.hexdigest()


def _table(path: Path, lines: Sequence[str]) -> _Named:
    """The lines of pairs.csv after its header."""
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


def _lfw(path: Path) -> _Named:
    pairs = read_named_pairs(path)
    names = [(f'{left}_{i:04d}', f'{right}_{j:04d}') for (left, i), (right, j), *_ in pairs]
    return _Named(names, [pair.same for pair in pairs], [pair.fold for pair in pairs])


def _joined(path: Path, named: _Named, rows: Mapping[str, int]) -> FoldedPairs:
    missing = sorted({name for pair in named.names for name in pair} - rows.keys())
    if missing:
        lost = set(missing)
        pairs = sum(not lost.isdisjoint(pair) for pair in named.names)
        raise UserError(
            f"'{path}' names {len(missing)} images that are not among the {len(rows)} here: {first_few(missing)}; "
            f'{pairs} of {len(named.names)} pairs need them.\n'
            'Is it the same data set? manifest.json lists what `cface prepare` left out under rejected, with the '
            'reason.\nPrepare it again so that they are kept, or use a pairs file without them.')
    pairs = np.array([[rows[left], rows[right]] for left, right in named.names], dtype=np.int64)
    return FoldedPairs(pairs, np.array(named.same), np.array(named.fold, dtype=np.int64))

"""Pairs from a file in the layout of LFW's pairs.txt, joined to the images of a prepared folder by their names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import FoldedPairs


def read_pairs_file(path: str | Path, keys: Sequence[str]) -> FoldedPairs:
    """The pairs of a file as rows of a folder's images.

    The first line holds the number of folds and of pairs of either kind in a fold. Then each fold has so many lines
    'NAME i j' (one person) and so many 'NAME i OTHER j'; image i of NAME is called NAME_000i.

    Args:
        path: of the file.
        keys: '<identity>/<image>' of each row; the image's part is NAME_000i.

    Raises:
        UserError: the file is missing or broken, or names an image that the folder does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"'{path}' is missing: expected pairs in the layout of LFW's pairs.txt.")
    lines = [line.split() for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    try:
        folds, of_a_kind = (int(word) for word in lines[0])
        pairs = [_names(words) for words in lines[1:]]
    except (ValueError, IndexError) as error:
        raise UserError(f"'{path}' is no pairs file: expected 'FOLDS PAIRS', then lines of three or four words."
                        ) from error
    if len(pairs) != 2 * folds * of_a_kind:
        raise UserError(f"'{path}' announces {2 * folds * of_a_kind} pairs and holds {len(pairs)}.")
    rows = {key.split('/')[1]: row for row, key in enumerate(keys)}
    missing = sorted({name for pair in pairs for name in pair} - rows.keys())
    if missing:
        raise UserError(f"'{path}' names {len(missing)} images that the folder does not have, for example "
                        f"'{missing[0]}'.")
    same = np.tile(np.repeat([True, False], of_a_kind), folds)
    return FoldedPairs(np.array([[rows[a], rows[b]] for a, b in pairs]), same,
                       np.repeat(np.arange(folds), 2 * of_a_kind))


def _names(words: Sequence[str]) -> tuple[str, str]:
    """The image names of one line."""
    if len(words) == 3:
        words = (words[0], words[1], words[0], words[2])
    first, i, second, j = words
    return f'{first}_{int(i):04d}', f'{second}_{int(j):04d}'

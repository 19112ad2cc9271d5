"""Pairs from a file (`files.named_pairs`), joined to the images of a prepared folder, or to a list of them, by name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cface_basicsr.errors import UserError, first_few
from cface_basicsr.evaluation.verification import FoldedPairs
from cface_basicsr.files.image_keys import find_images
from cface_basicsr.files.named_pairs import read_named_pairs


def read_pairs(path: str | Path, keys: Sequence[str], *, prepared: bool = True) -> FoldedPairs:
    """The pairs of a file as rows of a folder's images.

    An image that is called after its person, as in pairs.txt, is also found in another folder than the person's.

    Args:
        path: of the file, see `read_named_pairs`.
        keys: of each row: '<identity>/<image>', or any name that `find_images` knows.
        prepared: whether these are the images of a prepared folder, for the advice about missing ones.

    Returns:
        pairs (P, 2) row numbers into keys, same (P,), fold (P,) from 0.

    Raises:
        UserError: the file is missing or broken, or names images that the folder does not have.
    """
    named = read_named_pairs(path)
    names = list(dict.fromkeys(name for pair in named for name in (pair.left, pair.right)))
    rows = dict(zip(names, find_images(names, keys, f"'{path}'", any_folder=True), strict=True))
    missing = {name for name, row in rows.items() if row is None}
    if missing:
        pairs = sum(not missing.isdisjoint((pair.left, pair.right)) for pair in named)
        raise UserError(
            f"'{path}' names {len(missing)} images that are not among the {len(keys)} here: "
            f'{first_few(sorted(missing))}; {pairs} of {len(named)} pairs need them.\n' + (_PREPARED if prepared else
            'Give features of all images that the pairs name, or a pairs file of those that there are.'))
    alone = next((pair for pair in named if rows[pair.left] == rows[pair.right]), None)
    if alone:
        raise UserError(f"'{path}' compares '{alone.left}' with itself, which any recognizer gets right. Name two "
                        'images in each pair.')
    return FoldedPairs(np.array([[rows[pair.left], rows[pair.right]] for pair in named], dtype=np.int64),
                       np.array([pair.same for pair in named]), np.array([pair.fold for pair in named], dtype=np.int64))


_PREPARED = ('Is it the same data set? manifest.json lists what `cface prepare` left out under rejected, with the '
             'reason.\nPrepare it again so that they are kept, or use a pairs file without them.')


def pairs_sha256(folded: FoldedPairs, keys: Sequence[str]) -> str:
    """A hash of the images that are compared, by their keys, of their order and their folds."""
    digest = hashlib.sha256()
    for (left, right), same, fold in zip(folded.pairs, folded.same, folded.fold, strict=True):
        digest.update(f'{keys[left]},{keys[right]},{int(same)},{int(fold)}\n'.encode())
    return digest.hexdigest()

"""Sizes of a data set, read from its stores before anything is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError
from cface_basicsr.files.identities import read_identities


def roots(dataset: Mapping[str, Any]) -> list[str]:
    """The ground-truth stores of a data set section: one or several paths."""
    root = dataset['dataroot_gt']
    return [root] if isinstance(root, str) else list(root)


def count_images(dataset: Mapping[str, Any]) -> int | None:
    """How many images a data set over LMDB stores has, all its stores together; None for other kinds of data."""
    paths = [Path(root) / 'meta_info.txt' for root in roots(dataset)] if dataset.get('dataroot_gt') else []
    if not paths or not all(str(path.parent).endswith('.lmdb') for path in paths):
        return None
    for path in paths:
        if not path.is_file():
            raise UserError(f"data store '{path.parent}' is missing or unfinished (no meta_info.txt).\n"
                            "Make it: cface prepare --layout casia SRC --out DIR --scale 2 4 8 --crop center")
    return sum(1 for path in paths for line in path.read_text(encoding='utf-8').splitlines() if line.strip())


def count_identities(dataset: Mapping[str, Any]) -> int:
    """The number of identities that the labels of a data set section name.

    Raises:
        UserError: identities.csv is missing or malformed.
    """
    return len(set(read_identities(dataset.get('identities') or Path(roots(dataset)[0]).parent)[1].tolist()))


def iterations_an_epoch(images: int, world: int, batch_a_rank: int) -> int:
    """Full batches of all ranks together in one pass over the data; the rest is dropped.

    >>> iterations_an_epoch(images=100, world=2, batch_a_rank=16)
    3
    """
    return images // (world * batch_a_rank)

"""Sizes of a data set, read from its stores before anything is built."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.files.identities import identities_file, read_identities, read_labels
from cface_basicsr.registration import offered


def roots(dataset: Mapping[str, Any], key: str = 'dataroot_gt') -> list[str]:
    """The stores of a data set section, the ground truth or those of another key: none, one or several paths."""
    root = dataset.get(key) or []
    return [root] if isinstance(root, str) else list(root)


def count_images(dataset: Mapping[str, Any]) -> int | None:
    """How many images a data set over LMDB stores has, all its stores together; None for other kinds of data."""
    paths = [Path(root) / 'meta_info.txt' for root in roots(dataset)]
    if not paths or not all(str(path.parent).endswith('.lmdb') for path in paths):
        return None
    for path in paths:
        _check_store(path)
    return sum(_count_lines(path) for path in paths)


def _count_lines(path: Path) -> int:
    with open(path, 'rb') as lines:
        return sum(1 for line in lines if line.strip())


def smallest_side(dataset: Mapping[str, Any]) -> int | None:
    """The smaller side in pixels of the first image of a data set's stores; None where they are not there (yet)."""
    listed = next((path for root in roots(dataset) if (path := Path(root, 'meta_info.txt')).is_file()), None)
    if listed is None:
        return None
    with open(listed, encoding='utf-8') as lines:
        size = re.search(r' \((\d+),(\d+),\d+\)', next(lines, ''))
    return min(map(int, size.groups())) if size else None


def _check_store(listed: Path) -> None:
    if not listed.is_file():
        raise UserError(f"data store '{listed.parent}' is missing or unfinished (no meta_info.txt).\n"
                        f'Make it: {_command_for(listed.parent)}')


def _command_for(store: Path) -> str:
    """The command that makes a store at this place."""
    folder = store.parent
    if store.name.startswith('sr_'):
        return f'cface generate {folder} --weights NET_G.pth --out {store}   (stage 2)'
    held_out = folder.name in ('train', 'test')
    return (f'cface prepare --layout casia SRC --out {folder.parent if held_out else folder} --scale 2 4 8 '
            f"--crop center{' --holdout N --seed 0' if held_out else ''}")


def check_roots(datasets: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the paths of BasicSR's data sets over LMDB; ours do it themselves.

    Raises:
        UserError: one is not called like an LMDB store, is missing, or holds what BasicSR cannot read.
    """
    for phase, section in datasets.items():
        if section['type'] in offered('data') or (section.get('io_backend') or {}).get('type') != 'lmdb':
            continue
        for key in ('dataroot_gt', 'dataroot_lq'):
            for root in roots(section, key):
                _check_root(root, f"option 'datasets.{phase}.{key}'")


def _check_root(root: str, option: str) -> None:
    from cface_basicsr.files.face_store import is_raw
    if not root.endswith('.lmdb'):
        raise UserError(f"{option}: expected an LMDB store, a folder whose name ends in .lmdb, got '{root}'.")
    _check_store(Path(root, 'meta_info.txt'))
    if is_raw(root):
        raise UserError(f"{option}: BasicSR's data sets cannot read the raw images of '{root}'; prepare another folder "
                        'with `cface prepare --store png0`, or take a data set of this plugin.')


def count_identities(dataset: Mapping[str, Any]) -> int:
    """The number of identities that the labels of a data set section name.

    Raises:
        UserError: identities.csv is missing or malformed, or its labels are not 0 .. C-1.
    """
    from cface_basicsr.files.face_store import read_meta_info
    stores = roots(dataset)
    table = dataset.get('identities') or Path(stores[0]).parent
    labels = read_labels(table, read_meta_info(stores[0])) if stores else None
    people = np.unique(read_identities(table)[1] if labels is None else labels)
    if len(gaps := np.flatnonzero(people != np.arange(len(people)))):
        raise UserError(f"'{identities_file(table)}': expected the labels 0 to {len(people) - 1}, one for each person; "
                        f'none is {gaps[0]}, and the largest is {people[-1]}. Number the people from 0 without gaps.')
    return len(people)


def iterations_an_epoch(images: int, world: int, batch_a_rank: int) -> int:
    """Full batches of all ranks together in one pass over the data; the rest is dropped.

    >>> iterations_an_epoch(images=100, world=2, batch_a_rank=16)
    3
    """
    return images // (world * batch_a_rank)

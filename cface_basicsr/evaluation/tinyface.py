"""The official lists of TinyFace (Cheng, Zhu and Gong 2018, "Low-resolution face recognition").

Its Testing_Set has three folders of images, Gallery_Match, Probe and Gallery_Distractor, and two lists that name the
images of the first two with their identities. A distractor is nobody whom a probe shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cface_basicsr.errors import UserError, first_few
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.files.image_keys import find_images
from cface_basicsr.files.mat_file import read_mat

LISTS = {'gallery': 'gallery_match_img_ID_pairs.mat', 'probe': 'probe_img_ID_pairs.mat'}
"""Part -> its list, with the variables <part>_set (file names) and <part>_ids."""
DISTRACTOR = -1
"""The label of a face that is nobody's."""


class Search(NamedTuple):
    """Who is searched for among whom, by rows of a folder of N images.

    Attributes:
        labels: (N,) identities; `DISTRACTOR` where the lists do not name an image.
        gallery, probe: rows (G,), (P,); the gallery holds the distractors.
    """

    labels: Ints
    gallery: Ints
    probe: Ints


def read_search(folder: Path, keys: Sequence[str]) -> Search:
    """The official search, for the images of a folder.

    Images are joined by file name without its ending. All images that the lists do not name are distractors.

    Args:
        folder: of both lists.
        keys: one per row, '<identity>/<image>' or file names.

    Raises:
        UserError: a list is missing, damaged or of another release; the folder lacks an image; an image is in both
            lists; or a probe shows somebody whom the gallery lacks.
    """
    labels, rows = np.full(len(keys), DISTRACTOR, np.int64), {}
    for part, file in LISTS.items():
        names, identities = _read_list(folder / file, part)
        found = find_images(names, keys, f"'{folder / file}'")
        if missing := [name for name, row in zip(names, found, strict=True) if row is None]:
            raise UserError(f"'{folder / file}' names {len(missing)} images of {len(names)} that are not among "
                            f'{len(keys)} keys, first {first_few(missing)}. The protocol needs them all.')
        rows[part] = np.array(found, np.int64)
        labels[rows[part]] = identities
    if len(both := np.intersect1d(rows['gallery'], rows['probe'])):
        raise UserError(f"'{folder}': {len(both)} images are in both lists, first '{keys[both[0]]}'.")
    strangers = ~np.isin(labels[rows['probe']], labels[rows['gallery']])
    if strangers.any():
        raise UserError(f"'{folder}': {strangers.sum()} probes show people whom the gallery lacks, first "
                        f"'{keys[rows['probe'][strangers][0]]}'. Take both lists from one release.")
    others = np.flatnonzero(labels == DISTRACTOR)
    return Search(labels, np.concatenate([rows['gallery'], others]), rows['probe'])


def _read_list(path: Path, part: str) -> tuple[list[str], Ints]:
    """File names and identities of one list."""
    content = read_mat(path, "Expected the lists of TinyFace's Testing_Set.")
    names, identities = (content.get(f'{part}_{what}') for what in ('set', 'ids'))
    if names is None or identities is None:
        came = ', '.join(name for name in content if not name.startswith('__')) or 'no variables'
        raise UserError(f"'{path}' is not TinyFace's list: expected {part}_set and {part}_ids, got {came}.")
    texts = [_text(cell) for cell in names.flat]
    identities = identities.ravel()
    if not all(texts) or len(set(texts)) < len(texts) or not len(texts) == len(identities) > 0:
        raise UserError(f"'{path}': expected different file names with an identity each, got {len(texts)} cells, "
                        f'{len(set(texts) - {""})} different names and {len(identities)} identities.')
    if identities.dtype.kind not in 'iuf' or not (identities == np.floor(identities)).all() or identities.min() < 0:
        raise UserError(f"'{path}', {part}_ids: expected whole numbers from 0, got {identities.dtype}.")
    return texts, identities.astype(np.int64)


def _text(cell: Any) -> str:
    """The text of a cell; '' where it holds something else."""
    while isinstance(cell, np.ndarray) and cell.size == 1:
        cell = cell.item()
    return str(cell) if isinstance(cell, str) else ''

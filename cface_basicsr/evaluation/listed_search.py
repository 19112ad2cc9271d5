"""Searches by official lists, in MATLAB files, of who is on the images of a gallery and of the probes.

TinyFace (Cheng, Zhu and Gong 2018, "Low-resolution face recognition"): Testing_Set has three folders of images,
Gallery_Match, Probe and Gallery_Distractor, and lists of the first two. Distractors show none of the people of the
probes.

QMUL-SurvFace (Cheng, Zhu and Gong 2018, "Surveillance face recognition challenge"): Face_Identification_Test_Set has
gallery, mated_probe and unmated_probe, and lists of the first two. An unmated probe shows nobody of the gallery.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.files.image_keys import find_all_images, image_label
from cface_basicsr.files.mat_file import cell_text, read_variables

UNLISTED = -1
"""The label of an image that is in no list."""


class ListedPart(NamedTuple):
    """One part of the images.

    Attributes:
        folder: that holds them, in the official tree.
        variable: what the variables of its list are called before '_set' (file names) and '_ids'.
        file: its list, next to the folder; '' where it has none.
    """

    folder: str
    variable: str
    file: str = ''


class Lists(NamedTuple):
    """What the official lists of a data set are called.

    Attributes:
        name: of the data set.
        root: the folder of the parts and the lists.
        others: of the images that no list names.
    """

    name: str
    root: str
    gallery: ListedPart
    probe: ListedPart
    others: ListedPart

    @property
    def where(self) -> str:
        """Where they are."""
        return f"the folder of {self.name}'s two lists ({self.root})"


class Search(NamedTuple):
    """Who is searched for among whom, by rows of a folder of N images.

    Attributes:
        labels: (N,) identities; `UNLISTED` where no list names an image.
        gallery, probe, others: rows (G,), (P,), (O,).
    """

    labels: Ints
    gallery: Ints
    probe: Ints
    others: Ints

    def sha256(self, keys: Sequence[str]) -> str:
        """A hash of who is searched for among whom, for the N keys."""
        listed = ''.join(f'{key},{label}\n' for key, label in zip(keys, self.labels, strict=True))
        return hashlib.sha256(listed.encode() + self.probe.tobytes()).hexdigest()


TINYFACE = Lists('TinyFace', 'Testing_Set', ListedPart('Gallery_Match', 'gallery', 'gallery_match_img_ID_pairs.mat'),
                 ListedPart('Probe', 'probe', 'probe_img_ID_pairs.mat'),
                 ListedPart('Gallery_Distractor', 'distractor'))
SURVFACE = Lists('QMUL-SurvFace', 'Face_Identification_Test_Set',
                 ListedPart('gallery', 'gallery', 'gallery_img_ID_pairs.mat'),
                 ListedPart('mated_probe', 'mated_probe', 'mated_probe_img_ID_pairs.mat'),
                 ListedPart('unmated_probe', 'unmated_probe'))


def read_search(folder: Path, keys: Sequence[str], lists: Lists) -> Search:
    """The official search, for the images of a folder.

    Images are joined by file name without its ending.

    Args:
        folder: of both lists.
        keys: one per row, '<identity>/<image>' or file names.
        lists: what they are called.

    Raises:
        UserError: a list is missing, damaged or of another release; the folder lacks an image; an image is in both
            lists, or in neither and yet in a folder of one that is; or a probe shows somebody whom the gallery lacks.
    """
    labels, rows = np.full(len(keys), UNLISTED, np.int64), []
    for part in (lists.gallery, lists.probe):
        names, identities = read_list(folder, part, lists)
        rows.append(np.array(find_all_images(names, keys, f"'{folder / part.file}'"), np.int64))
        labels[rows[-1]] = identities
    gallery, probe = rows
    if len(both := np.intersect1d(gallery, probe)):
        raise UserError(f"'{folder}': {len(both)} images are in both lists, first '{keys[both[0]]}'.")
    strangers = ~np.isin(labels[probe], labels[gallery])
    if strangers.any():
        raise UserError(f"'{folder}': {strangers.sum()} probes show people whom the gallery lacks, first "
                        f"'{keys[probe[strangers][0]]}'. Take both lists from one release.")
    others = np.flatnonzero(labels == UNLISTED)
    _check_others(folder, [keys[row] for row in others], {_folder_of(keys[row]) for part in rows for row in part})
    return Search(labels, gallery, probe, others)


def _check_others(folder: Path, others: Sequence[str], listed: set[str]) -> None:
    """Refuse images that no list names, but others of their folder: they would count as strangers."""
    if left := [key for key in others if _folder_of(key) and _folder_of(key) in listed]:
        raise UserError(f"'{folder}': {len(left)} images are in no list, but in folders of people who are, first "
                        f"'{left[0]}'. Take lists and images from one release.")


def check_people(folder: Path, search: Search, keys: Sequence[str], labels: Ints) -> None:
    """Check that the lists tell the same people apart as the images' own identities do.

    Args:
        folder: of the lists; labels: (N,) identities of the images, by numbers of their own.

    Raises:
        UserError: two images show one person by the lists and two by the identities, or the other way round.
    """
    rows = np.concatenate([search.gallery, search.probe])
    both = np.stack([search.labels[rows], labels[rows]], axis=1)  # (L, 2)
    for side in (0, 1):
        people, count = np.unique(np.unique(both, axis=0)[:, side], return_counts=True)
        if (count > 1).any():
            wrong = rows[both[:, side] == people[count > 1][0]]
            raise UserError(f"'{folder}' and the identities of the images differ in who is on '{keys[wrong[0]]}'. "
                            'Take lists and images from one release.')


def _folder_of(key: str) -> str:
    return image_label(key).rpartition('/')[0]


def read_list(folder: Path, part: ListedPart, lists: Lists) -> tuple[list[str], Ints]:
    """File names and identities (n,) of one list.

    Raises:
        UserError: it is missing, damaged or of another release.
    """
    path, variables = folder / part.file, (f'{part.variable}_set', f'{part.variable}_ids')
    names, identities = read_variables(path, f'Expected {lists.where}.', *variables).values()
    texts, identities = [cell_text(cell) for cell in names.flat], identities.ravel()
    if not all(texts) or len(set(texts)) < len(texts) or not len(texts) == len(identities) > 0:
        raise UserError(f"'{path}': expected different file names with an identity each, got {len(texts)} cells, "
                        f'{len(set(texts) - {""})} different names and {len(identities)} identities.')
    whole = identities.dtype.kind in 'iuf' and (identities == np.floor(identities)).all()
    if not whole or not 0 <= identities.min() <= identities.max() < 2 ** 31:
        raise UserError(f"'{path}', {variables[1]}: expected whole numbers from 0, got {identities.dtype}.")
    return texts, identities.astype(np.int64)

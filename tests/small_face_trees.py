"""The official trees of TinyFace, QMUL-SurvFace and SCface, made up."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from cface_basicsr.evaluation.listed_search import TINYFACE, ListedPart, Lists
from tests.noise_photos import write_photo


def _cells(names: Iterable[Any], width: int = 1) -> np.ndarray:
    """Texts in cells, (n, width)."""
    names = list(names)
    cells = np.empty((len(names) // width, width), dtype=object)
    cells.flat[:] = names
    return cells


def write_list(folder: Path, part: ListedPart, people: Mapping[str, Any]) -> None:
    """As in the official files: a column of cells with one name each, and a column of identities."""
    savemat(folder / part.file, {f'{part.variable}_set': _cells(people),
                                 f'{part.variable}_ids': np.array(list(people.values()))[:, None]})


def write_lists(folder: Path, gallery: Mapping[str, Any], probe: Mapping[str, Any], lists: Lists = TINYFACE) -> Path:
    """The two lists, of file name -> identity; returns their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_list(folder, lists.gallery, gallery)
    write_list(folder, lists.probe, probe)
    return folder


def write_tree(root: Path, gallery: Mapping[str, int], probe: Mapping[str, int], others: Iterable[str],
               lists: Lists = TINYFACE) -> Path:
    """The test set with photographs of many sizes, and its lists; returns the folder of the three folders."""
    folder = root / lists.root
    for part, names in ((lists.gallery, gallery), (lists.probe, probe), (lists.others, others)):
        for place, name in enumerate(names):
            write_photo(folder / part.folder / name, 14 + 5 * place, 17 + 4 * place)
    return write_lists(folder, gallery, probe, lists)


def write_pairs(folder: Path, positive: Iterable[tuple[str, str]], negative: Iterable[tuple[str, str]]) -> Path:
    """QMUL-SurvFace's two files of pairs: two columns of cells."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, pairs in (('positive', positive), ('negative', negative)):
        savemat(folder / f'{kind}_pairs_names.mat',
                {f'{kind}_pairs_names': _cells([name for pair in pairs for name in pair], 2)})
    return folder


def write_scface(root: Path, people: int, cameras: int = 2) -> Path:
    """SCface_database with mug shots, images of some cameras from three distances, and an infrared one."""
    for person in range(1, people + 1):
        write_photo(root / 'mugshot_frontal_cropped_all' / f'{person:03d}_frontal.JPG', 90, 120)
        for distance in (1, 2, 3):
            for camera in (*range(1, cameras + 1), 6):
                write_photo(root / f'surveillance_cameras_distance_{distance}' / f'cam_{camera}'
                            / f'{person:03d}_cam{camera}_{distance}.jpg', 20 * distance, 24 * distance)
    return root

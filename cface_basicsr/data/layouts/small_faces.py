"""TinyFace and QMUL-SurvFace: three folders of faces, and MATLAB lists of who is on those of two of them.

TinyFace: Testing_Set/{Gallery_Match, Probe, Gallery_Distractor} with two lists, and Training_Set/<person>/<image>.
QMUL-SurvFace: Face_Identification_Test_Set/{gallery, mated_probe, unmated_probe} with two lists, and, next to it,
Face_Verification_Test_Set with positive_pairs_names.mat and negative_pairs_names.mat: pairs of the same images by file
name. Some copies have the lists of a set in Face_Identification_Evaluation, next to its folder.
"""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cface_basicsr.data.layouts.folder_search import digest_of_sizes, existing_folder, find_below, sorted_entries
from cface_basicsr.data.layouts.folders import list_sources
from cface_basicsr.data.layouts.source import NOT_A_FILE, FolderPhotos, Listing, add_identity
from cface_basicsr.errors import UserError, check_known, first_few
from cface_basicsr.evaluation.listed_search import SURVFACE, TINYFACE, ListedPart, Lists, read_list
from cface_basicsr.files.image_keys import find_all_images
from cface_basicsr.files.mat_file import cell_text, read_variables
from cface_basicsr.files.named_pairs import Pair

_DEEPEST = 3
_FOLDS = 10


def list_tinyface(source: str | Path, partition: str | None = None) -> Listing:
    """The images of TinyFace's Testing_Set; key <person, five digits>/<image>, and distractor-<image> for a person.

    Args:
        source: the folder of the three folders, or a folder up to three levels above it.
        partition: 'test' (None), or 'train': those of Training_Set instead.

    Raises:
        UserError: see `_list_test_set`; or Training_Set is missing.
    """
    check_known('--partition of tinyface', partition or 'test', ('train', 'test'))
    if partition != 'train':
        return _list_test_set(source, TINYFACE)
    root = find_below(existing_folder(source, "TinyFace's Training_Set"), lambda folder: folder.name == 'Training_Set',
                      _DEEPEST, 'Training_Set', 'Training_Set folder, on any of the three levels below it either. '
                      'Give the folder of TinyFace.')
    return list_sources(root)


def list_survface(source: str | Path) -> Listing:
    """The images of QMUL-SurvFace's Face_Identification_Test_Set, with the pairs of its verification.

    The pairs are divided into ten folds of neighbours, which the official protocol does not have.

    Args:
        source: the folder of the three folders, or a folder up to three levels above it.

    Raises:
        UserError: see `_list_test_set`; or the pairs are damaged, or name other images.
    """
    listing = _list_test_set(source, SURVFACE)
    folder = Path(listing.facts['images_in']).parent / 'Face_Verification_Test_Set'
    if folder.is_dir():
        _take_named_pairs(listing, folder)
    else:
        listing.notes.append(f"'{folder}' is missing, so no pairs.csv is made.")
    return listing


def _list_test_set(source: str | Path, lists: Lists) -> Listing:
    """The images of the three folders of a search, by identity.

    Raises:
        UserError: a folder or a list is missing, a list is damaged, or it names images that its folder lacks.
    """
    parts = (lists.gallery, lists.probe, lists.others)
    expected = f"{lists.root}/{{{', '.join(part.folder for part in parts)}}}"
    root = find_below(existing_folder(source, f'{lists.name}: {expected}'),
                      lambda folder: all((folder / part.folder).is_dir() for part in parts), _DEEPEST, lists.name,
                      f'{expected}, nor do the folders in it.')
    listing, sizes = Listing(FolderPhotos(root)), {}
    for part in parts:
        names = _names(listing, root, part)
        sizes |= {f'{part.folder}/{name}': (root / part.folder / name).stat().st_size for name in names}
        if part is lists.others:
            for name in names:
                add_identity(listing, f'{part.variable}-{os.path.splitext(name)[0]}', [(name, f'{part.folder}/{name}')])
        else:
            _add_listed(listing, root, part, lists, names)
    listing.sources.sort()
    listing.digest = digest_of_sizes(sizes)
    listing.facts['images_in'] = str(root.absolute())
    counts = Counter(path.partition('/')[0] for path in sizes)
    listing.notes.insert(0, f"{len(listing.sources)} images in '{root}': "
                            f"{', '.join(f'{counts[part.folder]} in {part.folder}' for part in parts)}.")
    return listing


def _names(listing: Listing, root: Path, part: ListedPart) -> list[str]:
    """The files of one folder."""
    names = []
    for entry in sorted_entries(root / part.folder):
        if os.path.isfile(entry.path):
            names.append(entry.name)
        else:
            listing.rejected.append((f'{part.folder}/{entry.name}', NOT_A_FILE))
    return names


def _add_listed(listing: Listing, root: Path, part: ListedPart, lists: Lists, names: list[str]) -> None:
    """Add the images of a folder that has a list; what the list does not name is rejected."""
    folders = [root, root.absolute().parent / 'Face_Identification_Evaluation']
    folder = next((each for each in folders if (each / part.file).is_file()), root)
    path, (listed, identities) = folder / part.file, read_list(folder, part, lists)
    listing.files[part.variable] = path
    if absent := sorted(set(listed) - set(names)):
        raise UserError(f"'{path}' names {len(absent)} of {len(listed)} images that '{root / part.folder}' lacks, "
                        f'first {first_few(absent)}. Take lists and images from one release.')
    listing.rejected += [(f'{part.folder}/{name}', f'not in {path.name}') for name in sorted(set(names) - set(listed))]
    for person in np.unique(identities).tolist():
        own = [listed[row] for row in np.flatnonzero(identities == person)]
        add_identity(listing, f'{person:05d}', [(name, f'{part.folder}/{name}') for name in own])


def _take_named_pairs(listing: Listing, folder: Path) -> None:
    """The verification pairs, as those of pairs.csv."""
    listing.pairs = []
    keys = [source.key for source in listing.sources]
    names = [source.path for source in listing.sources]
    for kind, same in (('positive', True), ('negative', False)):
        path = folder / f'{kind}_pairs_names.mat'
        sides = _read_pairs(path, f'{kind}_pairs_names')
        rows = [find_all_images(side, names, f"'{path}'") for side in zip(*sides, strict=True)]
        listing.pairs += [Pair(keys[left], keys[right], same, place * _FOLDS // len(sides))
                          for place, (left, right) in enumerate(zip(*rows, strict=True))]
        listing.files[f'{kind}_pairs'] = path
    listing.pairs.sort(key=lambda pair: (pair.fold, not pair.same))
    listing.facts['pairs'] = {'pairs': len(listing.pairs), 'folds': _FOLDS}
    listing.notes.append(f"pairs: {len(listing.pairs)} from '{folder}', in {_FOLDS} folds of neighbours (the official "
                         'protocol has no folds).')


def _read_pairs(path: Path, variable: str) -> list[tuple[str, str]]:
    """Pairs of file names, (P, 2) cells."""
    expected = "Expected the pairs of QMUL-SurvFace's Face_Verification_Test_Set."
    cells = read_variables(path, expected, variable)[variable]
    pairs = [(cell_text(left), cell_text(right)) for left, right in _rows_of_two(cells)]
    if len(pairs) < _FOLDS or not all(map(all, pairs)):
        raise UserError(f"'{path}', {variable}: expected {_FOLDS} or more rows of two file names, got "
                        f'{cells.dtype} of shape {cells.shape}.')
    return pairs


def _rows_of_two(cells: np.ndarray) -> Iterable[np.ndarray]:
    return cells if cells.ndim == 2 and cells.shape[1] == 2 else []

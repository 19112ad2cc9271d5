"""CelebA: flat images (aligned 178x218, or in the wild), and who is on them in text files.

Its files, as text or as CSV: identity_CelebA (image, person), list_eval_partition (image; 0 train, 1 val, 2 test),
list_landmarks_align_celeba and list_landmarks_celeba (five landmarks), list_bbox_celeba (left, top, width, height; of
the images in the wild). They are looked for among the images, in the folders around them up to two above the source,
and in Anno and Eval beside. Names are compared without ending: the PNG version has the text files of the JPEG one.
"""

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from cface_basicsr.data.images.align import box_corners
from cface_basicsr.data.images.face_crop import Size
from cface_basicsr.data.layouts.annotation_table import Annotations, read_annotation_table
from cface_basicsr.data.layouts.landmarks import image_size, read_landmarks, take_landmarks
from cface_basicsr.data.layouts.source import (
    FolderPhotos,
    Listing,
    add_identity,
    digest_of_sizes,
    existing_folder,
    find_below,
    some_of,
    sorted_entries,
)
from cface_basicsr.errors import UserError

if TYPE_CHECKING:
    from cface_basicsr.data.layouts.settings import PrepareSettings

ALIGNED = (178, 218)
"""(width, height) of the aligned images."""
_PARTITIONS = ('train', 'val', 'test')
"""By their numbers in list_eval_partition."""
_FILES = {'identity': 'identity_CelebA', 'partition': 'list_eval_partition', 'boxes': 'list_bbox_celeba'}
_LANDMARKS = {True: 'list_landmarks_align_celeba', False: 'list_landmarks_celeba'}
_DEEPEST = 3
_LOOKED_AT = 16


def list_celeba(source: str | Path, settings: 'PrepareSettings') -> Listing:
    """The images of CelebA, by person.

    Args:
        source: the folder of images, or one up to three folders around it.
        settings: `partition`, `annotations`, and what the crop needs.

    Raises:
        UserError: no images, two kinds of them, a text file that is missing, cut off or for the other kind of images,
            or a crop that the images do not allow.
    """
    source = existing_folder(source, "CelebA's images, or with img_align_celeba or img_celeba")
    root = find_images(source)
    files = _Files(root, source, settings.annotations)
    listing, images = Listing(FolderPhotos(root)), {}
    for entry in sorted_entries(root):
        if entry.is_file():
            images[entry.name] = entry.stat().st_size
        else:
            listing.rejected.append((entry.name, 'is no regular file'))
    listing.digest = digest_of_sizes(images)
    _by_person(listing, _of_partition(listing, list(images), settings.partition, files), files)
    aligned = _is_aligned(root, listing)
    kind = f'aligned, {ALIGNED[0]}x{ALIGNED[1]}' if aligned else 'in the wild'
    listing.facts |= {'images_in': str(root.absolute()), 'kind': kind, 'partition': settings.partition or 'all'}
    listing.notes.insert(0, f"{len(listing.sources)} images in '{root}' ({kind}), partition "
                            f'{settings.partition or "all"}.')
    _take_places(listing, aligned, settings, files)
    return listing


class _Files:
    """Finds CelebA's text files; notes in a listing which were read."""

    def __init__(self, root: Path, source: Path, named: Path | None) -> None:
        around = [root, *(folder for folder in root.parents if folder.is_relative_to(source)),
                  *source.absolute().parents[:2]]
        below = [folder / name for folder in around for name in ('Anno', 'Eval')]
        self.folders = [named, named / 'Anno', named / 'Eval'] if named else [*around, *below]
        self.named = named or source

    def find(self, stem: str) -> Path:
        """
        Raises:
            UserError: there is no such file.
        """
        for folder in self.folders:
            for ending in ('.txt', '.csv'):
                if (path := folder / (stem + ending)).is_file():
                    return path
        raise UserError(f"CelebA's {stem}.txt is missing: looked in '{self.named}', around it, in Anno and Eval.\n"
                        'Put it there, or name its folder by --annotations.')

    def table(self, listing: Listing, part: str, columns: tuple[str, ...]) -> Annotations:
        """One of the files as a table by names without ending."""
        listing.files[part] = self.find(_FILES[part])
        return _without_endings(read_annotation_table(listing.files[part], columns))


def find_images(source: Path) -> Path:
    """The folder of images.

    Raises:
        UserError: there is none within three folders, or there are several.
    """
    return find_below(source, _holds_images, _DEEPEST, 'images of CelebA', 'images called 000001.jpg, nor has a folder '
                      "in it. Expected CelebA's img_align_celeba or img_celeba.")


def _holds_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(re.fullmatch(r'\d{6}\.(jpe?g|png)', entry.name, re.IGNORECASE) and entry.is_file()
                   for entry in entries)


def _of_partition(listing: Listing, images: list[str], partition: str | None, files: _Files) -> list[str]:
    """The images of one partition, or all."""
    if partition in (None, 'all'):
        return images
    numbers = files.table(listing, 'partition', ('partition',))
    wanted = _PARTITIONS.index(partition)
    path = listing.files['partition']
    if odd := {value for (value,) in numbers.values()} - {0, 1, 2}:
        raise UserError(f"'{path}': expected 0 (train), 1 (val) or 2 (test), came {min(odd):g}.")
    listing.rejected += [(name, f'not in {path.name}') for name in images if _stem(name) not in numbers]
    chosen = [name for name in images if numbers.get(_stem(name)) == (wanted,)]
    lacking = {stem for stem, (value,) in numbers.items() if value == wanted} - {_stem(name) for name in chosen}
    _note_lacking(listing, lacking, f"of '{path}', partition {partition}")
    if not chosen:
        raise UserError(f"no image of the folder is in partition {partition} of '{path}'.")
    return chosen


def _note_lacking(listing: Listing, lacking: set[str], whose: str) -> None:
    if lacking:
        listing.facts['images_lacking'] = sorted(lacking)
        listing.notes.append(f'{len(lacking)} images {whose}, are not in the folder: {some_of(lacking)}. Unpack the '
                             'archive again if it should be whole.')


def _by_person(listing: Listing, images: list[str], files: _Files) -> None:
    """Make sources of the images; the key is <person, five digits>/<image>."""
    people = files.table(listing, 'identity', ('identity',))
    path = listing.files['identity']
    of_person: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in images:
        if (person := people.get(_stem(name))) is None:
            listing.rejected.append((name, f'not in {path.name}'))
        else:
            of_person[f'{person[0]:05.0f}'].append((name, name))
    for person, names in sorted(of_person.items()):
        add_identity(listing, person, names)
    if not listing.sources:
        raise UserError(f"'{path}' names none of the {len(images)} images, for example not {images[0]}.")
    if 'partition' not in listing.files:
        _note_lacking(listing, people.keys() - {_stem(name) for name in images}, f"of '{path}'")
    listing.sources.sort()


def _is_aligned(root: Path, listing: Listing) -> bool:
    """Whether the images are CelebA's aligned ones, by their size.

    Raises:
        UserError: the folder is called so, and they are not.
    """
    looked_at = listing.sources[::max(1, len(listing.sources) // _LOOKED_AT)][:_LOOKED_AT]
    sizes = {size: source.path for source in looked_at if (size := image_size(listing.photos, source))}
    odd = sizes.keys() - {ALIGNED}
    if odd and root.name.startswith('img_align_celeba'):
        width, height = min(odd)
        raise UserError(f"'{root}/{sizes[width, height]}' has {width}x{height} pixels, CelebA's aligned images have "
                        f'{ALIGNED[0]}x{ALIGNED[1]}.\nTake the original archive.')
    return not odd


def _take_places(listing: Listing, aligned: bool, settings: 'PrepareSettings', files: _Files) -> None:
    """Where the faces are, as the crop wants it.

    Raises:
        UserError: the images do not allow the crop, or landmarks of the other kind of images were named.
    """
    if settings.crop == 'center' and not aligned:
        raise UserError("--crop center: the middle of CelebA's images in the wild need not hold the face.\n"
                        'Take --crop align or --crop box, or the images of img_align_celeba.')
    if settings.crop == 'box':
        _take_boxes(listing, aligned, settings.size, files)
    if settings.landmarks and settings.landmarks.stem == _LANDMARKS[not aligned]:
        raise UserError(f"'{settings.landmarks}' is for images of another size: these are "
                        f"{'aligned' if aligned else 'in the wild'}, and have {_LANDMARKS[aligned]}.txt.")
    if settings.crop == 'align' and not settings.weights and not settings.landmarks:
        path = files.find(_LANDMARKS[aligned])
        stems = _without_endings(read_landmarks(path))
        take_landmarks(listing, {source.path: stems[_stem(source.path)] for source in listing.sources
                                 if _stem(source.path) in stems}, path)


def _take_boxes(listing: Listing, aligned: bool, size: Size, files: _Files) -> None:
    if aligned:
        raise UserError('--crop box: list_bbox_celeba.txt is for the images in the wild, and these are the aligned '
                        'ones.\nTake --crop center or --crop align.')
    boxes = files.table(listing, 'boxes', ('x_1', 'y_1', 'width', 'height'))
    kept = []
    for source in listing.sources:
        box = boxes.get(_stem(source.path))
        if box is None or min(box[2:]) < 1:
            reason = 'no box' if box is None else f'an empty box ({box[2]:g}x{box[3]:g})'
            listing.rejected.append((source.path, f"{reason} in {listing.files['boxes'].name}"))
        else:
            kept.append(source._replace(points=tuple(box_corners(box, size).ravel().tolist())))
    listing.sources = kept


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _without_endings(table: Annotations) -> Annotations:
    return {_stem(name): values for name, values in table.items()}

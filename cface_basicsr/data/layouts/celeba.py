"""CelebA: one folder of images (aligned 178x218, or in the wild), and text files about them.

The files, as text or CSV: identity_CelebA (image, identity), list_eval_partition (image; 0 train, 1 val, 2 test),
list_landmarks_align_celeba and list_landmarks_celeba (five landmarks), list_bbox_celeba (left, top, width, height; for
the images in the wild). They are looked for in the folder of images, in the folders above it up to two levels above
the source, and in the subfolders Anno and Eval of all these. Names are compared without their endings, because the PNG
version comes with the text files of the JPEG version.
"""

import os
import re
from collections import defaultdict
from pathlib import Path

from cface_basicsr.data.images.align import box_corners
from cface_basicsr.data.images.face_crop import Size
from cface_basicsr.data.layouts.annotation_table import Annotations, read_annotation_table
from cface_basicsr.data.layouts.folder_search import digest_of_sizes, existing_folder, find_below, sorted_entries
from cface_basicsr.data.layouts.landmarks import assign_landmarks, image_size, read_landmarks
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.data.layouts.source import NOT_A_FILE, FolderPhotos, Listing, add_identity
from cface_basicsr.errors import UserError, first_few

ALIGNED = (178, 218)
"""(width, height) of the aligned images."""
_PARTITIONS = ('train', 'val', 'test')
"""In the order of their numbers in list_eval_partition."""
_FILES = {'identity': 'identity_CelebA', 'partition': 'list_eval_partition', 'boxes': 'list_bbox_celeba'}
_LANDMARKS = {True: 'list_landmarks_align_celeba', False: 'list_landmarks_celeba'}
_DEEPEST = 3
_SAMPLE = 16
"""Number of images whose size is read to tell aligned images from images in the wild."""


def list_celeba(source: str | Path, settings: 'PrepareSettings') -> Listing:
    """The images of CelebA, by identity.

    Args:
        source: the folder of images, or a folder up to three levels above it.
        settings: `partition`, `annotations`, and what the crop needs.

    Raises:
        UserError: there are no images, or both kinds; a text file is missing, truncated or for the other kind of
            images; or the crop does not suit the images.
    """
    source = existing_folder(source, "CelebA's images, or with img_align_celeba or img_celeba")
    root = find_below(source, _holds_images, _DEEPEST, 'images of CelebA', 'images called 000001.jpg, nor do the '
                      "folders in it. Expected CelebA's img_align_celeba or img_celeba.")
    files = _Files(root, source, settings.annotations)
    listing, images = Listing(FolderPhotos(root)), {}
    for entry in sorted_entries(root):
        if os.path.isfile(entry.path):
            images[entry.name] = os.path.getsize(entry.path)
        else:
            listing.rejected.append((entry.name, NOT_A_FILE))
    listing.digest = digest_of_sizes(images)
    _add_by_identity(listing, _of_partition(listing, list(images), settings.partition, files), files)
    aligned = _is_aligned(root, listing)
    kind = f'aligned, {ALIGNED[0]}x{ALIGNED[1]}' if aligned else 'in the wild'
    partition = settings.partition or 'all'
    listing.facts |= {'images_in': str(root.absolute()), 'kind': kind, 'partition': partition}
    listing.notes.insert(0, f"{len(listing.sources)} images in '{root}' ({kind}), partition {partition}.")
    _locate_faces(listing, aligned, settings, files)
    return listing


class _Files:
    """Finds and reads CelebA's text files."""

    def __init__(self, root: Path, source: Path, named: Path | None) -> None:
        around = [root, *(folder for folder in root.parents if folder.is_relative_to(source)),
                  *source.absolute().parents[:2]]
        below = [folder / name for folder in around for name in ('Anno', 'Eval')]
        self.folders = [named, named / 'Anno', named / 'Eval'] if named else [*around, *below]
        self.named = named or source

    def find(self, stem: str, instead: str = '') -> Path:
        """The path of a text file.

        Args:
            stem: its name without the ending.
            instead: what helps too, for the message.

        Raises:
            UserError: it is missing.
        """
        for folder in self.folders:
            for ending in ('.txt', '.csv'):
                if (path := folder / (stem + ending)).is_file():
                    return path
        raise UserError(f"CelebA's {stem}.txt is missing: it is not in '{self.named}' or the folders around it, nor in "
                        f'their Anno and Eval.\nPut it there, or name its folder with --annotations{instead}.')

    def table(self, listing: Listing, part: str, columns: tuple[str, ...]) -> Annotations:
        """One of the files, which is entered in the listing, as a table by names without endings."""
        listing.files[part] = self.find(_FILES[part])
        return _without_endings(read_annotation_table(listing.files[part], columns))



def _holds_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(re.fullmatch(r'\d{6}\.(jpe?g|png)', entry.name, re.IGNORECASE) and os.path.isfile(entry.path)
                   for entry in entries)


def _of_partition(listing: Listing, images: list[str], partition: str | None, files: _Files) -> list[str]:
    """The images of one partition, or all."""
    if partition in (None, 'all'):
        return images
    numbers = files.table(listing, 'partition', ('partition',))
    wanted = _PARTITIONS.index(partition)
    path = listing.files['partition']
    if odd := {value for (value,) in numbers.values()} - {0, 1, 2}:
        raise UserError(f"'{path}': expected 0 (train), 1 (val) or 2 (test), got {min(odd):g}.")
    listing.rejected += [(name, f'not in {path.name}') for name in images if _stem(name) not in numbers]
    chosen = [name for name in images if numbers.get(_stem(name)) == (wanted,)]
    missing = {stem for stem, (value,) in numbers.items() if value == wanted} - {_stem(name) for name in chosen}
    _note_missing(listing, missing, f"in '{path}', partition {partition}")
    if not chosen:
        raise UserError(f"no image in the folder belongs to partition {partition} of '{path}'.")
    return chosen


def _note_missing(listing: Listing, missing: set[str], where: str) -> None:
    if missing:
        listing.facts['images_lacking'] = sorted(missing)
        listing.notes.append(f'{len(missing)} images {where}, are not in the folder: {first_few(sorted(missing))}. '
                             'Unpack the archive again if the set should be complete.')


def _add_by_identity(listing: Listing, images: list[str], files: _Files) -> None:
    """Add the images as sources; the key is <identity, five digits>/<image>."""
    identities = files.table(listing, 'identity', ('identity',))
    path = listing.files['identity']
    names: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in images:
        if (identity := identities.get(_stem(name))) is None:
            listing.rejected.append((name, f'not in {path.name}'))
        else:
            names[f'{identity[0]:05.0f}'].append((name, name))
    for identity, own in sorted(names.items()):
        add_identity(listing, identity, own)
    if not listing.sources:
        raise UserError(f"'{path}' names none of the {len(images)} images; {images[0]}, for example, is not in it.")
    if 'partition' not in listing.files:
        _note_missing(listing, identities.keys() - {_stem(name) for name in images}, f"in '{path}'")
    listing.sources.sort()


def _is_aligned(root: Path, listing: Listing) -> bool:
    """Whether the images are CelebA's aligned ones, judging by the size of a sample.

    Raises:
        UserError: the folder's name says that they are, but their size does not.
    """
    sample = listing.sources[::max(1, len(listing.sources) // _SAMPLE)][:_SAMPLE]
    sizes = {size: source.path for source in sample if (size := image_size(listing.photos, source))}
    odd = sizes.keys() - {ALIGNED}
    if odd and root.name.startswith('img_align_celeba'):
        width, height = min(odd)
        raise UserError(f"'{root}/{sizes[width, height]}' has {width}x{height} pixels, but CelebA's aligned images "
                        f'have {ALIGNED[0]}x{ALIGNED[1]}.\nUse the original archive.')
    return not odd


def _locate_faces(listing: Listing, aligned: bool, settings: 'PrepareSettings', files: _Files) -> None:
    """Give the sources the points that the crop needs.

    Raises:
        UserError: the crop does not suit the images, or the landmarks are for the other kind of images.
    """
    if settings.crop == 'center' and not aligned:
        raise UserError("--crop center: in CelebA's images in the wild the face need not be in the middle.\n"
                        'Use --crop align or --crop box, or the images of img_align_celeba.')
    if settings.crop == 'box':
        _assign_boxes(listing, aligned, settings.size, files)
    if settings.landmarks and settings.landmarks.stem == _LANDMARKS[not aligned]:
        raise UserError(f"'{settings.landmarks}' is for images of another size: these are "
                        f"{'aligned' if aligned else 'in the wild'}, and {_LANDMARKS[aligned]}.txt belongs to them.")
    if settings.crop == 'align' and not settings.weights and not settings.landmarks:
        path = files.find(_LANDMARKS[aligned], ', or have a detector find the landmarks: --weights DIR')
        stems = _without_endings(read_landmarks(path))
        assign_landmarks(listing, {source.path: stems[_stem(source.path)] for source in listing.sources
                                   if _stem(source.path) in stems}, path)


def _assign_boxes(listing: Listing, aligned: bool, size: Size, files: _Files) -> None:
    if aligned:
        raise UserError('--crop box is for the images in the wild; for the aligned ones use --crop center or align.')
    boxes = files.table(listing, 'boxes', ('x_1', 'y_1', 'width', 'height'))
    kept = []
    for source in listing.sources:
        box = boxes.get(_stem(source.path))
        if box is None or min(box[2:]) < 1:
            reason = 'no box' if box is None else f'empty box ({box[2]:g}x{box[3]:g})'
            listing.rejected.append((source.path, f"{reason} in {listing.files['boxes'].name}"))
        else:
            kept.append(source._replace(points=tuple(box_corners(box, size).ravel().tolist())))
    listing.sources = kept


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _without_endings(table: Annotations) -> Annotations:
    return {_stem(name): values for name, values in table.items()}

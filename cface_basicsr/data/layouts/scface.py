"""SCface: mug shots, and images of five cameras for visible light from three distances.

SCface_database/mugshot_frontal_cropped_all/001_frontal.jpg, and surveillance_cameras_distance_1 to 3, each with
cam_1/001_cam1_1.jpg and so on (or without these folders); distances 1 to 3 are 4.20, 2.60 and 1.00 m. The files of
coordinates are given by --landmarks. Infrared images and the other poses are not listed.
"""

import os
import re
from collections import defaultdict
from pathlib import Path

from cface_basicsr.data.layouts.folder_search import digest_of_sizes, existing_folder, find_below, sorted_entries
from cface_basicsr.data.layouts.source import FolderPhotos, Listing, add_identity
from cface_basicsr.errors import UserError

_DEEPEST = 3
_MUGSHOTS = 'mugshot_frontal_cropped_all'
_NAMES = {_MUGSHOTS: ('001_frontal.jpg', r'(\d{3})_frontal'),
          **{f'surveillance_cameras_distance_{each}': (f'001_cam1_{each}.jpg', rf'(\d{{3}})_cam[1-5]_{each}')
             for each in (1, 2, 3)}}
"""Folder -> an example of the names of its images, and what they are like without the ending."""


def list_scface(source: str | Path) -> Listing:
    """The images of SCface by person; the key is 001/001_frontal, 001/001_cam1_2.

    Args:
        source: the folder of the four folders, or a folder up to three levels above it.

    Raises:
        UserError: a folder is missing, or has no images of these names.
    """
    root = find_below(existing_folder(source, f'{_MUGSHOTS} and surveillance_cameras_distance_1 to 3'),
                      lambda folder: all((folder / name).is_dir() for name in _NAMES), _DEEPEST, 'SCface',
                      f'{_MUGSHOTS} and surveillance_cameras_distance_1 to 3, nor do the folders in it. Expected '
                      'SCface_database.')
    listing, sizes, people = Listing(FolderPhotos(root)), {}, defaultdict(list)
    for folder, (example, pattern) in _NAMES.items():
        found = 0
        for path in _files(root, folder):
            name = path.rpartition('/')[2]
            if match := re.fullmatch(pattern, os.path.splitext(name)[0], re.IGNORECASE):
                people[match[1]].append((name, path))
                sizes[path], found = (root / path).stat().st_size, found + 1
            else:
                listing.rejected.append((path, 'is neither a mug shot nor from cameras 1 to 5 at this distance'))
        if not found:
            raise UserError(f"'{root / folder}' has no images such as {example}. Expected those of SCface.")
    for person, images in sorted(people.items()):
        add_identity(listing, person, images)
    listing.sources.sort()
    listing.digest = digest_of_sizes(sizes)
    listing.facts['images_in'] = str(root.absolute())
    listing.notes.append(f"{len(listing.sources)} images of {len(people)} people in '{root}'.")
    return listing


def _files(root: Path, folder: str) -> list[str]:
    """The files of a folder and of the folders in it, relative to the root."""
    files = []
    for entry in sorted_entries(root / folder):
        path = f'{folder}/{entry.name}'
        files += [f'{path}/{each.name}' for each in sorted_entries(entry.path)] if os.path.isdir(entry.path) else [path]
    return files

"""Any tree of folders in which one folder per path is an identity: VGGFace2, FaceScrub, YouTube Faces, users' own.

If all images are at <identity>/<image>, this is CASIA-WebFace's layout. In deeper trees, one of two folders may be the
identity: the first below the source (YouTube Faces: <identity>/<video>/<image>) or the last, which holds the image
(FaceScrub: <actors or actresses>/<identity>/<image>; VGGFace2: <train or test>/<identity>/<image>). Which one it is,
is never guessed. The other folders become part of the image's name: 'b/c/1.jpg' is image 'c/1' of identity b, or image
'b/1' of identity c.
"""

import os
from collections import defaultdict
from pathlib import Path

from cface_basicsr.data.generated_faces.tree import SETTINGS
from cface_basicsr.data.layouts.source import (
    NOT_A_FILE,
    OUTSIDE,
    FolderPhotos,
    Listing,
    add_identity,
    digest_of_sizes,
    existing_folder,
)
from cface_basicsr.errors import UserError


def list_folders(root: str | Path, *, identity: str | None = None) -> Listing:
    """All files of a tree.

    Args:
        root: the source folder.
        identity: which folder of a longer path is the identity, 'first' or 'last'; None: no path may be longer.

    Raises:
        UserError: the folder is missing or has no images in folders, or a path is longer and `identity` is None.
    """
    root = existing_folder(root)
    listing, sizes = Listing(FolderPhotos(root)), {}
    identities: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path in _walk(root, listing):
        *folders, name = path.split('/')
        if not folders:
            if name != SETTINGS:
                listing.rejected.append((path, OUTSIDE))
            continue
        own, rest = _split(root, folders, identity)
        identities[own].append(('/'.join([*rest, name]), path))
        sizes[path] = (root / path).stat().st_size
    for own, images in sorted(identities.items()):
        add_identity(listing, own, images)
    if not listing.sources:
        raise UserError(f"source folder '{root}' has no <identity>/<image> files. Expected one folder per person.")
    listing.sources.sort()
    listing.digest = digest_of_sizes(sizes)
    return listing


def _walk(root: Path, listing: Listing) -> list[str]:
    """Relative paths of all files below a folder, sorted; empty folders are rejected. Links to folders are followed."""
    paths = []
    for place, folders, files in os.walk(root, followlinks=True):
        folders.sort()
        below = os.path.relpath(place, root)
        if not folders and not files and below != '.':
            listing.rejected.append((f'{below}/', 'empty identity: no files'))
        for name in files:
            path = name if below == '.' else f'{below}/{name}'
            if os.path.isfile(os.path.join(root, path)):
                paths.append(path)
            else:
                listing.rejected.append((path, NOT_A_FILE))
    return sorted(paths)


def _split(root: Path, folders: list[str], identity: str | None) -> tuple[str, list[str]]:
    """The identity of a path, and its other folders."""
    if len(folders) > 1 and identity is None:
        raise UserError(f"'{root}' has images deeper than <identity>/<image>, for example in '{'/'.join(folders)}'.\n"
                        f"Say which folder is the person: --identity first ('{folders[0]}') or --identity last "
                        f"('{folders[-1]}').")
    return (folders[-1], folders[:-1]) if identity == 'last' else (folders[0], folders[1:])

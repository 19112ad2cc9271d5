"""Trees of folders in which one folder per path is an identity: CASIA-WebFace, VGGFace2, FaceScrub, users' own.

In CASIA-WebFace's layout all images are at <identity>/<image>. In deeper trees, one of two folders may be the
identity: the first below the source (YouTube Faces: <identity>/<video>/<image>) or the last, which holds the image
(FaceScrub: <actors or actresses>/<identity>/<image>; VGGFace2: <train or test>/<identity>/<image>). Which one it is,
is never guessed. The other folders become part of the image's name: 'b/c/1.jpg' is image 'c/1' of identity b, or image
'b/1' of identity c.
"""

import os
from collections import defaultdict
from pathlib import Path

from cface_basicsr.data.generated_faces.tree import SETTINGS
from cface_basicsr.data.layouts.folder_search import LEADS_BACK, digest_of_sizes, existing_folder, leads_back
from cface_basicsr.data.layouts.source import NOT_A_FILE, OUTSIDE, FolderPhotos, Listing, add_identity, counted
from cface_basicsr.errors import UserError


def list_sources(root: str | Path) -> Listing:
    """All files of a folder in the layout <identity>/<image file>; deeper folders are rejected.

    Raises:
        UserError: the folder is missing or has no identity folders.
    """
    return list_folders(root, deeper=False)


def list_folders(root: str | Path, *, identity: str | None = None, deeper: bool = True) -> Listing:
    """All files of a tree.

    Args:
        root: the source folder.
        identity: which folder of a longer path is the identity, 'first' or 'last'; None: no path may be longer.
        deeper: False: files in deeper folders are rejected.

    Raises:
        UserError: the folder is missing or has no images in folders, or a path is longer and `identity` is None.
    """
    root = existing_folder(root)
    listing, sizes = Listing(FolderPhotos(root)), {}
    identities: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path in _walk(root, listing, deeper):
        *folders, name = path.split('/')
        if not folders:
            if name != SETTINGS:  # the file in which `cface synth` records its settings
                listing.rejected.append((path, OUTSIDE))
            continue
        own, rest = _split(root, folders, identity)
        identities[own].append(('/'.join([*rest, name]), path))
        sizes[path] = (root / path).stat().st_size
    for own, images in sorted(identities.items()):
        add_identity(listing, own, images)
    if not listing.sources:
        there = f'\nWhat is there: {counted(listing.rejected)}.' if listing.rejected else ''
        raise UserError(f"'{root}' has no <identity>/<image> files, one folder per person as in CASIA-WebFace.{there}")
    listing.sources.sort()
    listing.digest = digest_of_sizes(sizes)
    return listing


def _walk(root: Path, listing: Listing, deeper: bool) -> list[str]:
    """Relative paths of all files below a folder, sorted. Links to folders are followed, unless they are in them.

    Folders that are empty or cannot be read, and links that lead back, are rejected.

    Args:
        deeper: whether to look into the folders of identity folders; otherwise they are rejected.
    """
    paths = []
    def unreadable(error: OSError) -> None:
        listing.rejected.append((f'{os.path.relpath(error.filename, root)}/', f'cannot be read ({error.strerror})'))

    for place, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        below = '' if place == str(root) else f'{os.path.relpath(place, root)}/'
        back = [name for name in folders if leads_back(os.path.join(place, name))]
        listing.rejected += [(below + name, LEADS_BACK) for name in back]
        folders[:] = sorted(set(folders) - set(back))
        if below and not deeper:
            listing.rejected += [(below + name, 'is deeper than <identity>/<image>') for name in folders]
            folders.clear()
        files = [name for name in names if os.path.isfile(os.path.join(place, name))]
        paths += [below + name for name in files]
        listing.rejected += [(below + name, NOT_A_FILE) for name in sorted(set(names) - set(files))]
        if below and not folders and not files:
            listing.rejected.append((below, 'empty identity: no files'))
    return sorted(paths)


def _split(root: Path, folders: list[str], identity: str | None) -> tuple[str, list[str]]:
    """The identity of a path, and its other folders."""
    if len(folders) > 1 and identity is None:
        raise UserError(f"'{root}' has images deeper than <identity>/<image>, for example in '{'/'.join(folders)}'.\n"
                        f"Say which one is the person: --identity first ('{folders[0]}') or last ('{folders[-1]}').")
    return (folders[-1], folders[:-1]) if identity == 'last' else (folders[0], folders[1:])

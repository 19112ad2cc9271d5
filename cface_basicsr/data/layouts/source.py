"""Source photographs, the keys they get, and CASIA-WebFace's layout; the other layouts: see `layouts.py`.

BasicSR cuts a key at its first dot, encodes it as ASCII, and names validation pictures after it. So a key is
'<identity>/<image>' with every other character than A-Z a-z 0-9 _ - escaped as %XX (its UTF-8 bytes). The rule never
gives two files one key; original names are kept in identities.csv.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote

from cface_basicsr.data.generated_faces.tree import SETTINGS
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.errors import UserError

LONGEST_PART = 100
"""Characters of each half of a key: BasicSR makes file names of at most 255 bytes from '<identity>__<image>'."""
_LONGEST_ENDING = 30


class Source(NamedTuple):
    """One thing that may be a photograph.

    Attributes:
        key: '<identity>/<image>'.
        path: its name for people: the path below the source folder, or the place in an archive.
        place: where an archive has it; for its `Photos` alone.
        points: x1, y1, x2, y2 … in its pixels, for a crop that is told where the face is: the five landmarks of
            `align`, the four corners of `box`.
    """

    key: str
    path: str
    place: Any = None
    points: tuple[float, ...] | None = None


class Photos(Protocol):
    """Where the bytes of photographs come from. Cheap to pickle: it travels to the packing processes."""

    def read(self, source: Source) -> bytes:
        """The encoded photograph.

        Raises:
            Rejected: it cannot be read; with the reason.
        """


@dataclass(frozen=True)
class FolderPhotos:
    """Photographs that are files below a folder."""

    root: Path

    def read(self, source: Source) -> bytes:
        """The bytes of the file."""
        try:
            return (self.root / source.path).read_bytes()
        except OSError as error:
            raise Rejected(f'cannot be read ({error.strerror})') from error


class Pair(NamedTuple):
    """Two keys to verify, whether they are one person, and the fold (from 0)."""

    left: str
    right: str
    same: bool
    fold: int


@dataclass
class Listing:
    """What a source holds.

    Attributes:
        photos: gives the bytes of the sources.
        sources: sorted by key.
        rejected: (path, reason) of everything that is no candidate.
        renamed: sources whose key is not simply their name, where names are meant to become keys.
        digest: SHA-256 of the paths and sizes (an archive's: see its layout): the same listing, the same digest.
        files: what was read beside the photographs, by the part it plays ('pairs', 'landmarks' …).
        notes: sentences on what was read, and on what does not fit.
        facts: the same as values, for the manifest.
        pairs: what pairs.csv is to hold; None: none is made.
        knows_people: photographs of one person share an identity; False: each stands alone.
    """

    photos: Photos
    sources: list[Source] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[Source] = field(default_factory=list)
    digest: str = ''
    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    pairs: list[Pair] | None = None
    knows_people: bool = True


def escape(name: str, longest: int = LONGEST_PART) -> str:
    """A name as one half of a key; injective.

    >>> escape('img.0'), escape('a__b_')
    ('img%2E0', 'a%5F%5Fb%5F')
    """
    escaped = quote(os.fsencode(name), safe='').replace('.', '%2E').replace('~', '%7E')
    # '/' of a key becomes '__' in the name of a picture; a half with '__' of its own would make that ambiguous.
    escaped = re.sub('__+|_$', lambda match: '%5F' * len(match[0]), escaped)
    if len(escaped) > longest:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        escaped = f'{escaped[:longest - 18]}++{digest}'
    return escaped


def identity_name(key: str) -> str:
    """The identity of a key as it was called; over-long names stay cut."""
    return unquote(key.split('/')[0], errors='surrogateescape')


def list_sources(root: str | Path) -> Listing:
    """All files of a folder in the layout <identity>/<image file>.

    Files that share a stem ('1.jpg', '1.png') get their ending into the key ('1+jpg'); '+' occurs in no other key.

    Raises:
        UserError: the folder is missing or has no identity folders.
    """
    root = existing_folder(root)
    listing = Listing(FolderPhotos(root))
    sizes: dict[str, int] = {}
    for identity in sorted_entries(root):
        if identity.is_dir():
            _list_identity(identity, listing, sizes)
        elif identity.name != SETTINGS:  # `cface synth`'s own note of what it drew
            listing.rejected.append((identity.name, OUTSIDE))
    if not listing.sources:
        raise UserError(f"source folder '{root}' has no <identity>/<image> files. Expected one folder a person, as "
                        'in CASIA-WebFace.')
    listing.sources.sort()
    listing.digest = digest_of_sizes(sizes)
    return listing


OUTSIDE = 'lies outside of an identity folder'
"""Why a loose file is rejected."""


def existing_folder(root: str | Path, expected: str = '<identity>/<image> files') -> Path:
    """A source folder.

    Args:
        expected: what it should hold, for the error.

    Raises:
        UserError: it is missing.
    """
    if not Path(root).is_dir():
        raise UserError(f"source folder '{root}' is missing. Expected a folder with {expected}.")
    return Path(root)


def sorted_entries(folder: str | Path) -> Iterator[os.DirEntry]:
    """What lies in a folder, by name."""
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _list_identity(identity: os.DirEntry, listing: Listing, sizes: dict[str, int]) -> None:
    names = []
    for entry in sorted_entries(identity.path):
        path = f'{identity.name}/{entry.name}'
        if entry.is_file():
            names.append(entry.name)
            sizes[path] = entry.stat().st_size
        else:
            listing.rejected.append((path, 'lies deeper than <identity>/<image>' if entry.is_dir() else
                                     'is no regular file'))
    if not names:
        listing.rejected.append((f'{identity.name}/', 'empty identity: no files'))
    add_identity(listing, identity.name, [(name, f'{identity.name}/{name}') for name in names])


def add_identity(listing: Listing, identity: str, images: Iterable[tuple[str, str]]) -> None:
    """Add the photographs of one person, as (name with ending, path below the source folder).

    A name may hold '/' where images lie in further folders; it becomes %2F, and is not counted as renamed by that.
    """
    images = list(images)
    stems = Counter(os.path.splitext(name)[0] for name, _ in images)
    for name, path in images:
        stem, ending = os.path.splitext(name)
        source = Source(_key(identity, stem, ending, stems[stem] > 1), path)
        listing.sources.append(source)
        if source.key.replace('%2F', '/') != f'{identity}/{stem}':
            listing.renamed.append(source)


def _key(identity: str, stem: str, ending: str, shared: bool) -> str:
    """'<identity>/<image>'; a stem that several files share takes the ending with it."""
    suffix = f'+{escape(ending[1:], _LONGEST_ENDING)}' if shared else ''
    return f'{escape(identity)}/{escape(stem)}{suffix}'


def digest_of_sizes(sizes: dict[str, int]) -> str:
    """SHA-256 of paths and sizes."""
    digest = hashlib.sha256()
    for path, size in sorted(sizes.items()):
        digest.update(os.fsencode(path) + b'\0%d\n' % size)
    return digest.hexdigest()


def find_below(source: Path, holds: Callable[[Path], bool], deepest: int, what: str, expected: str) -> Path:
    """The folder that holds a data set: `source` or one below it, the nearest level first.

    Args:
        holds: whether a folder is it.
        deepest: levels to look below `source`.
        what, expected: for the messages: the data set's name, and what such a folder has.

    Raises:
        UserError: there is none, or there are several on one level.
    """
    level, found = [source], []
    for _ in range(deepest + 1):
        if found := [folder for folder in level if holds(folder)]:
            break
        level = [Path(entry.path) for folder in level for entry in sorted_entries(folder) if entry.is_dir()]
    if not found:
        raise UserError(f"'{source}' has no {expected}")
    if len(found) > 1:
        raise UserError(f"'{source}' holds {what} {len(found)} times: "
                        f'{some_of(str(folder) for folder in found)}.\nName one of them.')
    return found[0]


def some_of(names: Iterable[str], most: int = 3) -> str:
    """The first few of some names, for a sentence.

    >>> some_of(['b', 'a', 'c', 'd'])
    'a, b, c …'
    """
    names = sorted(names)
    return ', '.join(names[:most]) + (' …' if len(names) > most else '')

"""Source photographs and the keys they get (`files.image_keys`); `listing.py` has the layouts."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.errors import UserError
from cface_basicsr.files.image_keys import escape
from cface_basicsr.files.named_pairs import Pair
from cface_basicsr.files.text_file import read_whole

_LONGEST_ENDING = 30


class Source(NamedTuple):
    """A photograph, or a file that may be one.

    Attributes:
        key: '<identity>/<image>'.
        path: its name in messages: its path relative to the source folder, or the place in an archive.
        place: where it is in an archive, as the arguments of `ArchivePhotos.image`.
        points: x1, y1, x2, y2 … in pixels, for a crop that is told where the face is: the five landmarks for `align`,
            the four corners for `box`.
    """

    key: str
    path: str
    place: tuple[int, ...] = ()
    points: tuple[float, ...] | None = None


class Photos(Protocol):
    """Where the bytes of photographs come from. Cheap to pickle, because it is sent to the packing processes."""

    def read(self, source: Source) -> bytes:
        """The encoded photograph.

        Raises:
            Rejected: it cannot be read.
        """


@dataclass(frozen=True)
class FolderPhotos:
    """Photographs that are files below a folder."""

    root: Path

    def read(self, source: Source) -> bytes:
        """The bytes of the file."""
        try:
            return read_whole(self.root / source.path, 'It was there at the start.')
        except OSError as error:
            raise Rejected(f'cannot be read ({error.strerror})') from error
        except UserError as error:
            raise Rejected(str(error)) from error


@dataclass(frozen=True)
class ArchivePhotos:
    """Photographs in an archive.

    Attributes:
        image: gives the encoded image at the `place` of a source.
    """

    image: Callable[..., bytes]

    def read(self, source: Source) -> bytes:
        """The encoded image, as it was stored."""
        try:
            return self.image(*source.place)
        except UserError as error:
            raise Rejected(str(error).replace('\n', ' ')) from error


@dataclass
class Listing:
    """What a source holds.

    Attributes:
        photos: gives the bytes of the sources.
        sources: sorted by key.
        rejected: (path, reason) of everything that cannot be a photograph.
        renamed: sources whose key differs from their name, where names are meant to become keys.
        digest: SHA-256 of the paths and sizes (for archives see their layouts); equal for equal listings.
        files: the files that were read besides the photographs, by their role ('pairs', 'landmarks' …).
        notes: sentences about what was read, and what does not fit.
        facts: the same as values, for the manifest.
        pairs: the content of pairs.csv; None: no such file is made.
        has_identities: photographs of the same person share an identity; False: each is an identity of its own.
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
    has_identities: bool = True


OUTSIDE = 'is not in an identity folder'
NOT_A_FILE = 'is not a regular file'
"""Reasons for rejecting what cannot be a photograph."""


def counted(rejected: Sequence[tuple[str, str]]) -> str:
    """How often the most frequent kinds of reasons occur, each with an example; numbers in them make no other kind.

    >>> counted([('a/1.pgm', '92x112 pixels, smaller than the 128x128 crop'), ('b/1.txt', 'not an image')])
    '1 of 2: 92x112 pixels, smaller than the 128x128 crop (a/1.pgm); 1 of 2: not an image (b/1.txt)'
    """
    kinds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, reason in rejected:
        kinds[re.sub(r'[\d.]+| \(.*', '', reason)].append((path, reason))
    often = sorted(kinds.values(), key=len, reverse=True)[:3]
    return '; '.join(f'{len(kind)} of {len(rejected)}: {kind[0][1]} ({kind[0][0]})' for kind in often)


def add_identity(listing: Listing, identity: str, images: Iterable[tuple[str, str]]) -> None:
    """Add the photographs of one identity to a listing.

    If names share a stem ('1.jpg', '1.png'), their keys include the ending ('1+jpg'); no other key contains '+'.

    Args:
        listing: is changed.
        identity: its name.
        images: (name with ending, path relative to the source folder). If images are in subfolders, their names hold
            '/', which becomes %2F in the key; this does not count as renamed.
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
    """'<identity>/<image>'; a stem that several files share is followed by the ending."""
    suffix = f'+{escape(ending[1:], _LONGEST_ENDING)}' if shared else ''
    return f'{escape(identity)}/{escape(stem)}{suffix}'

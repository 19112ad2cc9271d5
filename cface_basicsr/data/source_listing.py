"""Source photographs in CASIA-WebFace's layout, and the keys they get.

BasicSR cuts a key at its first dot, encodes it as ASCII, and names validation pictures after it. So a key is
'<identity>/<image>' with every other character than A-Z a-z 0-9 _ - escaped as %XX (its UTF-8 bytes). The rule never
gives two files one key; original names are kept in identities.csv.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from cface_basicsr.data.generated_tree import SETTINGS
from cface_basicsr.errors import UserError

LONGEST_PART = 100
"""Characters of each half of a key: BasicSR makes file names of at most 255 bytes from '<identity>__<image>'."""
_LONGEST_ENDING = 30


class Source(NamedTuple):
    """One file that may be a photograph: its key, and its path below the source folder."""

    key: str
    path: str


@dataclass
class Listing:
    """What a source folder holds.

    Attributes:
        sources: sorted by key.
        rejected: (path below the source folder, reason) of everything that is no candidate.
        renamed: sources whose key is not simply their name.
        digest: SHA-256 of the paths and sizes: the same listing, the same digest.
    """

    sources: list[Source] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[Source] = field(default_factory=list)
    digest: str = ''


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


def list_sources(root: str | Path) -> Listing:
    """All files of a folder in the layout <identity>/<image file>.

    Files that share a stem ('1.jpg', '1.png') get their ending into the key ('1+jpg'); '+' occurs in no other key.

    Raises:
        UserError: the folder is missing or has no identity folders.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"source folder '{root}' is missing. Expected <identity>/<image> files below it.")
    listing = Listing()
    sizes: dict[str, int] = {}
    for identity in _sorted_entries(root):
        if identity.is_dir():
            _list_identity(identity, listing, sizes)
        elif identity.name != SETTINGS:  # `cface synth`'s own note of what it drew
            listing.rejected.append((identity.name, 'lies outside of an identity folder'))
    if not listing.sources:
        raise UserError(f"source folder '{root}' has no <identity>/<image> files. Expected one folder a person, as "
                        'in CASIA-WebFace.')
    listing.sources.sort()
    listing.digest = _digest(sizes)
    return listing


def _sorted_entries(folder: str | Path) -> Iterator[os.DirEntry]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _list_identity(identity: os.DirEntry, listing: Listing, sizes: dict[str, int]) -> None:
    files = []
    for entry in _sorted_entries(identity.path):
        path = f'{identity.name}/{entry.name}'
        if entry.is_file():
            files.append(entry)
            sizes[path] = entry.stat().st_size
        else:
            listing.rejected.append((path, 'lies deeper than <identity>/<image>' if entry.is_dir() else
                                     'is no regular file'))
    if not files:
        listing.rejected.append((f'{identity.name}/', 'empty identity: no files'))
    stems = Counter(Path(entry.name).stem for entry in files)
    for entry in files:
        stem, ending = os.path.splitext(entry.name)
        source = Source(_key(identity.name, stem, ending, stems[stem] > 1), f'{identity.name}/{entry.name}')
        listing.sources.append(source)
        if source.key != f'{identity.name}/{stem}':
            listing.renamed.append(source)


def _key(identity: str, stem: str, ending: str, shared: bool) -> str:
    """'<identity>/<image>'; a stem that several files share takes the ending with it."""
    suffix = f'+{escape(ending[1:], _LONGEST_ENDING)}' if shared else ''
    return f'{escape(identity)}/{escape(stem)}{suffix}'


def _digest(sizes: dict[str, int]) -> str:
    digest = hashlib.sha256()
    for path, size in sorted(sizes.items()):
        digest.update(os.fsencode(path) + b'\0%d\n' % size)
    return digest.hexdigest()

"""Keys of images, and the one rule by which a name finds its image, however it is written.

BasicSR cuts a key at its first dot, encodes it as ASCII, and names validation pictures after it. So a key is
'<identity>/<image>', where every character other than A-Z a-z 0-9 _ - is escaped as %XX (its UTF-8 bytes). Two files
never get the same key; original names are kept in identities.csv.

Lists name images in other ways: 'Ann/Ann_0001', 'lfw/Ann/Ann_0001.jpg', 'Ann_0001.jpg', with an accent that is one
character or two (Unicode NFC, or NFD as macOS writes names). `find_images` knows them all.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple
from unicodedata import normalize
from urllib.parse import quote, unquote

from cface_basicsr.errors import UserError, first_few

LONGEST_PART = 100
"""Limit of each half of a key, in characters: '<identity>__<image>' becomes a file name, of at most 255 bytes."""
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.pgm', '.ppm',
                  '.pbm', '.pnm', '.jp2', '.avif')
"""Extensions that are removed from a name before it is compared with a key."""


def escape(name: str, longest: int = LONGEST_PART) -> str:
    """A name as one half of a key; injective.

    >>> escape('img.0'), escape('a__b_')
    ('img%2E0', 'a%5F%5Fb%5F')
    """
    escaped = quote(os.fsencode(name), safe='').replace('.', '%2E').replace('~', '%7E')
    # The '/' of a key becomes '__' in the name of a picture; another '__' in either half would make that ambiguous.
    escaped = re.sub('__+|_$', lambda match: '%5F' * len(match[0]), escaped)
    if len(escaped) > longest:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        escaped = f'{escaped[:longest - 18]}++{digest}'
    return escaped


def identity_name(key: str) -> str:
    """The original name of a key's identity; names that were too long stay shortened."""
    return unquote(key.split('/')[0], errors='surrogateescape')


def image_key(person: str, number: int) -> str:
    """The key of image `number` (from 1) of a person of LFW.

    >>> image_key('A.J._Cook', 4)
    'A%2EJ%2E_Cook/A%2EJ%2E_Cook_0004'
    """
    return f'{escape(person)}/{escape(f"{person}_{number:04d}")}'


def composed(name: str) -> str:
    """A name with each accent in one character with its letter (Unicode NFC)."""
    return normalize('NFC', name)


def image_label(name: str) -> str:
    """The last folder and the name of a path, without the extension of an image.

    >>> image_label('lfw\\\\Ann\\\\Ann_0001.JPG'), image_label('Ann_0001')
    ('Ann/Ann_0001', 'Ann_0001')
    """
    folder, image, _ = _split(name)
    return f'{folder}/{image}' if folder else image


def find_images(wanted: Sequence[str], names: Sequence[str], where: str, *,
                any_folder: bool = False) -> list[int | None]:
    """The row of each wanted image among names; None where it is not there.

    Both may be keys, paths or file names, with or without the extension of an image. Folders are compared where both
    have one.

    Args:
        where: what a message calls the list of wanted images.
        any_folder: an image that is called after its person, as LFW's are, may be in another folder than the person's.

    Raises:
        UserError: a name may mean two images.
    """
    index = _Index(names)
    found: list[int | None] = []
    taken: dict[int, str] = {}
    for name in wanted:
        rows = index.rows(name, any_folder)
        if len(rows) > 1:
            raise _ambiguous(where, name, *(names[row] for row in rows[:2]))
        found.append(rows[0] if rows else None)
        other = taken.setdefault(rows[0], name) if rows else name
        if other != name and not _same(_read_key(other), _read_key(name)):
            raise _ambiguous(where, names[rows[0]], other, name)
    return found


def find_all_images(wanted: Sequence[str], names: Sequence[str], where: str, how: str = '') -> list[int]:
    """`find_images` for lists of which no image may be missing.

    Args:
        how: what gives them all, for the message.

    Raises:
        UserError: one is missing, or a name may mean two.
    """
    found = find_images(wanted, names, where)
    if missing := [name for name, row in zip(wanted, found, strict=True) if row is None]:
        raise UserError(f'{len(missing)} of {len(wanted)} images of {where} are missing among {len(names)} keys, first '
                        f'{first_few(missing)}. The protocol needs them all{how}.')
    return [row for row in found if row is not None]


def _ambiguous(where: str, name: str, first: str, second: str) -> UserError:
    return UserError(f"{where}: '{name}' may be '{first}' or '{second}'.\nWrite names with their folder "
                     '(<identity>/<image>) everywhere, or keep one of the two.')


class _Name(NamedTuple):
    """A name that can be compared; `ending` is what tells files of one stem apart, '' where it is not known."""

    folder: str
    image: str
    ending: str


def _same(one: _Name, other: _Name) -> bool:
    return one[:2] == other[:2] and (one.ending == other.ending or not (one.ending and other.ending))


def _split(name: str) -> _Name:
    """The last folder, the name and the extension of a path or file name, as they are written."""
    parts = [part for part in PurePosixPath(name.strip().replace('\\', '/')).parts[-2:] if part != '/']
    image = parts[-1] if parts else ''
    suffix = PurePosixPath(image).suffix
    if suffix.lower() not in IMAGE_SUFFIXES:
        suffix = ''
    return _Name(parts[0] if len(parts) > 1 else '', image.removesuffix(suffix), suffix[1:].lower())


def _read_key(name: str) -> _Name:
    """A name that is taken to be a key: %XX and the '+jpg' of a shared stem are undone, accents are one character."""
    folder, image, ending = _split(name)
    stem, plus, marked = image.rpartition('+')
    if plus and not stem.endswith('+') and (not marked or f'.{marked.lower()}' in IMAGE_SUFFIXES):
        image, ending = stem, marked.lower()
    return _Name(_plain(folder), _plain(image), ending)


def _plain(part: str) -> str:
    """Half a key as it was before `escape`, with accents of one character; what was shortened stays as it is."""
    return part if '++' in part else composed(unquote(part, errors='surrogateescape'))


def _readings(name: str) -> Iterator[_Name]:
    """What a name may mean: first as a path or file name, then as a key.

    Where it is so long that a key shortens it, the key depends on whether accents are one character or two.
    """
    folder, image, ending = _split(name)
    for form in ('', 'NFC', 'NFD'):
        folder_, image_ = (escape(normalize(form, part) if form else part) for part in (folder, image))
        yield _Name(_plain(folder_), _plain(image_), ending)
    yield _read_key(name)


class _Index:
    """Names, by all that they may mean."""

    def __init__(self, names: Sequence[str]) -> None:
        self._exactly = {name: row for row, name in enumerate(names)}
        self._by_image: dict[str, list[tuple[int, _Name]]] = defaultdict(list)
        for row, name in enumerate(names):
            for reading in {_read_key(name), *(_readings(name) if '%' in name or '+' in name else ())}:
                self._by_image[reading.image].append((row, reading))

    def rows(self, name: str, any_folder: bool) -> list[int]:
        """The rows that a name may mean, in order."""
        if name in self._exactly:
            return [self._exactly[name]]
        for wanted in _readings(name):
            there = self._by_image.get(wanted.image, [])
            fits = [each for each in there if not wanted.folder or each[1].folder in ('', wanted.folder)]
            fits = fits or (there if any_folder and wanted.image.startswith(f'{wanted.folder}_') else [])
            same = [each for each in fits if wanted.ending and each[1].ending == wanted.ending]
            if fits:
                return sorted({row for row, _ in same or fits})
        return []

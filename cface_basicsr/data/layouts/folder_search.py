"""The folders of a source: which is it, what is in it, and which links lead back to where they are."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cface_basicsr.errors import UserError, first_few

LEADS_BACK = 'is a link to a folder that it is in'
"""The reason for which such a link is rejected."""


def existing_folder(root: str | Path, expected: str = '<identity>/<image> files') -> Path:
    """The path of a source folder that exists.

    Args:
        root: the folder.
        expected: what it should hold, for the error message.

    Raises:
        UserError: it is missing.
    """
    if not Path(root).is_dir():
        raise UserError(f"source folder '{root}' is missing. Expected a folder with {expected}.")
    return Path(root)


def leads_back(path: str | Path) -> bool:
    """Whether a path is a link to a folder that it is in, which would be walked through without end."""
    target = os.path.realpath(path)
    around = (os.path.realpath(folder) for folder in Path(os.path.abspath(path)).parents)
    return os.path.islink(path) and any(os.path.commonpath([target, folder]) == target for folder in around)


def sorted_entries(folder: str | Path) -> Iterator[os.DirEntry]:
    """The entries of a folder, sorted by name. Their own is_file and is_dir raise OSError for a link to itself.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"folder '{folder}' cannot be read: {error.strerror}.") from error


def digest_of_sizes(sizes: dict[str, int]) -> str:
    """SHA-256, as hexadecimal digits, of paths and sizes in bytes."""
    digest = hashlib.sha256()
    for path, size in sorted(sizes.items()):
        digest.update(os.fsencode(path) + b'\0%d\n' % size)
    return digest.hexdigest()


def find_below(source: Path, holds: Callable[[Path], bool], deepest: int, what: str, expected: str) -> Path:
    """The folder that holds a data set: `source` or a folder below it, on the highest level that has one.

    Args:
        source: where to start.
        holds: whether a folder holds the data set.
        deepest: how many levels below `source` to search.
        what, expected: for the messages: the data set's name, and what such a folder holds.

    Raises:
        UserError: there is none, or there are several on one level.
    """
    level, found = [source], []
    for _ in range(deepest + 1):
        if found := [folder for folder in level if holds(folder)]:
            break
        level = [Path(entry.path) for folder in level for entry in sorted_entries(folder)
                 if os.path.isdir(entry.path) and not leads_back(entry.path)]
    if not found:
        raise UserError(f"'{source}' has no {expected}")
    if len(found) > 1:
        shown = first_few(sorted(map(str, found)))
        raise UserError(f"'{source}' holds {what} {len(found)} times: {shown}.\nName one of them.")
    return found[0]

"""A table that says who is on which photograph: CSV with the columns `file` and `identity`, for any tree of files.

`file` is a path below the folder of the table. A photograph's name is that path without the identity's own folder, so
that a table of <identity>/<image> files gives the keys of `--layout casia`. Files that the table does not name are left
out.
"""

import os
from collections import defaultdict
from pathlib import Path, PurePath

from cface_basicsr.data.layouts.folder_search import digest_of_sizes
from cface_basicsr.data.layouts.source import NOT_A_FILE, FolderPhotos, Listing, add_identity, counted
from cface_basicsr.errors import UserError
from cface_basicsr.files.text_file import read_table

_COLUMNS = ['file', 'identity']


def list_csv(path: str | Path) -> Listing:
    """The photographs of a table; those that are not there are rejected.

    Args:
        path: the table; further columns are not read.

    Raises:
        UserError: the table is missing or names none; a line has no identity, a path out of the folder, or a file that
            another line has.
    """
    path = Path(path)
    listing, sizes = Listing(FolderPhotos(path.parent), files={'table': path}), {}
    people: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, identity in _read(path).items():
        if not (path.parent / file).is_file():
            listing.rejected.append((file, NOT_A_FILE))
            continue
        people[identity].append((file.removeprefix(f'{identity}/'), file))
        sizes[file] = (path.parent / file).stat().st_size
    for identity, images in sorted(people.items()):
        add_identity(listing, identity, sorted(images))
    listing.sources.sort()
    if not listing.sources:
        what = f'of its files none is there: {counted(listing.rejected)}' if listing.rejected else 'it has no lines'
        raise UserError(f"'{path}': {what}. Paths are those below the folder of the table.")
    for one, other in zip(listing.sources, listing.sources[1:], strict=False):
        if one.key == other.key:
            raise UserError(f"'{path}': '{one.path}' and '{other.path}' would both be image '{one.key}'. Rename one.")
    listing.digest = digest_of_sizes(sizes)
    listing.notes.append(f"{len(listing.sources)} images of {len(people)} identities in '{path}'.")
    return listing


def _read(path: Path) -> dict[str, str]:
    """Path below the table's folder, with '/', -> identity."""
    identities: dict[str, str] = {}
    for number, cells in read_table(path, _COLUMNS, f"Expected a table with the columns {' and '.join(_COLUMNS)}."):
        file, identity = (cell.strip() for cell in (*cells, '', '')[:2])
        if not file or not identity:
            raise UserError(f"'{path}', line {number}: expected a file and an identity, got '{','.join(cells)[:60]}'.")
        below = _below(file, path.parent)
        if below is None:
            raise UserError(f"'{path}', line {number}: '{file}' is not below the folder of the table. Put the table "
                            'into a folder that holds all of its files.')
        if below in identities:
            raise UserError(f"'{path}', line {number}: '{file}' occurs for the second time.")
        identities[below] = identity
    return identities


def _below(file: str, folder: Path) -> str | None:
    """A path relative to a folder; None where it leads out of it."""
    relative = os.path.relpath(folder / PurePath(file.replace('\\', '/')), folder)
    return None if relative == '.' or relative.startswith('..' + os.sep) or relative == '..' else relative

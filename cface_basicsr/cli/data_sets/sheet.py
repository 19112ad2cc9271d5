"""`cface sheet`: a contact sheet of a store, one person per row."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cface_basicsr.cli.arguments import Overwrite, check_new
from cface_basicsr.cli.show import say


def command(
    folder: Annotated[Path, typer.Argument(metavar='DIR')],
    out: Annotated[Path | None, typer.Option(metavar='FILE.png', show_default='next to the store: hr.png')] = None,
    people: Annotated[int, typer.Option(min=1)] = 10,
    images: Annotated[int, typer.Option(min=1)] = 8,
    overwrite: Overwrite = False,
) -> None:
    """Draw a contact sheet: one person per row, evenly spread over all people, with evenly spread images of each.

    Args:
        folder: Folder made by `cface prepare` (its hr.lmdb), or any store in it, such as lr_x8.lmdb.
        out: Picture to write.
        people: Rows at most.
        images: Images in a row at most.

    \b
    Example:
      cface sheet datasets/casia/train --people 20
    """
    import numpy as np

    from cface_basicsr.files.face_store import open_faces
    from cface_basicsr.files.image_keys import identity_name
    from cface_basicsr.report.face_grid import face_grid
    store = open_faces(folder)
    out = out or store.path.with_suffix('.png')
    check_new(out, overwrite)
    rows = {person: _spread(keys, images) for person, keys in _spread([*_by_identity(store.keys).items()], people)}
    nothing = np.full_like(store.image(store.keys[0]), 255)
    columns = {str(number + 1): [store.image(keys[number]) if number < len(keys) else nothing for keys in rows.values()]
               for number in range(max(map(len, rows.values())))}
    say(face_grid(columns, out, row_labels=[identity_name(f'{person}/') for person in rows]))


def _by_identity(keys: Iterable[str]) -> dict[str, list[str]]:
    people: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        people[key.split('/')[0]].append(key)
    return people


def _spread(items: Sequence, count: int) -> list:
    """At most `count` items, evenly spread, the first among them, in their order."""
    count = min(count, len(items))
    return [items[number * len(items) // count] for number in range(count)]

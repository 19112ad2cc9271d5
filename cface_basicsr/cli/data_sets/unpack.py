"""`cface unpack`: the images of a store as files."""

from pathlib import Path
from typing import Annotated

import typer

from cface_basicsr.cli.arguments import Json


def command(
    folder: Annotated[Path, typer.Argument(metavar='DIR')],
    out: Annotated[Path, typer.Option()],
    as_json: Json = False,
) -> None:
    """Write the images of a store as OUT/<identity>/<image>.png (or .jpg, .webp), byte for byte as they are stored.

    Only images of `--store raw`, which no other program reads, are encoded: as PNG, with the same pixels. OUT appears
    when it is complete; a killed run starts anew.

    Args:
        folder: Folder made by `cface prepare` (its hr.lmdb), or any store, such as datasets/casia/train/lr_x8.lmdb.
        out: Folder to make.

    \b
    Example:
      cface unpack datasets/casia/test --out faces
    """
    from cface_basicsr.cli.show import ShowSteps, say, say_json
    from cface_basicsr.data.unpacked_store import unpack_store
    from cface_basicsr.files.face_store import open_faces
    store = open_faces(folder)
    with ShowSteps(1) as show:
        unpack_store(store, out, show.follow('unpacking'))
    say_json({'out': str(out), 'images': len(store)}) if as_json else say(f'{len(store)} images in {out}')

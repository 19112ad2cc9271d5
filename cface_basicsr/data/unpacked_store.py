"""A store taken apart: each image as a file of its own, the counterpart of `cface prepare --crop none`."""

import shutil
from collections.abc import Callable
from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import naming, publish, unfinished
from cface_basicsr.files.face_store import RAW, FaceStore, decode_image, encode_png

_HEADS = {b'\x89PNG': '.png', b'\xff\xd8\xff': '.jpg', b'RIFF': '.webp'}
"""The first bytes of the forms that other programs read."""


def unpack_store(store: FaceStore, out: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Write each image as OUT/<key>.<ending>, byte for byte; raw ones, which only we read, as PNG.

    Args:
        out: the folder to make; it appears when all images are in it.
        progress: called with (images done, images in all).

    Raises:
        UserError: it exists, a key leads out of it, or an image is in another form.
    """
    if out.exists():
        raise UserError(f"'{out}' exists. Name another folder, or remove it.")
    for key in store.keys:
        if not all(key.split('/')):  # '/etc/x' would be a place of its own; dots are in no key
            raise UserError(f"'{store.path}': image '{key}' leads out of the folder. Who made this store?")
    aside = unfinished(out)
    shutil.rmtree(aside, ignore_errors=True)
    for number, key in enumerate(store.keys, 1):
        content = store.content(key)
        if content[:len(RAW)] == RAW:
            content = encode_png(decode_image(content))
        path = aside / f'{key}{_ending(content, key, store.path)}'
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path):
            path.write_bytes(content)
        progress(number, len(store))
    publish(aside, out)


def _ending(content: bytes, key: str, where: Path) -> str:
    for head, ending in _HEADS.items():
        if content.startswith(head):
            return ending
    raise UserError(f"'{where}': image '{key}' is in none of the forms that `cface prepare` stores: it begins with "
                    f'{content[:4].hex(" ") or "nothing"}.')

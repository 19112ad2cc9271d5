"""manifest.json of a product: where it comes from, how it was made, and the hashes of its files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field
from typing_extensions import TypedDict

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.json_file import read_json
from cface_basicsr.ops.template import Template

MANIFEST = 'manifest.json'


class _Settings(TypedDict, total=False):
    crop: str | None
    size: int | Annotated[list[int], Field(min_length=2, max_length=2)] | None
    template: str | None
    layout: str | None


class _Manifest(TypedDict, total=False):
    """What is read of a manifest; it may hold more."""

    settings: _Settings | None
    sha256: dict[str, str] | str | None
    duplicates: list[list[str]]
    images: int


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a product's folder; empty if there is none.

    Raises:
        UserError: it is damaged.
    """
    path = Path(folder, MANIFEST)
    return read_json(path, _Manifest, 'Copy the folder again, or make it again.') if path.is_file() else {}


def manifest_hashes(folder: str | Path) -> dict[str, str]:
    """File -> SHA-256, of a prepared folder's products; empty if its manifest has none."""
    found = read_manifest(folder).get('sha256')
    return found if isinstance(found, dict) else {}


def write_manifest(folder: str | Path, facts: dict[str, Any]) -> None:
    """Write the manifest of a product; it comes last, so that a product with a manifest is complete."""
    write_json(Path(folder, MANIFEST), facts)


def check_made_with(path: str | Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a product was made, or begun, with the same settings as are given now.

    Args:
        before: as they are recorded, which may be more.
        now: plain values, as JSON holds them.

    Raises:
        UserError: one differs.
    """
    odd = [key for key in now if before.get(key) != now[key]]
    if odd:
        was, wanted = (', '.join(f'{key} = {settings.get(key)!r}' for key in odd) for settings in (before, now))
        raise UserError(f"'{path}' was made with {was};\nnow it is to have {wanted}.\n"
                        'Name another one, or delete that one.')


def manifest_hash(folder: Path) -> str:
    """SHA-256 of a prepared folder's manifest, or of its identities.csv if it has none."""
    path = folder / MANIFEST
    return file_hash(path if path.is_file() else folder / 'identities.csv', 64)


def manifest_settings(folder: Path) -> dict[str, Any]:
    """How a folder was prepared, according to its manifest; empty without one."""
    return read_manifest(folder).get('settings') or {}


def manifest_crop(folder: Path) -> dict[str, Any] | None:
    """'crop', 'size' and 'template' of a prepared folder; None if no manifest has them."""
    settings = manifest_settings(folder)
    return {key: settings.get(key) for key in ('crop', 'size', 'template')} if settings else None


def manifest_template(folder: Path) -> Template | None:
    """How the faces of a prepared folder were cropped, in one word; None without a manifest, or where there is none.

    --crop align has its template. --crop center is `center` at 128 pixels only: the middle 112 show a larger face.
    """
    settings = manifest_settings(folder)
    template = settings.get('template')
    if settings.get('crop') == 'align':
        return template if template in get_args(Template) else None
    return 'center' if (settings.get('crop'), settings.get('size')) == ('center', 128) else None


def file_hash(path: str | Path, digits: int = 12) -> str:
    """The first hexadecimal digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:digits]

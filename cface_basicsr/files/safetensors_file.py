"""Network files in the safetensors format: tensors, and which network they belong to as JSON in the header.

Equal contents give equal files; the hash of the numbers is in the header, and compared when they are read.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cface_basicsr.errors import UserError, check_file, describe_error
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.json_file import parse_json

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS = '.safetensors'


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """The content of a file as that of a .pth file: 'params', and an entry for each text in the header that is JSON.

    Texts of other programs, as {'format': 'pt'}, are left out.

    Raises:
        UserError: it is missing or damaged.
    """
    from safetensors import safe_open
    path = check_file(path, 'Expected a .safetensors file.', 'weights file')
    try:
        with safe_open(path, framework='pt') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            header = file.metadata() or {}
        damaged = 'sha256' in header and header.pop('sha256') != _split(path.read_bytes())[1]
    except Exception as error:  # what the library raises differs from release to release
        if isinstance(error, OSError) and error.filename:
            raise
        raise UserError(f"weights file '{path}' cannot be read ({describe_error(error)}): it is cut off or not a "
                        'safetensors file. Copy it again.') from error
    if damaged:
        raise UserError(f"weights file '{path}' is damaged: its numbers are not those that were written. Take another "
                        'copy of it.')
    return {'params': tensors} | {key: value for key, text in header.items() if (value := _from_json(text)) is not None}


def _from_json(text: str) -> Any:
    try:
        return parse_json(text, 'the header', Any)
    except UserError:
        return None


def write_safetensors(path: str | Path, tensors: Mapping[str, 'Tensor'], entries: Mapping[str, Any]) -> None:
    """Write tensors aside, then rename; the file outlives a power cut.

    Args:
        entries: plain values for the header, 'network' among them; `read_safetensors` returns them.
    """
    from safetensors.torch import save
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}  # it refuses shared ones
    header, sha256, numbers = _split(save(own))
    header['__metadata__'] = {'format': 'pt', 'sha256': sha256} | {
        key: json.dumps(value) for key, value in sorted(entries.items())}  # the library keeps no order of its own
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with replacing(path, flushed=True) as aside:
        aside.write_bytes(len(text).to_bytes(8, 'little') + text + numbers)


def _split(content: bytes) -> tuple[dict[str, Any], str, bytes]:
    """The header of a file, the SHA-256 of its numbers, and these."""
    start = 8 + int.from_bytes(content[:8], 'little')
    return parse_json(content[8:start], 'the header'), hashlib.sha256(content[start:]).hexdigest(), content[start:]

"""Network files in the safetensors format: tensors, and which network they belong to as JSON in the header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cface_basicsr.errors import UserError, check_file, describe_error
from cface_basicsr.files.atomic import replacing

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
    except Exception as error:  # what the library raises differs from release to release
        if isinstance(error, OSError) and error.filename:
            raise
        raise UserError(f"weights file '{path}' cannot be read ({describe_error(error)}): it is cut off or not a "
                        'safetensors file. Copy it again.') from error
    return {'params': tensors} | {key: value for key, text in header.items() if (value := _from_json(text)) is not None}


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def write_safetensors(path: str | Path, tensors: Mapping[str, Tensor], entries: Mapping[str, Any]) -> None:
    """Write tensors aside, then rename.

    Args:
        entries: plain values for the header, 'network' among them; `read_safetensors` returns them.
    """
    from safetensors.torch import save_file
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}  # it refuses shared ones
    with replacing(path) as aside:
        save_file(own, aside, {'format': 'pt'} | {key: json.dumps(value) for key, value in entries.items()})

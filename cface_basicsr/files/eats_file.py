"""What a recognizer's file eats, said once in a text file beside it, for files that cannot say it themselves.

    resnet100.onnx
    resnet100.eats.yml     channels: bgr
                           mean: 0
                           std: 255
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from cface_basicsr.errors import UserError, nearest


def eats_file(file: str | Path) -> Path:
    """Where it stands: NAME.onnx -> NAME.eats.yml."""
    return Path(file).with_suffix('.eats.yml')


def read_eats(file: str | Path, valid: Iterable[str]) -> dict[str, Any]:
    """The settings beside a recognizer's file; none where there is no such text file.

    Args:
        file: of the recognizer.
        valid: the keys that this kind of recognizer knows.

    Raises:
        UserError: the text is no mapping, or has an unknown key.
    """
    path, valid = eats_file(file), tuple(valid)
    if not path.is_file():
        return {}
    try:
        settings = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"'{path}' cannot be read as YAML. Expected lines like 'channels: bgr'.") from error
    if not isinstance(settings, dict):
        raise UserError(f"'{path}': expected lines like 'channels: bgr', got a {type(settings).__name__}.")
    unknown = [key for key in settings if key not in valid]
    if unknown:
        raise UserError(f"'{path}': unknown key '{unknown[0]}'; {nearest(str(unknown[0]), valid)}")
    return settings

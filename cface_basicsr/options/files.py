"""Option files: read without running code, written for BasicSR's own command, and merged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_text
from cface_basicsr.files.yaml_file import PLUGIN, read_yaml, to_yaml


def read_option_file(path: str | Path, any_module: bool = False) -> dict[str, Any]:
    """An option file as a dictionary; runs no code, unlike BasicSR's own reader.

    Args:
        any_module: see `files.yaml_file.parse_yaml`.

    Raises:
        UserError: the file is missing, is not valid YAML, names a module that the user has not named by `--plugin`, or
            has no mapping at the top.
    """
    content = read_yaml(path, 'option file', any_module)
    if not isinstance(content, dict):
        raise UserError(f"option file '{path}' holds no settings: expected 'key: value' lines.")
    return content


def option_text(options: Mapping[str, Any]) -> str:
    """Options as an option file that BasicSR's own command reads: the first line loads the plugin."""
    body = {key: value for key, value in options.items() if key != 'plugin'}
    return f'plugin: !!python/name:{PLUGIN}\n{to_yaml(body, flow=None)}'


def write_option_file(options: Mapping[str, Any], path: str | Path) -> None:
    """Write options as `option_text` gives them; the file is whole or not there."""
    write_text(path, option_text(options))


def merge(base: Mapping[str, Any], changes: Mapping[str, Any], keep_null: bool = False) -> dict[str, Any]:
    """`base` with `changes` applied, section by section.

    A change to null removes the key (or is kept as null, with `keep_null`). A section of another `type` replaces the
    old one, whose keys belong to the old type.

    >>> merge({'train': {'lr': 1, 'gan': {}}}, {'train': {'gan': None, 'lr': 2}})
    {'train': {'lr': 2}}
    """
    merged = dict(base)
    for key, value in changes.items():
        if value is None and not keep_null:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and _same_type(value, merged[key]):
            merged[key] = merge(merged[key], value, keep_null)
        else:
            merged[key] = value
    return merged


def _same_type(changes: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    return changes.get('type', base.get('type')) == base.get('type')

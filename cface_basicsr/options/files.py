"""Option files: read without running code, written for BasicSR's own command, and merged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.atomic import write_text


class _OptionLoader(yaml.SafeLoader):
    """PyYAML's safe loader with one more tag: `!!python/name:` is read as a string and imports nothing."""


_OptionLoader.add_multi_constructor('tag:yaml.org,2002:python/name:', lambda loader, suffix, node: suffix)


def read_option_file(path: str | Path) -> dict[str, Any]:
    """An option file as a dictionary; runs no code, unlike BasicSR's own reader.

    Raises:
        UserError: the file is missing, is not valid YAML, or has no mapping at the top.
    """
    path = check_file(path, 'Expected a YAML file.', 'option file')
    try:
        content = yaml.load(path.read_text(encoding='utf-8'), Loader=_OptionLoader)
    except yaml.YAMLError as error:
        where = getattr(error, 'problem_mark', None)
        line = f', line {where.line + 1}' if where else ''
        raise UserError(f"option file '{path}'{line} is not valid YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(content, dict):
        raise UserError(f"option file '{path}' holds no settings: expected 'key: value' lines.")
    return content


class _OptionDumper(yaml.SafeDumper):
    """PyYAML's safe dumper without anchors: a list that two sections share is written in both."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def option_text(options: Mapping[str, Any]) -> str:
    """Options as an option file that BasicSR's own command reads: the first line loads the plugin."""
    body = {key: value for key, value in options.items() if key != 'plugin'}
    text = yaml.dump(body, Dumper=_OptionDumper, sort_keys=False, allow_unicode=True, default_flow_style=None,
                     width=120)
    return f'plugin: !!python/name:cface_basicsr.register.NAME\n{text}'


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

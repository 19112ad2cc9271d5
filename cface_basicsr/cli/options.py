"""`cface options`: the option files that come with the plugin, and one of them at another scale."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from cface_basicsr.cli.arguments import Data, Json, OptionPath, Plugins
from cface_basicsr.cli.show import say, say_json
from cface_basicsr.errors import UserError

command = typer.Typer(no_args_is_help=True, help='List, print and copy the option files that come with the plugin.')


@command.command('list')
def list_files(as_json: Json = False) -> None:
    """List the option files, recipes and benchmark files that come with the plugin.

    Every command takes them by these names, in any folder.

    \b
    Example:
      cface options list
      cface options show baselines/edsr_x8.yml --scale 4
    """

    from cface_basicsr.options.shipped import shipped_files
    about = {name: about_file(path.read_text(encoding='utf-8')) for name, path in shipped_files().items()}
    width = max(map(len, about))
    say_json(about) if as_json else say('\n'.join(f'{name:{width}}  {text}' for name, text in about.items()))


def about_file(text: str) -> str:
    """The first comment of an option file, below the line for editors: it says what the file is for."""
    return next((line[2:] for line in text.splitlines() if re.match('# (?!yaml-)', line)), '')


@command.command()
def copy(
    folder: Path,
) -> None:
    """Copy the option files into a folder, to change them, or for BasicSR's own command.

    Files that are there already with the same contents are kept; others are never replaced.

    Args:
        folder: Where to; it is made if it is missing.

    \b
    Example:
      cface options copy options
      python -m basicsr.train -opt options/cface_stage1.yml
    """
    from cface_basicsr.options.shipped import copy_option_files
    copied = copy_option_files(folder)
    say(f'{len(copied)} files copied to {folder}' + ('' if copied else ': all are there already'))


@command.command()
def show(
    file: OptionPath, scale: int | None = None, data: Data = None,
    changes: Annotated[list[str] | None, typer.Option('--set', metavar='KEY=VALUE')] = None,
    plugin: Plugins = None,
) -> None:
    """Print an option file: as it is, or in full at another scale, for BasicSR's own command.

    At another scale network, losses and stores get it; where names and paths end in the file's own scale (edsr_x8),
    they end in the new one. That needs the file of a training that has a generator.

    Args:
        file: An option file, such as options/baselines/edsr_x8.yml.
        scale: 2, 4 or 8; default: that of the file.
        changes: A setting instead of the file's, train.total_iter=1000; null takes a key away. May be repeated.

    \b
    Example:
      cface options show options/baselines/edsr_x8.yml --scale 4 > edsr_x4.yml
      python basicsr/train.py -opt edsr_x4.yml
      cface options show cface_stage0.yml --data faces --set train.total_iter=1000 > short.yml
    """
    from cface_basicsr.options import check_frame, merge, option_text, read_option_file
    from cface_basicsr.training.scale import at_scale, set_scale
    if data and not data.is_dir():
        raise UserError(f"--data: the folder '{data}' is missing; expected one that `cface prepare` made.")
    opt = read_option_file(file)
    if scale is None and not data and not changes:
        return say(_schema(file) + _without_schema(file), end='')
    scale = opt.get('scale') if scale is None else scale
    try:
        opt = at_scale(opt, scale, data)
    except UserError as error:
        raise UserError(f"option file '{file}': {error}") from None
    opt = merge(opt, read_changes(changes or []))
    check_frame(opt)  # which a change may have broken
    if scale is not None:
        opt = set_scale(opt, scale)  # a network of another type has another keyword
    say(_schema(file) + option_text(opt), end='')


_SCHEMA = r'(# yaml-language-server: \$schema=)(\S+\n)'


def _schema(file: Path) -> str:
    """The comment that tells an editor the schema, for a file in the working directory; '' where there is none."""
    found = re.match(_SCHEMA, file.read_text(encoding='utf-8'))
    return found[1] + os.path.relpath(file.parent / found[2]) if found else ''


def _without_schema(file: Path) -> str:
    return re.sub(rf'\A{_SCHEMA}', '', file.read_text(encoding='utf-8'))


def read_changes(changes: list[str]) -> dict[str, Any]:
    """['train.total_iter=5', …] as {'train': {'total_iter': 5}}; values are YAML.

    Raises:
        UserError: one is not of the form KEY=VALUE, or its value is not YAML.
    """
    from cface_basicsr.files.yaml_file import parse_yaml
    from cface_basicsr.options import merge
    merged: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition('=')
        if not (equals and all(key.split('.'))):
            raise UserError(f"--set {change}: expected KEY=VALUE, such as train.total_iter=1000.")
        nested: Any = parse_yaml(text, f'--set {change}')
        for part in reversed(key.split('.')):
            nested = {part: nested}
        merged = merge(merged, nested, keep_null=True)
    return merged

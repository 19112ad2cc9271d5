"""`cface options`: what is in an option file, as BasicSR's own command would read it."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from cface_basicsr.cli.arguments import Data
from cface_basicsr.errors import UserError

command = typer.Typer(no_args_is_help=True, help='Print an option file at another scale.')


@command.command()
def show(
    file: Annotated[Path, typer.Argument(help=(
        'The option file of a training with a generator: options/baselines/edsr_x8.yml.'))],
    scale: Annotated[int | None, typer.Option(help='2, 4 or 8; default: that of the file.')] = None,
    data: Data = None,
    changes: Annotated[list[str] | None, typer.Option('--set', metavar='KEY=VALUE', help=(
        "A setting instead of the file's, train.total_iter=1000; null takes a key away. May be repeated."))] = None,
) -> None:
    """Print an option file in full, at another scale, for BasicSR's own command.

    Network, losses and stores get the scale; where names and paths end in the file's own scale (edsr_x8), they end in
    the new one.

    \b
    Example:
      cface options show options/baselines/edsr_x8.yml --scale 4 > edsr_x4.yml
      python basicsr/train.py -opt edsr_x4.yml
    """
    from cface_basicsr.options import merge, option_text, read_option_file
    from cface_basicsr.training.scale import at_scale, set_scale
    if data and not data.is_dir():
        raise UserError(f"--data: the folder '{data}' is missing; expected one that `cface prepare` made.")
    opt = read_option_file(file)
    scale = opt.get('scale') if scale is None else scale
    try:
        opt = at_scale(opt, scale, data)
    except UserError as error:
        raise UserError(f"option file '{file}': {error}") from None
    opt = set_scale(merge(opt, read_changes(changes or [])), scale)  # a network of another type has another keyword
    typer.echo(_schema(file) + option_text(opt), nl=False)


def _schema(file: Path) -> str:
    """The comment that tells an editor the schema, for a file in the working directory; '' where there is none."""
    found = re.match(r'(# yaml-language-server: \$schema=)(\S+\n)', file.read_text(encoding='utf-8'))
    return found[1] + os.path.relpath(file.parent / found[2]) if found else ''


def read_changes(changes: list[str]) -> dict[str, Any]:
    """['train.total_iter=5', …] as {'train': {'total_iter': 5}}; values are YAML.

    Raises:
        UserError: one is not of the form KEY=VALUE, or its value is not YAML.
    """
    from cface_basicsr.options import merge
    merged: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition('=')
        if not (equals and key):
            raise UserError(f"--set {change}: expected KEY=VALUE, such as train.total_iter=1000.")
        nested: Any = _value(change, text)
        for part in reversed(key.split('.')):
            nested = {part: nested}
        merged = merge(merged, nested, keep_null=True)
    return merged


def _value(change: str, text: str) -> Any:
    import yaml
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f'--set {change}: the value is not valid YAML.') from error
    # YAML 1.1, which PyYAML reads, takes 1e-4 for text
    return float(value) if isinstance(value, str) and re.fullmatch(r'[-+]?[\d.]+[eE][-+]?\d+', value) else value

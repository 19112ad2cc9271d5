"""Writes docs/commands.md from the commands of `cface` themselves: `python docs/make_commands.py`.

A test compares the page with what is printed here.
"""

import inspect
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.main import get_command

from cface_basicsr.cli.main import app

PAGE = Path(__file__).with_name('commands.md')
HEAD = """# Commands

Printed from the commands in the code by `python docs/make_commands.py`; do not edit it here.

`cface --help` lists the commands, and `--help` (or `-h`) after a command shows what is below. Every command takes
`--quiet` (`-q`), which leaves results, warnings and errors and says nothing else. `cface --version` prints the versions
of the plugin and of what it runs on; `cface --install-completion` teaches the shell to complete commands and options.
Where `NO_COLOR` is set, nothing is coloured.

Exit code 0 means that all is well; 1 that the work was done, but something is not as it should be; 2 that the input was
refused, with one to three lines that say what was expected, what came and what to do.

"""
KINDS = {int: 'whole number', float: 'number', str: 'text', Path: 'path'}


def page() -> str:
    """The text of docs/commands.md."""
    commands = dict(_commands(get_command(app), 'cface'))
    index = [f'- [`{name}`](#{name.replace(" ", "-")}): {_paragraphs(command)[0]}\n'
             for name, command in commands.items()]
    return HEAD + ''.join(index) + ''.join(_section(name, command) for name, command in commands.items())


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command by its full name, those of groups included."""
    for key, command in group.commands.items():
        if hasattr(command, 'commands'):
            yield from _commands(command, f'{name} {key}')
        else:
            yield f'{name} {key}', command


def _paragraphs(command: Any) -> list[str]:
    return [text for text in command.help.split('\n\n') if text.strip()]


def _section(name: str, command: Any) -> str:
    usage = ' '.join([name, *(_argument(each) for each in command.params if not _is_option(each)), '[OPTIONS]'])
    paragraphs = [_as_markdown(text) for text in [*_paragraphs(command)[:1], f'\b\n{usage}', *_paragraphs(command)[1:]]]
    kinds = get_type_hints(inspect.unwrap(command.callback))
    rows = [f'| {_names(each)} | {_kind(each, kinds[each.name])} | {_default(each)} | {_escaped(each.help)} |\n'
            for each in command.params if each.name in kinds]
    return (f'\n## {name}\n\n' + '\n\n'.join(paragraphs) + '\n\n| option | value | default | meaning |\n'
            '|---|---|---|---|\n' + ''.join(rows))


def _as_markdown(paragraph: str) -> str:
    r"""A paragraph in lines of 120; one that is marked by \b as code, without its title ('Example:')."""
    if not paragraph.startswith('\b'):
        return '\n'.join(textwrap.wrap(_escaped(paragraph), 120, break_long_words=False, break_on_hyphens=False))
    lines = paragraph.splitlines()[1:]
    return textwrap.indent(textwrap.dedent('\n'.join(lines[lines[0].endswith(':'):])), '    ')


def _is_option(parameter: Any) -> bool:
    return parameter.opts[0].startswith('-')


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper().rstrip('…') + ('…' if parameter.nargs == -1 else '')
    return name if parameter.required else f'[{name}]'


def _names(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts] if _is_option(parameter) else [_argument(parameter)]
    return ', '.join(f'`{name}`' for name in names)


def _kind(parameter: Any, kind: Any) -> str:
    """What follows the option, in words; nothing for a switch."""
    while get_args(kind):
        kind = next(each for each in get_args(kind) if each is not types.NoneType)
    if kind is bool:
        return ''
    word = f'`{parameter.metavar}`' if parameter.metavar and _is_option(parameter) else KINDS[kind] + _bounds(parameter)
    return f'{word}, repeatable' if parameter.multiple and '…' not in word else word


def _bounds(parameter: Any) -> str:
    limits = getattr(parameter, 'type', parameter)  # where they are depends on the version of typer
    least, most = getattr(limits, 'min', None), getattr(limits, 'max', None)
    if least is not None and most is not None:
        return f', {least} to {most}'
    return f' ≥ {least}' if least is not None else ''


def _default(parameter: Any) -> str:
    if parameter.required:
        return 'required'
    shown = parameter.show_default if isinstance(parameter.show_default, str) else ''
    return shown or ('' if parameter.default is None or parameter.default is False else f'`{parameter.default}`')


def _escaped(text: str) -> str:
    return text.replace('<', '&lt;').replace('|', '\\|')


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')

"""The command `cface`. Every command is a module of this room with a `command`: a function, or a Typer with several.

Heavy imports (torch, basicsr) are inside the functions, so that `cface --help` answers at once.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from copy import copy
from typing import Annotated, get_args, get_origin

import typer

from cface_basicsr.compat.before_import import patch_functional_tensor
from cface_basicsr.errors import UserError, refusal
from cface_basicsr.registration import argument_texts
from cface_basicsr.version import __version__

_MODULES = ('doctor', 'demo', 'data_sets.synth', 'data_sets.prepare', 'data_sets.audit', 'data_sets.index', 'train',
            'data_sets.generate', 'evaluate', 'report', 'benchmark', 'ablate', 'enhance', 'models', 'options',
            'convert')
"""In the order of `cface --help`; a command is called as its module is."""
COMMANDS = {module.rpartition('.')[2]: module for module in _MODULES}

app = typer.Typer(name='cface', no_args_is_help=True, add_completion=False, rich_markup_mode='rich',
                  pretty_exceptions_enable=False, context_settings={'help_option_names': ['-h', '--help']},
                  help='Identity-preserving face super-resolution (C-Face) on BasicSR.')


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f'cface-basicsr {__version__}')
        raise typer.Exit


@app.callback()
def _root(version: bool = typer.Option(False, '--version', callback=_show_version, is_eager=True,
                                       help='Print the version.')) -> None:
    pass


def help_of(command: Callable[..., None]) -> str:
    """A docstring as help that wraps at any width: one line per paragraph; those marked by \\b stay as they are.

    What its `Args:` say becomes the help of the parameters.
    """
    hints, parameters = command.__annotations__, inspect.signature(command).parameters
    for name, text in argument_texts(command).items():
        kind, *given = get_args(hints[name]) if get_origin(hints[name]) is Annotated else [hints[name]]
        plain = typer.Argument() if parameters[name].default is inspect.Parameter.empty else typer.Option()
        info = copy(given[0]) if given else plain  # several commands share some
        info.help = text
        hints[name] = Annotated[kind, info]
    paragraphs = inspect.getdoc(command).split('\n\n')
    return '\n\n'.join(text if text.startswith('\b') else ' '.join(text.split('\n')) for text in paragraphs
                       if not text.startswith('Args:'))


for _name, _path in COMMANDS.items():
    _module = importlib.import_module(f'cface_basicsr.cli.{_path}')
    _command = _module.command
    if isinstance(_command, typer.Typer):
        for _info in _command.registered_commands:
            _info.help = help_of(_info.callback)
        app.add_typer(_command, name=_name)
    else:
        app.command(_name, help=help_of(_command), cls=getattr(_module, 'Help', None))(_command)


def main() -> None:
    """Run a command; bad input, and what the system refuses, print one to three lines and exit with code 2."""
    patch_functional_tensor()
    try:
        app()
    except UserError as error:
        print(f'cface: {error}', file=sys.stderr)
    except OSError as error:
        if error.errno is None:
            raise
        print(f'cface: {refusal(error)}', file=sys.stderr)
    else:
        return
    sys.exit(2)


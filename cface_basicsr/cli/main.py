"""The command `cface`. Every command is a module of this room with a `command`: a function, or a Typer with several.

Heavy imports (torch, basicsr) are inside the functions, so that `cface --help` answers at once.
"""

import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

import lmdb
import rich.table
import typer
from rich.table import Column

from cface_basicsr.cli.show import say, silence, warn
from cface_basicsr.compat.before_import import patch_functional_tensor
from cface_basicsr.errors import UserError, refused
from cface_basicsr.registration import argument_texts
from cface_basicsr.runtime import sleep_while_waiting, stack_versions

_MODULES = ('doctor', 'demo', 'data_sets.synth', 'data_sets.prepare', 'data_sets.sheet', 'data_sets.unpack',
            'data_sets.audit', 'data_sets.index', 'train', 'data_sets.generate', 'data_sets.features', 'evaluate',
            'report', 'benchmark', 'ablate', 'enhance', 'serve', 'models', 'export', 'options', 'convert')
"""In the order of `cface --help`; a command is called as its module is."""
COMMANDS = {module.rpartition('.')[2]: module for module in _MODULES}


def _column(**settings: Any) -> Column:
    """A column of help in which a longer word goes on in the next line; rich would cut it off."""
    return Column(**settings | {'overflow': 'fold'})


rich.table.Column = _column

app = typer.Typer(name='cface', no_args_is_help=True, add_completion=True, rich_markup_mode='rich',
                  pretty_exceptions_enable=False, context_settings={'help_option_names': ['-h', '--help']},
                  help='Identity-preserving face super-resolution (C-Face) on BasicSR.')


def _show_version(wanted: bool) -> None:
    if wanted:
        for name, version in stack_versions().items():
            say(f'{name} {version or "not installed"}')
        raise typer.Exit


_Version = Annotated[bool, typer.Option('--version', callback=_show_version, is_eager=True,
                                        help='Print the versions of the plugin and of what it runs on.')]
_Quiet = Annotated[bool, typer.Option('--quiet', '-q', help='Print results, warnings and errors only: no progress.')]


@app.callback()
def _root(version: _Version = False, quiet: _Quiet = False) -> None:
    silence(quiet)


def _with_quiet(command: Callable[..., None]) -> Callable[..., None]:
    """The command with --quiet, which may be before its name or after it, and with an answer to Ctrl-C."""
    @wraps(command)
    def call(*, quiet: bool, **options: Any) -> None:
        if quiet:
            silence(True)
        try:
            command(**options)
        except KeyboardInterrupt:
            warn('cface: stopped by SIGINT. The same command continues, or starts again.')
            raise typer.Exit(128 + signal.SIGINT) from None
    signature = inspect.signature(command)
    last = inspect.Parameter('quiet', inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Quiet)
    call.__signature__ = signature.replace(parameters=[*signature.parameters.values(), last])
    call.__annotations__ = {**command.__annotations__, 'quiet': _Quiet}
    return call


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
            _info.help, _info.callback = help_of(_info.callback), _with_quiet(_info.callback)
        app.add_typer(_command, name=_name)
    else:
        app.command(_name, help=help_of(_command), cls=getattr(_module, 'Help', None))(_with_quiet(_command))


def main() -> None:
    """Run a command; bad input, and what the system or LMDB refuses, print one to three lines; exit code 2."""
    patch_functional_tensor()
    sleep_while_waiting()
    try:
        if os.getcwd() not in sys.path:  # then no process that is started takes a file there for a library, either
            os.environ.setdefault('PYTHONSAFEPATH', '1')  # Python 3.11
        app()
    except (UserError, OSError, MemoryError, lmdb.Error) as error:
        warn(f'cface: {refused(error)}')
    else:
        return
    sys.exit(2)


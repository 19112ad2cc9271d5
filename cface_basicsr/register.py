"""Importing this module registers every class of the plugin with BasicSR and mends BasicSR at run time.

An option file pulls it in by its first line, `plugin: !!python/name:cface_basicsr.register.NAME`: BasicSR reads
options with PyYAML's unsafe loader, which imports the module that the tag names, before anything is built.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

from cface_basicsr import compat, options
from cface_basicsr.runtime import keep_freed_memory

NAME = 'cface_basicsr'
"""What the `plugin:` line of an option file evaluates to: a plain string, so that options can be copied."""

_ROOMS = {'archs': '_arch', 'data': '_dataset', 'losses': '_loss', 'models': '_model', 'metrics': '_metric'}


def register() -> None:
    """Import every module of a room that ends with the room's suffix. Safe to call again."""
    for room, suffix in _ROOMS.items():
        package = importlib.import_module(f'cface_basicsr.{room}')
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.endswith(suffix):
                importlib.import_module(f'{package.__name__}.{module.name}')


def check_named_file(arguments: list[str]) -> None:
    """Look at the file behind `-opt`: BasicSR's parser would end in a KeyError where a section of it is misspelt."""
    if '-opt' in arguments[:-1]:
        path = Path(arguments[arguments.index('-opt') + 1])
        if path.is_file():
            options.refuse_broken_frame(options.read_option_file(path))


keep_freed_memory()
register()
compat.apply()
check_named_file(sys.argv)

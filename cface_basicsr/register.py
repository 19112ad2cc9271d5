"""Importing this module registers every class of the plugin with BasicSR and mends BasicSR at run time.

An option file pulls it in by its first line, `plugin: !!python/name:cface_basicsr.register.NAME`: BasicSR reads
options with PyYAML's unsafe loader, which imports the module that the tag names, before anything is built.
"""

import importlib
import pkgutil

from cface_basicsr import compat

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


register()
compat.apply()

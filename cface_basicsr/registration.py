"""The classes that the plugin offers, by room and name: a decorator registers a class under its own name. And what
docstrings say of arguments.

Nothing here needs BasicSR. `register.register` hands the same classes to BasicSR's registries.
"""

import importlib
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from cface_basicsr.errors import UserError, describe_error, nearest

ROOMS = {'archs': '_arch', 'data': '_dataset', 'losses': '_loss', 'models': '_model', 'metrics': '_metric'}
"""Room -> ending of the modules whose classes have names in option files."""

_Kind = TypeVar('_Kind', bound=Callable[..., Any])
_found: dict[str, dict[str, Callable[..., Any]]] = {room: {} for room in ROOMS}


def _decorator(room: str) -> Callable[[_Kind], _Kind]:
    def offer(kind: _Kind) -> _Kind:
        _found[room][kind.__name__] = kind
        return kind
    return offer


arch, dataset, loss, model, metric = map(_decorator, ROOMS)


@cache
def _import_room(room: str) -> None:
    package = importlib.import_module(f'{__package__}.{room}')
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith(ROOMS[room]):
            importlib.import_module(f'{package.__name__}.{module.name}')


def offered(room: str) -> Mapping[str, Callable[..., Any]]:
    """Name -> class (for metrics: function) of everything that a room offers."""
    _import_room(room)
    return MappingProxyType(_found[room])


def find_arch(name: str) -> Callable[..., Any]:
    """The network of this name: ours, or else BasicSR's, which is imported only then.

    Raises:
        UserError: neither has it, or BasicSR cannot be imported.
    """
    ours = offered('archs')
    if name in ours:
        return ours[name]
    try:
        import basicsr.archs  # noqa: F401  fills the registry
        from basicsr.utils.registry import ARCH_REGISTRY
    except ImportError as error:
        raise UserError(f"network '{name}' is not one of the plugin's, and BasicSR, which may have it, cannot be "
                        f'imported ({error}).\nRepair it: cface doctor --repair') from error
    theirs = {known: kind for known, kind in ARCH_REGISTRY}  # dict() would fail on it
    if name not in theirs:
        raise UserError(f"network '{name}' is unknown; {nearest(str(name), {*ours, *theirs})}")
    return theirs[name]


_admitted: list[str] = []


def admitted() -> tuple[str, ...]:
    """The modules that the user has named by `--plugin`: whatever they register, an option file may name."""
    return tuple(_admitted)


def admit(module: str) -> None:
    """Import a module that the user has named by `--plugin`.

    Raises:
        UserError: it is missing, or its import fails.
    """
    import_named(module, f"--plugin '{module}'", 'package.module')
    if module not in _admitted:
        _admitted.append(module)


def import_named(module: str, where: str, expected: str) -> ModuleType:
    """Import a module that the user has named on the command line; one in the working folder is found after all others.

    Args:
        where: what begins a message.
        expected: the form of what the user has to give, for a message.

    Raises:
        UserError: it is missing, needs one that is, or its import fails.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f'{module}.'.startswith(f'{error.name}.'):
            raise UserError(f"{where}: module '{module}' needs '{error.name}', which is not installed.") from error
        raise UserError(f"{where}: module '{error.name}' is missing. Expected {expected}, installed or in the working "
                        'folder.') from error
    except Exception as error:
        raise UserError(f"{where}: importing '{module}' fails ({describe_error(error)}).") from error


def argument_texts(kind: Callable[..., Any]) -> dict[str, str]:
    """Argument -> what the docstring of a class or function says about it.

    >>> def f(a, b):
    ...     '''Args:
    ...         a, b: two of
    ...             them.
    ...     '''
    >>> argument_texts(f)
    {'a': 'two of them.', 'b': 'two of them.'}
    """
    block = re.search(r'^Args:\n((?: +\S.*\n?)+)', inspect.getdoc(kind) or '', re.M)
    entries = re.findall(r'^ {4}(\w[\w, ]*): (.+(?:\n {5,}.+)*)', block[1] if block else '', re.M)
    return {name: ' '.join(text.split()) for names, text in entries for name in names.split(', ')}

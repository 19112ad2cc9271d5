"""Writes docs/api.md from the public names of the package themselves: `python docs/make_api.py`.

A test compares the page with what is printed here, and runs the examples.
"""

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cface_basicsr as cface

PAGE = Path(__file__).with_name('api.md')
HEAD = """# Python API

Printed from the code by `python docs/make_api.py`; do not edit it here.

    import cface_basicsr as cface

The import costs nothing: a name is imported when it is first used. Bad input raises `cface.UserError` with a sentence.
What is not on this page may change.
"""


def page() -> str:
    """The text of docs/api.md."""
    return HEAD + ''.join(_section(name, found) for name, found in public_names())


def public_names() -> Iterator[tuple[str, Any]]:
    """('load', …), ('metrics.TarAtFar', …): every public function and class by its name below `cface`."""
    for name in cface.__all__:
        found = getattr(cface, name)
        if isinstance(found, ModuleType):
            yield from ((f'{name}.{inner}', getattr(found, inner)) for inner in found.__all__)
        elif callable(found):
            yield name, found


def _section(name: str, found: Any) -> str:
    text = f'\n## cface.{name}\n\n{_signature(name, found)}{_text(found)}'
    return text + ''.join(f'\n### cface.{name}.{inner}\n\n{_signature(f"{name}.{inner}", each)}{_text(each)}'
                          for inner, each in _methods(found))


def _methods(found: Any) -> Iterator[tuple[str, Any]]:
    for kind in reversed(found.__mro__[:-1]) if inspect.isclass(found) and found is not cface.UserError else ():
        if kind.__module__.startswith('cface_basicsr') and kind.__name__ != 'Metric':
            yield from ((name, each) for name, each in vars(kind).items()
                        if inspect.isfunction(each) and not name.startswith('_') and each.__doc__)


def _signature(name: str, found: Any) -> str:
    """The name with its arguments, without the types, which the text below explains, and without self."""
    if found is cface.UserError:
        return ''
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in
                  inspect.signature(found).parameters.values() if each.name != 'self']
    return f'    cface.{name}{inspect.Signature(parameters)}\n\n'


def _text(found: Any) -> str:
    """The first paragraph as text, the rest as it is written."""
    first, _, rest = inspect.getdoc(found).partition('\n\n')
    wrapped = '\n'.join(textwrap.wrap(' '.join(first.split()), 120, break_long_words=False, break_on_hyphens=False))
    return f'{wrapped}\n' + (f'\n{textwrap.indent(rest, "    ")}\n' if rest else '')


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')

"""Sections of registered classes: the keyword arguments of a network, a loss or a metric are its options.

So no such class describes its options a second time: names, types and defaults come from the signature, sentences
from the `Args:` of the docstring. A data set takes one dictionary instead, and its `OPTIONS` is the section.
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, create_model

from cface_basicsr.errors import nearest
from cface_basicsr.options.sections import Section, problem

_REGISTRIES = {'archs': 'ARCH_REGISTRY', 'losses': 'LOSS_REGISTRY', 'metrics': 'METRIC_REGISTRY',
               'data': 'DATASET_REGISTRY', 'models': 'MODEL_REGISTRY'}
_FROM_LABELS = 'num_classes'
"""The argument that a file may leave empty: `checks` reads it from the labels of the training set."""


class _Arguments(Section):
    """Keyword arguments, passed on as they are: a number in quotes would reach the class as text, so it is refused."""

    model_config = ConfigDict(strict=True)


class _AnyArguments(Section):
    """Keyword arguments of a class that takes any."""

    model_config = ConfigDict(extra='allow')

    type: str
    """The name of a registered class."""


def registered(room: str) -> Mapping[str, Callable[..., Any]]:
    """Name -> class (or function, of a metric) that a section of this room may name as its `type`."""
    from basicsr.utils import registry
    return dict(iter(getattr(registry, _REGISTRIES[room])))  # pairs: it has keys() and no []


@cache
def section_of(room: str, name: str) -> type[Section]:
    """The section of a registered class."""
    kind = registered(room)[name]
    if room == 'data':
        return getattr(kind, 'OPTIONS', _AnyArguments)
    parameters = inspect.signature(kind).parameters.values()
    if room != 'metrics' and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return _AnyArguments
    fields = {parameter.name: _field(kind, parameter) for parameter in parameters
              if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in ('img', 'img2')}
    if room == 'metrics':  # BasicSR's own key, which it also hands to the metric
        fields.setdefault('better', (Literal['higher', 'lower'], Field('higher', description='Which values are.')))
    return create_model(name, __base__=_Arguments, __doc__=inspect.getdoc(kind),
                        type=(Literal[name], Field(description='The name of the class.')), **fields)


def _field(kind: Callable[..., Any], parameter: inspect.Parameter) -> tuple[Any, Any]:
    hints = typing.get_type_hints(kind.__init__ if inspect.isclass(kind) else kind)
    expected, default = hints.get(parameter.name, Any), parameter.default
    if parameter.name == _FROM_LABELS:
        expected, default = expected | None, None
    description = argument_texts(kind).get(parameter.name)
    return expected, Field(... if default is parameter.empty else default, description=description)


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


def _check(room: str, values: dict[str, Any]) -> dict[str, Any]:
    name, known = _AnyArguments.model_validate(values).type, registered(room)
    if name not in known:
        raise problem('wrong', f'{name!r} is not registered; {nearest(name, known)}', 'type')
    section = section_of(room, name)
    section.model_validate(values)
    for key, field in section.model_fields.items() if room == 'metrics' else ():
        if field.is_required() and values[key] is None:  # the metric would fail, but only at the first validation
            raise problem('missing', '', key)
    return values


def _named(room: str) -> Any:
    """The type of a section {type: NAME, …}: a dictionary whose other keys are arguments of that class."""
    return Annotated[dict[str, Any], AfterValidator(partial(_check, room)), WithJsonSchema({'registered': room})]


Network, Loss, Metric, DataSection = map(_named, ('archs', 'losses', 'metrics', 'data'))

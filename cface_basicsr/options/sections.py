"""A section of a file as a typed model that knows its keys, and one way to say what is wrong with a section."""

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from cface_basicsr.errors import UserError, nearest

_Kind = TypeVar('_Kind')
FilledIn = Annotated[_Kind | None, SkipJsonSchema()]
"""The type of a key that is filled in when a file is read. Files do not set it, so no page and no schema lists it."""


def _name_of_folder(name: str) -> str:
    # file systems take 255 bytes, and BasicSR appends to the name of a run
    if not name.strip() or set(name) & set('/\\\0\n') or name in ('.', '..') or len(name.encode()) > 200:
        raise ValueError(f"expected the name of a folder, without '/', got {name[:80]!r}")
    return name


FolderName = Annotated[str, AfterValidator(_name_of_folder)]
"""A text that becomes the name of a folder."""


class Section(BaseModel):
    """A section of a file: unknown keys are refused, and so are values of another kind, such as a number in quotes.

    BasicSR gets the values as they are written, so none is turned into the right kind here.

    The sentence under a field is printed in docs/options.md and shown by editors.
    """

    model_config = ConfigDict(extra='forbid', strict=True, allow_inf_nan=False, arbitrary_types_allowed=True,
                              use_attribute_docstrings=True)

    @model_validator(mode='before')
    @classmethod
    def _check_keys(cls, values: Any) -> Any:
        for key in values if isinstance(values, Mapping) else ():
            if not cls.knows(str(key)):
                raise problem('unknown', cls.hint(str(key)), str(key))
        return values

    @model_validator(mode='after')
    def _checked(self) -> 'Section':
        self.check()
        return self

    def check(self) -> None:
        """Check what goes together.

        Raises:
            PydanticCustomError, ValueError: something does not; see `problem`.
        """

    @classmethod
    def knows(cls, key: str) -> bool:
        """Whether a file may set this key here."""
        return key in cls.model_fields or cls.model_config['extra'] == 'allow'

    @classmethod
    def hint(cls, key: str) -> str:
        """The end of the message about an unknown key: the section inside this one that has it, or the nearest key."""
        for name, field in cls.model_fields.items():
            if any(key in section.model_fields for section in sections_in(field.annotation)):
                return f"did you mean '{name}.{key}'?"
        return nearest(key, (name for name, field in cls.model_fields.items() if not is_filled_in(field)))


def is_filled_in(field: Any) -> bool:
    """Whether a field of a section is `FilledIn`."""
    return any(isinstance(each, SkipJsonSchema) for each in field.metadata)


def sections_in(kind: Any) -> Iterator[type[Section]]:
    """The sections that a field may hold, by its annotation.

    >>> list(sections_in(int | None)), list(sections_in(Section | None)) == [Section]
    ([], True)
    """
    if get_origin(kind) in (Union, types.UnionType, Annotated):
        for each in get_args(kind):
            yield from sections_in(each)
    elif isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, Section):
        yield kind


def problem(type_: str, message: str, key: str | None = None) -> PydanticCustomError:
    """A problem of a section, or of a key in it, for `open_section` to report.

    Args:
        type_: 'unknown', 'missing' or 'wrong'.
        message: what follows the option's name: for an unknown key the hint, for a missing one nothing.
        key: of the section; None: the section itself.
    """
    return PydanticCustomError(type_, '{message}', {'message': message} | ({'key': key} if key else {}))


def open_section(model: type[Section], values: Any, section: str = '') -> Any:
    """A section as its typed view.

    Args:
        model: the kind of section.
        values: as read from the file.
        section: its name in messages; '' is the top of a file.

    Raises:
        UserError: a key is unknown (the message gives the nearest valid one) or missing, or a value has the wrong type.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        unknown = (each for each in problems if each['type'] == 'unknown')
        outermost = min(problems, key=lambda each: len(each['loc']))  # BasicSR's parser copies `scale` inwards
        raise UserError(_explain(next(unknown, outermost), problems, values, section)) from error


def _explain(first: ErrorDetails, problems: list[ErrorDetails], values: Any, section: str) -> str:
    context = first.get('ctx', {})
    place = _written(first['loc'], values)
    missing = first['loc'][-1:] if first['type'] == 'missing' and 'key' not in context else ()
    name = '.'.join(map(str, filter(None, (section, *place, *missing, context.get('key')))))
    if first['type'] == 'unknown':
        return f"option '{name}' is unknown; {context['message']}"
    if first['type'] == 'missing':
        return f"option '{name}' is missing."
    if first['type'] == 'wrong':
        return f"option '{name}': {context['message']}"
    if first['type'] == 'value_error':
        return f"option '{name}': {context['error']}."
    kinds = dict.fromkeys(_in_our_words(each['msg']) for each in problems if _written(each['loc'], values) == place)
    return f"option '{name}': {' or '.join(kinds)}, got {repr(first['input'])[:80]}."


def _in_our_words(message: str) -> str:
    """What pydantic says was expected, without the names of Python's types for sections."""
    return re.sub('a valid dictionary( or instance of \\w+)?', 'a section', message[0].lower() + message[1:])


def _written(loc: Sequence[int | str], values: Any) -> list[int | str]:
    """The part of a location that is in the file; pydantic adds which one of several types it tried."""
    place: list[int | str] = []
    for part in loc:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            break
        place.append(part)
    return place

"""The one reader of JSON files: bounded, checked against a schema, and refused in words."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cface_basicsr.errors import UserError, describe_error
from cface_basicsr.files.text_file import read_whole

_MOST_BYTES = 1 << 28
_ADVICE = 'Copy it again, or delete it and make it again.'


def read_json(path: str | Path, schema: Any = dict[str, Any], advice: str = _ADVICE) -> Any:
    """The value in a JSON file, as it is there.

    Args:
        schema: a type, as pydantic knows them; nothing is converted.
        advice: what to do about a file that is missing or damaged.

    Raises:
        UserError: it is missing, too large, not JSON, or of another form.
    """
    return parse_json(read_whole(path, advice, most=_MOST_BYTES), f"'{path}'", schema, advice)


def parse_json(text: str | bytes, where: str, schema: Any = dict[str, Any], advice: str = _ADVICE) -> Any:
    """The value in a text; see `read_json`.

    Args:
        where: what a message calls the text.
    """
    try:
        value = json.loads(text)
        _adapter(schema).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = '.'.join(map(str, first['loc']))[:60]
        raise UserError(f'{where} is damaged{": " if place else ""}{place}: {first["msg"][:80]}.\n{advice}') from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{where} is not JSON ({describe_error(error)}).\n{advice}') from error
    return value


_adapter = cache(TypeAdapter)

"""Every value of a file, replaced by values of other kinds, one at a time."""

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

VALUES: tuple[Any, ...] = ('text', '7', None, [1], -1, float('nan'), 0, True, {})

Place = tuple[str | int, ...]


def places(content: Any, place: Place = ()) -> Iterator[Place]:
    """The place of each section, list and single value of a file, from the top down."""
    inner = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        if key != 'plugin':  # without which BasicSR's own program knows nothing of us
            yield (*place, key)
            yield from places(value, (*place, key))


def put(pickled: bytes, place: Place, value: Any) -> Any:
    """A copy of a pickled file with another value at a place."""
    content = inner = pickle.loads(pickled)
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


def variants(content: Any, every: int = 1) -> Iterator[tuple[Place, Any, Any]]:
    """(place, value, the content with that value there), place by place.

    Args:
        every: 1 gives each place all values; 4 gives it every fourth, and the next place the ones after those.
    """
    pickled = pickle.dumps(content)
    for number, place in enumerate(places(content)):
        for value in VALUES[number % every::every]:
            yield place, value, put(pickled, place, value)

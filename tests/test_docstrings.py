"""Docstrings say what numbers are: shapes or units, ranges, and the errors that a caller has to expect."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'cface_basicsr'
ROOMS = ('ops', 'losses', 'evaluation', 'measuring', 'recognizers')
Definition = ast.FunctionDef | ast.ClassDef

NUMBERS = re.compile(r'\b(Tensor|ArrayLike|NDArray|ndarray|Floats|Ints|Flags|Images|Scores|float)\b')
"""What arrays, tensors and fractions are called in annotations."""
SHAPE = re.compile(r'\((?:[A-Z]\b|\d+\b|n\b|bins\b|out\b|height\b|new_length\b|num_\w+)[^()]*,[^()]*\)')
"""(B, D), (N,), (T + 1,), (2, D), (height, width) …"""
UNIT = re.compile(r'\bdB\b|\bpixels?\b|\bradians?\b|\bshares?\b|\bscalars?\b|\b0-d\b|seconds\b|\[-?\d|in their unit\b')
SEE = re.compile(r'^See `')
"""A method that leaves the description to the one that it replaces."""


def definitions(rooms: tuple[str, ...]) -> Iterator[tuple[str, Definition]]:
    """(place, node) of each public class and function at the top of a module, and of each public method."""
    for room in rooms:
        for path in sorted((PACKAGE / room).rglob('*.py')):
            for node in ast.parse(path.read_text(encoding='utf-8')).body:
                yield from ((f'{room}/{path.stem}.{name}', each) for name, each in public(node))


def public(node: ast.AST, owner: str = '') -> Iterator[tuple[str, Definition]]:
    if isinstance(node, Definition) and not node.name.startswith('_'):
        yield owner + node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                yield from public(inner, f'{node.name}.')


def annotations(node: Definition) -> str:
    """The types of a function's arguments and result, or of a class's attributes."""
    if isinstance(node, ast.ClassDef):
        return ' '.join(ast.unparse(line.annotation) for line in node.body if isinstance(line, ast.AnnAssign))
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return ' '.join(ast.unparse(part) for part in [node.returns, *(each.annotation for each in arguments)] if part)


def is_network(node: Definition) -> bool:
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base) == 'nn.Module' for base in node.bases)


def raised(node: Definition) -> set[str]:
    """The errors that a function, or the constructor of a class, raises in its own body."""
    if isinstance(node, ast.ClassDef):
        return {error for each in node.body if getattr(each, 'name', '') in ('__init__', '__post_init__')
                for error in raised(each)}
    calls = [each.exc for each in ast.walk(node) if isinstance(each, ast.Raise)]
    return {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            and call.func.id.endswith('Error')}


def text_of(place: str) -> str:
    """The docstring; of a class with that of its constructor, of `forward` (torch's name) that of its class."""
    node = PLACES[place.removesuffix('.forward')]
    inside = [each for each in node.body if getattr(each, 'name', '') == '__init__']
    return '\n'.join(filter(None, (ast.get_docstring(each) for each in (node, *inside))))


PLACES = dict(definitions(ROOMS))


@pytest.mark.parametrize('place', [place for place, node in PLACES.items()
                                   if NUMBERS.search(annotations(node)) or is_network(node)])
def test_what_takes_or_returns_numbers_says_their_shape_or_unit(place: str) -> None:
    text = text_of(place)
    assert SHAPE.search(text) or UNIT.search(text) or SEE.search(text), text


@pytest.mark.parametrize('place', [place for place, node in PLACES.items() if raised(node)])
def test_every_error_that_is_raised_is_announced(place: str) -> None:
    text = text_of(place)
    assert SEE.search(text) or {error for error in raised(PLACES[place]) if f'{error}:' not in text.partition(
        'Raises:')[2]} == set(), text

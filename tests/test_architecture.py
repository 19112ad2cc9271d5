"""The code keeps to its rooms: who may import whom, and how long a function may be."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'cface_basicsr'
MODULES = sorted(PACKAGE.rglob('*.py'))
ROOMS = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
SHARED = {'ops', 'errors', 'checkpoints', 'lfw_files', '__version__'}
"""What every room may import."""

MAY_IMPORT: dict[str, set[str]] = {
    'ops': set(), 'options': set(), 'archs': set(), 'losses': set(), 'metrics': set(),
    'data': {'options'}, 'models': {'options'}, 'evaluation': {'options'},
    'benchmark': ROOMS | {'options', 'register'}, 'cli': ROOMS | {'options', 'register'},
    'compat': {'options', 'data'},  # its sampler hands each index its epoch
}
LONGEST, MIDDLE = 60, 12
"""Lines of the longest function, and of the median one."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, what of the package is imported), wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: a relative import'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        for name in names:
            parts = name.split('.')
            if parts[0] == 'cface_basicsr' and len(parts) > 1:
                yield node.lineno, parts[1]


def test_every_room_is_listed_here_and_none_is_called_utils() -> None:
    assert set(MAY_IMPORT) == ROOMS
    assert not [path for path in MODULES if 'util' in path.stem]


@pytest.mark.parametrize('room', sorted(ROOMS))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT[room] | SHARED | {room}
    wrong = [f'{path.relative_to(PACKAGE)}:{line} imports {what}' for path in MODULES if room_of(path) == room
             for line, what in imports(path) if what not in allowed]
    assert wrong == []


def test_importing_the_package_alone_does_nothing() -> None:
    tree = ast.parse((PACKAGE / '__init__.py').read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call))]


def functions() -> Iterator[tuple[str, int]]:
    """(place, lines without the docstring) of every function."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[0]
                text = ast.get_docstring(node) is not None and first.end_lineno - first.lineno + 1
                lines = node.end_lineno - node.lineno + 1 - text
                yield f'{path.relative_to(PACKAGE)}:{node.lineno} {node.name}', lines


def test_functions_are_short() -> None:
    lengths = dict(functions())
    assert {place: length for place, length in lengths.items() if length > LONGEST} == {}
    assert statistics.median(lengths.values()) <= MIDDLE


def test_every_argument_and_result_has_a_type() -> None:
    untyped = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ('self', 'cls')]
                if bare or node.returns is None:
                    untyped.append(f'{path.relative_to(PACKAGE)}:{node.lineno} {node.name}')
    assert untyped == []




@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_and_every_public_name_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    assert ast.get_docstring(tree) or not tree.body, 'no docstring'
    silent = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
              and not node.name.startswith('_') and ast.get_docstring(node) is None]
    assert silent == []

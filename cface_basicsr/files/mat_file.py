"""The one reader of MATLAB files. scipy reads them, in a process of its own: a damaged file can end that process.

What comes back is JSON, so nothing that the file could make of that process reaches this one.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from typing_extensions import TypedDict

from cface_basicsr.errors import UserError, check_file, describe_error
from cface_basicsr.files.json_file import parse_json

_MOST_BYTES, _MOST_MEMORY, _MOST_SECONDS = 1 << 26, 2 << 30, 60
_ALONE = {'PYTHONSAFEPATH': '1', 'OPENBLAS_NUM_THREADS': '1'}
"""Nothing is imported from the working folder, and no memory is taken for threads."""


class _Value(TypedDict):
    """An array: of texts, of numbers, or of arrays (a cell array)."""

    kind: Literal['text', 'number', 'cell', 'other']
    shape: list[int]
    values: list[Any]


_Value.__pydantic_config__ = {'extra': 'forbid'}


def read_mat(path: str | Path, expected: str) -> dict[str, np.ndarray]:
    """The variables of a MATLAB file of version 7 or older: numbers, texts, and cell arrays (type object) of them.

    Raises:
        UserError: the file is missing, too large, damaged, or of another kind.
    """
    path = check_file(path, expected)
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"'{path}' has {path.stat().st_size:,} bytes; expected at most {_MOST_BYTES:,}.")
    command = [sys.executable, '-m', __name__, str(path.absolute())]
    done = subprocess.run(command, capture_output=True, check=False, env=os.environ | _ALONE)
    if done.returncode:
        why = done.stderr.decode('utf-8', 'replace').strip() if done.returncode == 2 else 'scipy gives up'
        raise UserError(f"'{path}' cannot be read as a MATLAB file (version 7 or older): {why[:150]}. Copy it again.")
    found = parse_json(done.stdout, f"'{path}'", dict[str, _Value])
    return {name: _array(value) for name, value in found.items()}


def read_variables(path: str | Path, expected: str, *names: str) -> dict[str, np.ndarray]:
    """Those variables of a MATLAB file; see `read_mat`.

    Raises:
        UserError: one is missing.
    """
    content = read_mat(path, expected)
    if absent := [name for name in names if name not in content]:
        came = ', '.join(name for name in content if not name.startswith('__')) or 'no variables'
        raise UserError(f"'{path}' lacks {', '.join(absent)}: expected {', '.join(names)}, got {came[:100]}.")
    return {name: content[name] for name in names}


def cell_text(cell: Any) -> str:
    """The text of a cell; '' where it holds something else."""
    while isinstance(cell, np.ndarray) and cell.size == 1:
        cell = cell.item()
    return str(cell) if isinstance(cell, str) else ''


def _array(value: Any) -> np.ndarray:
    if value['kind'] == 'cell':
        cells = np.empty(len(value['values']), object)
        cells[:] = [_array(each) for each in value['values']] if len(cells) else []
        return cells.reshape(value['shape'])
    kind = {'text': str, 'number': None, 'other': np.bytes_}[value['kind']]
    return np.array(value['values'], kind).reshape(value['shape'])


def _plain(value: np.ndarray) -> dict[str, Any]:
    kind = {'U': 'text', 'O': 'cell'}.get(value.dtype.kind, 'number' if value.dtype.kind in 'iufb' else 'other')
    values = [_plain(np.asarray(each)) for each in value.flat] if kind == 'cell' else value.ravel().tolist()
    return {'kind': kind, 'shape': list(value.shape), 'values': values if kind != 'other' else [''] * value.size}


def variables(path: str | Path) -> dict[str, Any]:
    """The variables of a file as plain values; only for a process of its own."""
    import scipy.io
    return {name: _plain(value) for name, value in scipy.io.loadmat(path).items() if isinstance(value, np.ndarray)}


if __name__ == '__main__':
    for _limit, _most in ((resource.RLIMIT_DATA, _MOST_MEMORY), (resource.RLIMIT_CPU, _MOST_SECONDS),
                          (resource.RLIMIT_CORE, 0)):
        _hard = resource.getrlimit(_limit)[1]
        resource.setrlimit(_limit, (_most if _hard == resource.RLIM_INFINITY else min(_most, _hard),) * 2)
    try:
        print(json.dumps(variables(sys.argv[1])))
    except Exception as _error:  # what a broken file raises depends on where it is broken
        print(describe_error(_error), file=sys.stderr)
        sys.exit(2)

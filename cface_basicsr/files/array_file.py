"""The one reader of NumPy's files: what a header claims is compared with the file before anything is allocated."""

import io
import math
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from cface_basicsr.errors import UserError, check_file, describe_error

_MOST_TIMES_LARGER = 30
"""How much larger the arrays of a compressed archive may be than the archive, above the first megabytes."""
_SMALL = 1 << 24


def read_npy(path: str | Path, expected: str = 'Expected a .npy file.') -> np.ndarray:
    """The array of a .npy file, mapped from the disk.

    Raises:
        UserError: it is missing, cut off, holds Python objects, or is no .npy file.
    """
    path = check_file(path, expected)
    try:
        with open(path, 'rb') as file:
            shape, column_first, kind = _header(file)
            start = file.tell()
        _check_length(shape, kind, path.stat().st_size - start)
    except Exception as error:  # numpy parses the header as Python, and fails in as many ways
        if isinstance(error, OSError) and error.filename:
            raise
        raise UserError(f"'{path}' is cut off, or no .npy file ({describe_error(error)}). {expected}") from error
    order = 'F' if column_first else 'C'
    return np.memmap(path, kind, 'r', start, shape, order) if math.prod(shape) else np.empty(shape, kind, order)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f'version {version} of the format')
    return read(file)


def _check_length(shape: tuple[int, ...], kind: np.dtype, there: int) -> None:
    if kind.hasobject or min(shape, default=0) < 0 or not all(type(side) is int for side in shape):
        raise ValueError(f'{kind} of shape {shape}')
    if (needed := math.prod(shape) * kind.itemsize) > there:
        raise ValueError(f'{kind} of shape {shape} needs {needed:,} bytes, {there:,} are there')


def read_npz(path: str | Path, expected: str = 'Expected a .npz file.') -> dict[str, np.ndarray]:
    """Name -> array of a .npz file.

    Raises:
        UserError: it is missing, damaged, holds Python objects, or would become many times as large as it is.
    """
    path = check_file(path, expected)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            whole = sum(member.file_size for member in members)
            if whole > _SMALL + _MOST_TIMES_LARGER * path.stat().st_size:
                raise ValueError(f'{whole:,} bytes when unpacked')
            return {member.filename.removesuffix('.npy'): _unpacked(archive.read(member)) for member in members}
    except Exception as error:  # of the archive, of its compression, or of a header
        if isinstance(error, OSError) and error.filename:
            raise
        raise UserError(f"'{path}' is damaged, or no .npz file ({describe_error(error)}). {expected}") from error


def _unpacked(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    shape, column_first, kind = _header(file)
    _check_length(shape, kind, len(content) - file.tell())
    values = np.frombuffer(content, kind, math.prod(shape), file.tell())
    return values.reshape(shape, order='F' if column_first else 'C').copy()

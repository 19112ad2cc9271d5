"""Caffe network files for tests, put together byte by byte as protobuf's encoding says, without protobuf."""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def new_blob(values: np.ndarray) -> bytes:
    """Sizes in a message of their own (7), packed floats (5); between them a gradient (6), which nobody needs."""
    shape = _bytes(1, b''.join(_varint(side) for side in values.shape))
    floats = values.astype('<f4').tobytes()
    return _bytes(5, floats) + _bytes(6, bytes(4)) + _bytes(7, shape)


def old_blob(values: np.ndarray) -> bytes:
    """Always four sizes (1 to 4), leading ones; each float with a tag of its own."""
    sides = (1,) * (4 - values.ndim) + values.shape
    floats = b''.join(_varint(5 << 3 | 5) + struct.pack('<f', value) for value in values.ravel())
    return b''.join(_number(field, side) for field, side in enumerate(sides, 1)) + floats


def double_blob(values: np.ndarray) -> bytes:
    """Doubles (8) instead of floats."""
    return _bytes(8, values.astype('<f8').tobytes()) + _bytes(7, _bytes(1, b''.join(map(_varint, values.shape))))


def write_caffemodel(path: Path, layers: Mapping[str, Iterable[np.ndarray]], blob: str = 'new') -> Path:
    """A network of layers {name: blobs}, and one without any. blob: 'new', 'double', or 'old' (files before 2015)."""
    as_blob = {'new': new_blob, 'double': double_blob, 'old': old_blob}[blob]
    of_net, of_name, of_blobs = (2, 4, 6) if blob == 'old' else (100, 1, 7)
    content = _bytes(1, b'made-up net')
    for name, blobs in {'data': (), **layers}.items():
        layer = _bytes(of_name, name.encode()) + b''.join(_bytes(of_blobs, as_blob(each)) for each in blobs)
        content += _bytes(of_net, layer)
    path.write_bytes(content)
    return path

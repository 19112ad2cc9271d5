"""The text files next to a .rec: .idx (record number, offset), property (people, height, width), .lst (paths)."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.errors import UserError


def read_idx(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(R,) record numbers, ascending, and (R,) offsets into the .rec in bytes.

    Raises:
        UserError: the lines are not two whole numbers from 0, or a number or an offset occurs twice.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about an empty file, for which there is a better message below
            table = np.loadtxt(path, np.int64, delimiter='\t', comments=None, encoding='latin-1', ndmin=2)
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f"'{path}': expected a record number, a tab and an offset on each line; {error}") from error
    if table.shape[0] == 0 or table.shape[1] != 2 or table.min() < 0:
        raise UserError(f"'{path}': expected a record number, a tab and an offset on each line, whole numbers from 0; "
                        f'got {len(table)} lines of {table.shape[1]} numbers, the smallest {table.min(initial=0)}.')
    numbers, offsets = table[np.argsort(table[:, 0], kind='stable')].T
    for kind, values in (('number', numbers), ('offset', np.sort(offsets))):
        if (twice := np.flatnonzero(np.diff(values) == 0)).size:
            raise UserError(f"'{path}' lists {kind} {values[twice[0]]} twice.")
    return np.ascontiguousarray(numbers), np.ascontiguousarray(offsets)


def read_property(path: Path) -> tuple[int, int, int]:
    """(people, height, width) from the first line; other tools may add lines after it.

    Raises:
        UserError: the first line has another form.
    """
    first = path.read_bytes()[:1000].decode('latin-1').partition('\n')[0].strip()
    match = re.fullmatch(r'([0-9]+) *, *([0-9]+) *, *([0-9]+)', first)
    if not match:
        raise UserError(f"'{path}': expected 'people,height,width', got '{first[:60]}'. Without it they are counted.")
    people, height, width = map(int, match.groups())
    return people, height, width


_OTHER_SET = 'It belongs to another set. Remove it to have the images named by their record numbers.'


class _Line(NamedTuple):
    """A line of a .lst: the number of the record (None if the order tells it), its label and path."""

    number: int | None
    label: float
    path: str


def original_names(path: Path, numbers: NDArray[np.int64], labels: NDArray[np.int64]) -> list[str]:
    """The paths in a .lst, one for each image of a set.

    InsightFace's lines are 'aligned, path, label, …' in the order of the images, MXNet's 'number, label(s), path' in
    any order; both with tabs.

    Args:
        path: of the .lst.
        numbers: (N,) record numbers of the images.
        labels: (N,) their labels.

    Raises:
        UserError: the .lst has other images, or other labels for them.
    """
    lines = list(_lines(path))
    if lines and lines[0].number is not None:
        by_number = {line.number: line for line in lines}
        lines = [by_number[number] for number in numbers.tolist() if number in by_number]
    if len(lines) != len(numbers):
        raise UserError(f"'{path}' fits {len(lines)} of the set's images, expected {len(numbers)}.\n{_OTHER_SET}")
    differ = np.flatnonzero(labels != np.array([line.label for line in lines]))
    if differ.size:
        line, row = lines[differ[0]], differ[0]
        raise UserError(f"'{path}' gives '{line.path}' the label {line.label:g}, but record {numbers[row]} has "
                        f'{labels[row]}.\n{_OTHER_SET}')
    return [line.path for line in lines]


def _lines(path: Path) -> Iterator[_Line]:
    with open(path, encoding='utf-8', errors='surrogateescape', newline='\n') as file:
        for row, text in enumerate(file, 1):
            fields = text.rstrip('\r\n').split('\t')
            try:
                if text.strip() and (line := _line(fields)):
                    yield line
            except (ValueError, IndexError) as error:
                raise UserError(f"'{path}', line {row}: expected 'aligned, path, label' (InsightFace) or 'number, "
                                f"label, path' (MXNet), separated by tabs; got '{text.strip()[:80]}'.") from error


def _line(fields: list[str]) -> _Line | None:
    """None for a photograph that InsightFace's packer leaves out, because it is not aligned and has no landmarks."""
    try:
        label = float(fields[1])
    except ValueError:
        aligned, path, label = int(fields[0]), fields[1], float(fields[2])
        left_out = not aligned and len(fields) < 17  # 3 fields, 4 of a box, 10 of landmarks
        return None if left_out else _Line(None, label, path)
    return _Line(int(fields[0]), label, fields[-1])

"""Tables of numbers about images: CelebA's text files, their CSV versions, and plain files that users write.

A line holds the name of an image and its numbers, separated by blanks (any number of them) or by commas. Above the
first such line there may be the number of lines (as in CelebA's files), then the names of the columns. Empty lines and
lines that start with # are skipped.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.files.text_file import read_lines

Annotations = dict[str, tuple[float, ...]]
"""The numbers of each image, by its name."""


def read_annotation_table(path: str | Path, columns: Sequence[str]) -> Annotations:
    """Read a table, in the order of the file.

    Args:
        path: the file.
        columns: names of the numbers in a line, for the error messages; their count is checked.

    Raises:
        UserError: the file is missing, a line has another form, a name occurs twice, or the number of lines is not
            the one given at the top.
    """
    lines = read_lines(path, f"Expected a table of {', '.join(columns)} for each image.")
    lines = [(number, line) for number, line in lines if not line.startswith('#')]
    declared = int(lines.pop(0)[1]) if lines and re.fullmatch(r'[0-9]{1,18}', lines[0][1]) else None
    if lines and _numbers(lines[0][1], len(columns)) is None and not any(map(_is_number, _words(lines[0][1]))):
        lines.pop(0)  # names of the columns
    table: Annotations = {}
    for number, line in lines:
        name, values = _numbers(line, len(columns)) or ('', ())
        if not name:
            raise UserError(f"'{path}', line {number}: expected a name and {len(columns)} numbers "
                            f"({' '.join(columns)}), got '{line[:60]}'.")
        if name in table:
            raise UserError(f"'{path}', line {number}: '{name}' occurs for the second time.")
        table[name] = values
    if declared is not None and declared != len(table):
        raise UserError(f"'{path}' declares {declared} lines but holds {len(table)}: it is truncated. Copy it again.")
    if not table:
        raise UserError(f"'{path}' has no line with a name and {len(columns)} numbers ({' '.join(columns)}).")
    return table


def count_numbers(path: str | Path) -> int:
    """How many numbers follow the name in the first line that has a name and numbers; 0: no line has both."""
    for _, line in read_lines(path, 'Expected a table of numbers for each image.'):
        words = _words(line)
        numbers = next((place for place, word in enumerate(reversed(words)) if not _is_number(word)), len(words))
        if 0 < numbers < len(words) and not line.startswith('#'):
            return numbers
    return 0


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.split(',')] if ',' in line else line.split()


def _numbers(line: str, count: int) -> tuple[str, tuple[float, ...]] | None:
    """The name in a line, which may contain blanks, and its numbers; None if the line has another form."""
    words = line.rsplit(',', count) if ',' in line else line.rsplit(None, count)
    if len(words) != count + 1 or not all(map(_is_number, words[1:])) or (',' in line and ',' in words[0]):
        return None
    return words[0].strip(), tuple(map(float, words[1:]))


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False

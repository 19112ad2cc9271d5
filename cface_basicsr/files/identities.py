"""identities.csv of a prepared folder: the identity of each image, joined to everything else by key."""

import io
import re
from pathlib import Path

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.files.key_list import KeyHash, KeyList, line_heads, whole_lines
from cface_basicsr.files.text_file import read_table, table_text

IDENTITIES_HEADER = ['key', 'label', 'original_name']
PREPARE_COMMAND = '`cface prepare --layout casia SRC --out DIR --scale 2 4 8 --crop center`'


_ROW = re.compile(rb'^([^,\n]+,[0-9]{1,9}),[^\n]*\n', re.MULTILINE)
"""Key and label of a line as `identity_table` writes it."""


def identity_table(accepted: dict[str, tuple[str, str]]) -> tuple[str, int]:
    """The text of identities.csv, and its number of identities; labels are dense, in the order of sorted keys."""
    labels: dict[str, int] = {}
    rows = [[key, labels.setdefault(key.split('/')[0], len(labels)), accepted[key][0]] for key in sorted(accepted)]
    return table_text([IDENTITIES_HEADER, *rows], keys=1), len(labels)


def identities_file(path: str | Path) -> Path:
    """The identities.csv of a prepared folder, or the file itself."""
    path = Path(path)
    return path / 'identities.csv' if path.is_dir() else path


def read_identities(folder_or_csv: str | Path) -> tuple[list[str], np.ndarray]:
    """Keys and labels of identities.csv (columns key, label, original_name), sorted by key.

    Returns:
        (keys, labels): N strings and an int64 array (N,) with values 0 .. C-1.

    Raises:
        UserError: the file is missing, or a line is malformed.
    """
    path, pairs = identities_file(folder_or_csv), []
    expected = f"Expected a table with the columns {', '.join(IDENTITIES_HEADER)}.\nMake it with {PREPARE_COMMAND}."
    for number, row in read_table(path, IDENTITIES_HEADER[:2], expected):
        try:
            pairs.append((row[0].strip(), _label(row[1])))
        except (IndexError, ValueError) as error:
            raise UserError(f"'{path}', line {number}: expected 'key,label,original name' with a whole number from 0 "
                            'as label.') from error
    pairs.sort()
    return [key for key, _ in pairs], np.array([label for _, label in pairs], np.int64)


def read_labels(folder_or_csv: str | Path, keys: KeyList) -> np.ndarray | None:
    """The labels of the same keys, int32 (N,), without a Python string for each image; None if the table has others.

    Raises:
        UserError: see `read_identities`.
    """
    path, digest, labels = identities_file(folder_or_csv), KeyHash(), [np.array([], np.int32)]
    with open(path, 'rb') if path.is_file() else io.BytesIO() as file:
        if file.readline().rstrip() == ','.join(IDENTITIES_HEADER).encode():
            for lines in whole_lines(file):
                names, numbers = _rows(lines)
                digest.add(names)
                labels.append(numbers)
    if digest.hexdigest() == keys.sha256:
        return np.concatenate(labels)
    listed, others = read_identities(path)  # written by hand, or of another data set
    return others.astype(np.int32) if keys == listed else None


def _rows(lines: bytes) -> tuple[list[bytes], np.ndarray]:
    """Keys and labels of whole lines of identities.csv, int32 (n,); lines of another form are left out."""
    found = line_heads(lines, b',')
    numbers = None if found is None else _numbers_behind(lines, found[1])
    if found is None or numbers is None:
        cells = b','.join(_ROW.findall(lines)).split(b',')
        return cells[::2], np.array(cells[1::2], 'S9').astype(np.int32)
    return found[0], numbers


def _numbers_behind(lines: bytes, places: np.ndarray) -> np.ndarray | None:
    """The whole numbers of at most nine digits between these places (n,) and the next comma, int32 (n,); else None."""
    content, numbers = np.frombuffer(lines, np.uint8), np.zeros(len(places), np.int32)
    unfinished = np.ones(len(places), bool)
    for digits in range(10):
        letters = content[np.minimum(places + 1 + digits, len(content) - 1)]
        unfinished &= letters != ord(',')
        if digits and not unfinished.any():
            return numbers
        values = letters - np.uint8(ord('0'))  # above 9 for other letters
        if not digits and not unfinished.all() or (values[unfinished] > 9).any():
            return None
        numbers = np.where(unfinished, numbers * 10 + values, numbers)
    return None


def _label(text: str) -> int:
    label = int(text)
    if not 0 <= label < 2 ** 63:
        raise ValueError(text)
    return label

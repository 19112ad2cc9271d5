"""Text files and tables that people edit: in UTF-8, with or without a mark at the start, as spreadsheets save them."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError, check_file

_DELIMITERS = ',;\t'
_FORMULA = '=+-@\t\r\n＝＋－＠'
"""What begins a formula in a spreadsheet (OWASP, CSV injection)."""


_MOST_BYTES = 1 << 30


def read_whole(path: str | Path, expected: str, kind: str = '', most: int = _MOST_BYTES) -> bytes:
    """The bytes of a file, if it is not larger than files of its kind can be.

    Args:
        expected, kind: see `errors.check_file`.
        most: bytes.

    Raises:
        UserError: the file is missing, or larger.
    """
    path = check_file(path, expected, kind)
    if (size := path.stat().st_size) > most:
        raise UserError(f"'{path}' has {size:,} bytes; expected at most {most:,}. It is another kind of file.")
    return path.read_bytes()


def read_text(path: str | Path, expected: str) -> str:
    """The text of a UTF-8 file; bytes that are not UTF-8, as in old names, become lone surrogates.

    Args:
        expected: a sentence for the message about a missing file.

    Raises:
        UserError: the file is missing, or not text.
    """
    content = read_whole(path, expected)
    if b'\0' in content:
        raise UserError(f"'{path}' is not UTF-8 text. {expected}\nA spreadsheet saves it as 'CSV UTF-8'.")
    return content.decode('utf-8-sig', 'surrogateescape')


def read_lines(path: str | Path, expected: str) -> list[tuple[int, str]]:
    """(number from 1, line) of those lines of a text file that are not empty; see `read_text`."""
    lines = io.StringIO(read_text(path, expected), newline=None)
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def has_header(line: str, header: Sequence[str]) -> bool:
    """Whether the first line of a table begins with these columns."""
    return _delimiter(line, header) is not None


def _delimiter(line: str, header: Sequence[str]) -> str | None:
    for delimiter in _DELIMITERS:
        cells = [cell.strip().lower() for cell in next(csv.reader([line[:1000]], delimiter=delimiter), [])]
        if cells[:len(header)] == list(header):
            return delimiter
    return None


def read_table(path: str | Path, header: Sequence[str], expected: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each line below the header; commas, semicolons or tabs between the cells.

    Empty lines, and empty cells at the end of a line, are left out.

    Args:
        header: what the first line begins with.
        expected: see `read_text`.

    Raises:
        UserError: the file is missing, not text, or has another first line.
    """
    text = read_text(path, expected)
    first = next((line.strip() for line in io.StringIO(text, newline=None) if line.strip()), '')
    delimiter = _delimiter(first, header)
    if delimiter is None:
        raise UserError(f"'{path}': expected the first line '{','.join(header)}', got '{first[:60]}'.")
    rows = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
    filled = (row for row in rows if any(cell.strip() for cell in row))
    try:
        next(filled)
        for row in filled:
            while not row[-1].strip():
                row.pop()
            yield rows.line_num, row
    except csv.Error as error:  # a text without end, where a quotation mark was not closed
        raise UserError(f"'{path}', line {rows.line_num}: {error}. Is a quotation mark missing?") from error


def table_text(rows: Iterable[Sequence[Any]], keys: int = 0) -> str:
    """The text of a CSV file, in which no spreadsheet finds a formula: a text that looks like one begins with a '.

    Args:
        rows: the lines; numbers, and texts that are numbers, stay as they are.
        keys: number of columns at the left that hold keys of images. They stay as they are, since they name images;
            their characters (A-Z a-z 0-9 _ - % + /) make no call.
    """
    lines = (','.join([*map(_quoted, row[:keys]), *(_quoted(_without_formula(value)) for value in row[keys:])])
             for row in rows)
    return ''.join(f'{line}\n' for line in lines)


def _quoted(value: Any) -> str:
    """A cell. Unlike Python's writer before 3.13, it quotes a carriage return, which would begin a line."""
    text = str(value)
    return '"{}"'.format(text.replace('"', '""')) if set(text) & set(',"\r\n') else text


def _without_formula(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in tuple(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value

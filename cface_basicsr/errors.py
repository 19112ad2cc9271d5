"""The one error for bad input: a message of one to three lines instead of a traceback."""

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


class UserError(ValueError):
    """Bad input. The message says what was expected, what came, and what to do; the commands exit with code 2.

    >>> isinstance(UserError('expected a face, got a cat.'), ValueError)
    True
    """


def check_file(path: str | Path, expected: str, kind: str = '') -> Path:
    """The path of a file that must exist.

    Args:
        expected: sentences that follow "'PATH' is missing."
        kind: a word or two before the path.

    Raises:
        UserError: it is missing, or not a file.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{kind} '{path}' is a folder. {expected}".lstrip())
    if not path.is_file():
        raise UserError(f"{kind} '{path}' is missing. {expected}".lstrip())
    return path


def describe_error(error: Exception) -> str:
    """An error of another library in one line: its type, and the first 160 characters of its message."""
    return f'{type(error).__name__}: {" ".join(str(error).split())[:160]}'


def refusal(error: OSError) -> str:
    """What the operating system says against a file, in one line: its path and the reason.

    >>> refusal(OSError(28, 'No space left on device', 'out/hr.lmdb'))
    "'out/hr.lmdb': No space left on device."
    """
    names = [f"'{os.fspath(name)}'" for name in (error.filename, error.filename2) if name is not None]
    return f'{" and ".join(names)}{": " if names else ""}{error.strerror or error}.'


def first_few(names: Sequence[str]) -> str:
    """The first three names, and how many more there are.

    >>> first_few(['a', 'b', 'c', 'd'])
    'a, b, c and 1 more'
    """
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def check_known(what: str, name: str, valid: Iterable[str]) -> None:
    """Check that a name is one of the valid ones.

    Args:
        what: is called so, in the message.

    Raises:
        UserError: it is not; the message gives the nearest.
    """
    if name not in valid:
        raise UserError(f"{what} '{name}' is unknown; {nearest(name, valid)}")


def nearest(name: str, valid: Iterable[str]) -> str:
    """Half a sentence that names the valid name nearest to a misspelt one, or all of them if none is near.

    >>> nearest('gama1', ['gamma1', 'distance'])
    "did you mean 'gamma1'?"
    """
    valid = sorted(valid)
    match = get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else f"valid: {', '.join(valid)}"

"""The one error for bad input: a message of one to three lines instead of a traceback."""

import errno
import os
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


class UserError(ValueError):
    """Bad input. The message says what was expected, what came, and what to do; the commands exit with code 2.

    Names and bytes of files may be part of it: it holds no character that controls a terminal, and no endless word or
    line.

    >>> isinstance(UserError('expected a face, got a cat.'), ValueError)
    True
    """

    def __init__(self, message: object = '') -> None:
        words = re.sub(rf'\S{{{_LONGEST_WORD},}}', _without_middle, visible(str(message)))
        super().__init__(re.sub(rf'.{{{LONGEST_LINE + 1},}}', _without_end, words))


_LONGEST_WORD, LONGEST_LINE = 200, 1000
_MOST_CHARACTERS, _MOST_LINES = 300, 3


def _without_middle(word: re.Match[str]) -> str:
    return f'{word[0][:30]}…{word[0][-30:]}'


def _without_end(line: re.Match[str]) -> str:
    return f'{line[0][:LONGEST_LINE - 1]}…'


def visible(text: str) -> str:
    r"""A text in which what cannot be seen, but for blanks and ends of lines, is written as an escape.

    >>> visible('a\x1b[2J.png')
    'a\\x1b[2J.png'
    """
    if text.isprintable():
        return text
    return ''.join(each if each.isprintable() or each == '\n' else each.encode('unicode_escape').decode()
                   for each in text)


def shown(message: object) -> str:
    """A message as the commands print it: at most 3 lines and 300 characters.

    What is longer loses the middle of its names, then the middle of its longest line.
    """
    text = '\n'.join(visible(str(message)).splitlines()[:_MOST_LINES])
    for most in (120, 60):
        if len(text) > _MOST_CHARACTERS:
            text = re.sub(rf"'[^'\n]{{{most},}}'", lambda name, side=most // 2 - 1: (
                f'{name[0][:side]}…{name[0][-side:]}'), text)
    while (extra := len(text) - _MOST_CHARACTERS) > 0:
        longest = max(text.split('\n'), key=len)
        middle = (len(longest) - extra) // 2
        text = text.replace(longest, f'{longest[:middle]}…{longest[middle + extra + 1:]}', 1)
    return text


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


def describe_error(error: BaseException) -> str:
    """An error of another library in one line: its type, and the first 120 characters of its message."""
    return f'{type(error).__name__}: {" ".join(str(error).split())[:120]}'


def refusal(error: OSError) -> str:
    """What the operating system says against a file: its path, the reason, and what to do.

    >>> refusal(OSError(28, 'No space left on device', 'out/hr.lmdb'))
    "'out/hr.lmdb': No space left on device. Make room there, or choose another disk, and start again."
    """
    names = [f"'{os.fsdecode(name) if isinstance(name, bytes) else name}'" for name in (error.filename, error.filename2)
             if name is not None]
    advice = _ADVICE.get(error.errno, '')
    return f'{" and ".join(names)}{": " if names else ""}{error.strerror or error}.{" " if advice else ""}{advice}'


_WRITABLE = 'Choose a place that you may read and write.'
_FOLDER = 'Choose another name: a file is in the way of a folder.'
_ADVICE = {errno.ENOSPC: 'Make room there, or choose another disk, and start again.',
           errno.EDQUOT: 'Make room there, or choose another disk, and start again.',
           errno.EACCES: _WRITABLE, errno.EPERM: _WRITABLE, errno.EROFS: _WRITABLE,
           errno.ENOTDIR: _FOLDER, errno.EEXIST: _FOLDER, errno.EISDIR: 'Choose another name: a folder has this one.',
           errno.ENAMETOOLONG: 'Choose a shorter name.', errno.ENOENT: 'Look whether its folder is there.',
           errno.EMFILE: 'Raise the number of open files (ulimit -n).', errno.EIO: 'Look after the disk.'}
"""What to do, by the number of the error."""


def refused(error: BaseException) -> str:
    """What the commands print about bad input, and about what the system or a library refuses; see `shown`."""
    if isinstance(error, MemoryError):
        return shown(f'there is not enough memory ({describe_error(error)}). Give it less at a time, or use a larger '
                     'machine.')
    if isinstance(error, OSError):
        return shown(refusal(error))
    return shown(error if isinstance(error, UserError) else f'{describe_error(error)}. Is the disk full?')


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
    match = get_close_matches(name[:_LONGEST_WORD], valid, n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else f"valid: {_some(valid) or 'none'}"


def _some(names: Sequence[str]) -> str:
    """Names, but no more than fit into a message."""
    shown_names = list(names)
    while len(', '.join(shown_names)) > 180:
        shown_names.pop()
    more = len(names) - len(shown_names)
    return ', '.join(shown_names) + (f' and {more} more' if more else '')

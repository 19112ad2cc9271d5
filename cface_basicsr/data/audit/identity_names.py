"""Names of people: which identities of two sets are the same person, however each set spells the name."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.files.text_file import read_whole


def plain_name(name: str) -> str:
    """A name without what data sets spell differently: case, accents (Unicode NFKD), and all but letters and digits.

    >>> plain_name('A.J. Buckley') == plain_name('AJ_Buckley'), plain_name('Penélope_Cruz')
    (True, 'penelopecruz')
    """
    decomposed = unicodedata.normalize('NFKD', name.casefold())
    plain = ''.join(letter for letter in decomposed if letter.isalnum())
    return plain or name  # a name without letters and digits stays as it is


@dataclass(frozen=True)
class SharedPerson:
    """One name in both sets.

    Attributes:
        name: as it is spelled for the first identity of `train`.
        train, test: the identities with that name, usually one each.
        as_written: whether a spelling occurs in both sets; False: they agree only after `plain_name`.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    as_written: bool


def shared_people(train: Iterable[str], test: Iterable[str], train_names: Mapping[str, str] | None = None,
                  test_names: Mapping[str, str] | None = None) -> list[SharedPerson]:
    """The people in both sets, by name.

    Args:
        train, test: identities.
        train_names, test_names: identity -> name, if identities are numbers; any other identity is its own name.
    """
    train_names, test_names = train_names or {}, test_names or {}
    left, right = _by_plain_name(train, train_names), _by_plain_name(test, test_names)
    shared = []
    for plain in sorted(left.keys() & right.keys()):
        ours, theirs = tuple(left[plain]), tuple(right[plain])
        spelled = [train_names.get(identity, identity) for identity in ours]
        as_written = any(test_names.get(identity, identity) in spelled for identity in theirs)
        shared.append(SharedPerson(spelled[0], ours, theirs, as_written))
    return shared


def _by_plain_name(identities: Iterable[str], names: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for identity in sorted(set(identities)):
        found[plain_name(names.get(identity, identity))].append(identity)
    return found


def read_names(path: str | Path, identities: Iterable[str]) -> dict[str, str]:
    """Names of identities that are numbers, from lines 'id name' as in CASIA-WebFace's list.

    Id and name may be separated by blanks, a tab or a comma; empty lines are skipped.

    Args:
        path: the file.
        identities: those that need a name.

    Returns:
        id -> name.

    Raises:
        UserError: the file is missing, a line has another form, an id has two names, or no identity is in the file.
    """
    names: dict[str, str] = {}
    try:
        lines = read_whole(path, "Expected lines 'id name'.", 'names file').decode('utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"names file '{path}' is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    for number, line in enumerate(lines, 1):
        identity, _, name = re.sub(r'^(\S+?)[\s,]+', r'\1\n', line.strip()).partition('\n')
        if not line.strip():
            continue
        if not name:
            raise UserError(f"'{path}', line {number}: expected 'id name', got '{line.strip()[:60]}'.")
        if names.setdefault(identity, name) != name:
            raise UserError(f"'{path}', line {number}: '{identity}' is '{name}', but above '{names[identity]}'.")
    identities = sorted(set(identities))
    if not names.keys() & set(identities):
        raise UserError(f"'{path}' has names for {len(names)} ids, for example '{next(iter(names), '')}', but for none "
                        f"of the {len(identities)} identities, for example '{identities[0]}'.")
    return names

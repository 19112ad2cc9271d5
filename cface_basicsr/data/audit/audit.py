"""Do a training set and a test set share people or pictures? (`cface audit`)

Names are compared, then pictures: by a hash of their pixels, then by a perceptual hash. What the perceptual hash takes
for alike is looked at once more, as pictures, so that what is reported can be trusted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cface_basicsr.data.audit.identity_names import SharedPerson, plain_name, shared_people
from cface_basicsr.data.audit.near_duplicates import ALIKE, NEAR, NearPair, near_duplicates
from cface_basicsr.data.audit.picture_set import Distinct, Fingerprints, PictureSet, fingerprints
from cface_basicsr.data.layouts.source import identity_name
from cface_basicsr.runtime import Progress


@dataclass(frozen=True)
class Match:
    """One picture under several keys.

    Attributes:
        kind: 'equal' (all pixels), 'near', or 'mirrored' (near to the mirrored picture).
        train, test: its keys in each set; for a match within one set, two groups of keys of that set.
        people: the names behind the keys.
        same_person: whether a key of the one side and a key of the other have one name.
        distance: bits in which the hashes differ.
        likeness: see `near_duplicates.likeness`.
    """

    kind: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    people: tuple[str, ...]
    same_person: bool
    distance: int = 0
    likeness: float = 1.0


@dataclass
class SideFacts:
    """One side in numbers: `crop` in words, `rejected` (path, reason) of what could not be read."""

    folder: str
    crop: str
    images: int
    identities: int
    rejected: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Audit:
    """What an audit found.

    Attributes:
        train, test: the sides.
        people: names in both.
        equal, near: pictures in both.
        within: 'train' and 'test' -> pictures of one set under two identities: one of the labels is wrong.
        settings: near, alike, near_within; empty where names alone were compared.
        notes: what a reader of the result must know.
    """

    train: SideFacts
    test: SideFacts
    people: list[SharedPerson] = field(default_factory=list)
    equal: list[Match] = field(default_factory=list)
    near: list[Match] = field(default_factory=list)
    within: dict[str, list[Match]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def overlaps(self) -> bool:
        """Whether anything is in both sets."""
        return bool(self.people or self.equal or self.near)

    def as_plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {'overlaps': self.overlaps} | asdict(self)


@dataclass(frozen=True)
class Names:
    """Names of identities that are numbers: identity -> name, for each side."""

    train: Mapping[str, str] = field(default_factory=dict)
    test: Mapping[str, str] = field(default_factory=dict)


def people_of(pictures: PictureSet) -> set[str]:
    """The identities of a set, as they were called."""
    return {identity_name(key) for key in pictures.keys}


def audit_names(train: PictureSet, test: PictureSet, names: Names | None = None) -> Audit:
    """Compare the people alone; no picture is opened."""
    names = names or Names()
    result = Audit(*(SideFacts(str(side.folder), side.crop_in_words(), len(side.sources), len(people_of(side)),
                               side.rejected) for side in (train, test)))
    nameless = [f"'{side.folder}'" for side in (train, test) if not side.has_identities]
    if nameless:
        result.notes.append(f'{" and ".join(nameless)}: nothing says who is on the pictures; names were not compared.')
        return result
    result.people = shared_people(people_of(train), people_of(test), names.train, names.test)
    if any(person.name.isdigit() for person in result.people):
        result.notes.append('Names in both are numbers: they mean one person only where both sets number alike. '
                            '--names FILE gives names to numbers.')
    return result


def audit(train: PictureSet, test: PictureSet, *, show: Progress, names: Names | None = None, near: int = NEAR,
          within: bool = False, workers: int = 1) -> Audit:
    """Compare people and pictures.

    Args:
        near: bits in which the hashes of near-duplicates may differ.
        within: also look for near-duplicates inside each set, under two identities; equal ones are always reported.
        workers: processes.

    Raises:
        UserError: no picture can be read, or so many pairs are near one another that these are no photographs.
    """
    names = names or Names()
    result = audit_names(train, test, names)
    result.settings = {'near': near, 'alike': ALIKE, 'near_within': within}
    sides = []
    for title, pictures, facts, named in (('training pictures', train, result.train, names.train),
                                          ('test pictures', test, result.test, names.test)):
        prints = _read(title, pictures, workers, show)
        facts.rejected = [*pictures.rejected, *prints.rejected]
        sides.append(Distinct(pictures, prints, named))
    result.equal = list(equal_pictures(*sides))
    result.near = near_pictures(*sides, near, workers, show)
    for name, side in zip(('train', 'test'), sides, strict=True):
        result.within[name] = list(equal_within(side))
        if within:
            result.within[name] += near_within(name, side, near, workers, show)
    return result


def _read(title: str, pictures: PictureSet, workers: int, show: Progress) -> Fingerprints:
    show.start(title, len(pictures.sources))
    prints = fingerprints(pictures, workers=workers, progress=show.advance)
    show.end(title, f'{len(prints.sources)} read' + (f', {len(prints.rejected)} not' if prints.rejected else ''))
    return prints


def _match(kind: str, left: Distinct, left_keys: Sequence[str], right: Distinct, right_keys: Sequence[str],
           distance: int = 0, likeness: float = 1.0) -> Match:
    called = [[side.called(key) for key in keys] for side, keys in ((left, left_keys), (right, right_keys))]
    plain = [{plain_name(name) for name in names} for names in called]
    return Match(kind, tuple(left_keys), tuple(right_keys), tuple(dict.fromkeys(called[0] + called[1])),
                 bool(plain[0] & plain[1]), distance, round(likeness, 4))


def equal_pictures(train: Distinct, test: Distinct) -> Iterator[Match]:
    """Pictures of both sets with equal pixels, under whatever name."""
    for mark in train.marks:
        if mark in test.number:
            yield _match('equal', train, train.keys(mark), test, test.keys(mark))


def equal_within(side: Distinct) -> Iterator[Match]:
    """Pictures of one set with equal pixels, under two identities."""
    for mark in side.marks:
        keys = side.keys(mark)
        people = {key: plain_name(side.called(key)) for key in keys}
        if len(set(people.values())) > 1:
            first = [key for key in keys if people[key] == people[keys[0]]]
            yield _match('equal', side, first, side, [key for key in keys if key not in first])


def near_pictures(train: Distinct, test: Distinct, radius: int, workers: int, show: Progress) -> list[Match]:
    """Pictures of both sets that are near one another, mirrored or not; the equal ones are left out."""
    twin = np.array([test.number.get(mark, -1) for mark in train.marks], np.int64)
    pairs = near_duplicates(train, test, radius, lambda rows, others: twin[rows] != others, workers=workers, show=show)
    return _matches(train, test, pairs)


def near_within(name: str, side: Distinct, radius: int, workers: int, show: Progress) -> list[Match]:
    """Pictures of one set that are near one another, under two identities."""
    numbers: dict[str, int] = {}
    person = np.array([numbers.setdefault(plain_name(side.called(side.source(number).key)), len(numbers))
                       for number in range(len(side.marks))], np.int64)
    pairs = near_duplicates(side, side, radius, lambda rows, others: person[rows] != person[others], later=True,
                            workers=workers, show=show, title=f'near-duplicates inside {name}')
    return _matches(side, side, pairs)


def _matches(left: Distinct, right: Distinct, pairs: list[NearPair]) -> list[Match]:
    return [_match('mirrored' if pair.mirrored else 'near', left, left.keys(left.marks[pair.left]), right,
                   right.keys(right.marks[pair.right]), pair.distance, pair.likeness) for pair in pairs]

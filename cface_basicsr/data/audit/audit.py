"""Do a training set and a test set share people or pictures? (`cface audit`)

Names are compared, then pictures: by a hash of their pixels, then by a perceptual hash. Pairs that the perceptual hash
finds are compared once more as pictures, so that what is reported can be trusted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cface_basicsr.data.audit.identity_names import SharedPerson, plain_name, shared_people
from cface_basicsr.data.audit.near_duplicates import ALIKE, NEAR, NearPair, near_duplicates
from cface_basicsr.data.audit.picture_set import Distinct, Fingerprinted, PictureSet, fingerprint_pictures
from cface_basicsr.data.layouts.source import counted
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import Progress


@dataclass(frozen=True)
class Match:
    """One picture under several keys.

    Attributes:
        kind: 'equal' (all pixels), 'near', or 'mirrored' (near to the mirrored picture).
        train, test: its keys in each set; for a match within one set, two groups of keys of that set.
        people: the names that belong to the keys.
        same_person: whether a key of one side and a key of the other have the same name.
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
    """Facts about one side: `crop` describes its pictures, `rejected` has (path, reason) of what could not be read."""

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
        within: 'train' and 'test' -> pictures of one set under two identities, so one of the labels is wrong.
        settings: near, alike, near_within; empty if only names were compared.
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


def audit_names(train: PictureSet, test: PictureSet) -> Audit:
    """Compare only the names; no picture is opened."""
    result = Audit(*(SideFacts(str(side.folder), side.describe_crop(), len(side.sources), len(side.identities),
                               side.rejected) for side in (train, test)))
    nameless = [f"'{side.folder}'" for side in (train, test) if not side.has_identities]
    if nameless:
        result.notes.append(f'{" and ".join(nameless)}: nothing says who is on the pictures; names were not compared.')
        return result
    result.people = shared_people(train.identities, test.identities, train.names, test.names)
    if any(person.name.isdigit() for person in result.people):
        result.notes.append('Names in both are numbers: they mean the same person only if both sets use the same '
                            'numbering. --names FILE gives names to numbers.')
    return result


def audit(train: PictureSet, test: PictureSet, *, show: Progress, near: int = NEAR, within: bool = False,
          workers: int = 1) -> Audit:
    """Compare names and pictures.

    Args:
        train, test: the two sets.
        show: is told of the progress.
        near: bits of 120 in which the hashes of near-duplicates may differ.
        within: also look for near-duplicates inside each set, under two identities; equal pictures are always reported.
        workers: number of processes.

    Raises:
        UserError: the pictures cannot be read any more, or too many pairs are near each other for photographs.
    """
    result = audit_names(train, test)
    result.settings = {'near': near, 'alike': ALIKE, 'near_within': within}
    sides = []
    for title, pictures, facts in (('training', train, result.train), ('test', test, result.test)):
        found = _read(f'{title} pictures', pictures, workers, show)
        facts.rejected = [*pictures.rejected, *found.rejected]
        sides.append(Distinct(pictures, found))
    result.equal = list(equal_pictures(*sides))
    result.near = near_pictures(*sides, near, workers, show)
    for name, side in zip(('train', 'test'), sides, strict=True):
        result.within[name] = list(equal_within(side))
        if within:
            result.within[name] += near_within(name, side, near, workers, show)
    return result


def _read(title: str, pictures: PictureSet, workers: int, show: Progress) -> Fingerprinted:
    show.start(title, len(pictures.sources))
    found = fingerprint_pictures(pictures, workers=workers, progress=show.advance)
    if not found.sources and found.rejected:
        raise UserError(f"'{pictures.folder}': none of the pictures ({pictures.describe_crop()}) can be compared: "
                        f'{counted(found.rejected)}.')
    show.end(title, f'{len(found.sources)} read' + (f', {len(found.rejected)} not' if found.rejected else ''))
    return found


def _match(kind: str, left: Distinct, left_keys: Sequence[str], right: Distinct, right_keys: Sequence[str],
           distance: int = 0, likeness: float = 1.0) -> Match:
    names = [[side.pictures.name_of(key) for key in keys] for side, keys in ((left, left_keys), (right, right_keys))]
    plain = [set(map(plain_name, each)) for each in names]
    return Match(kind, tuple(left_keys), tuple(right_keys), tuple(dict.fromkeys(names[0] + names[1])),
                 bool(plain[0] & plain[1]), distance, round(likeness, 4))


def equal_pictures(train: Distinct, test: Distinct) -> Iterator[Match]:
    """Pictures of both sets with equal pixels, whatever their names."""
    for fingerprint in train.fingerprints:
        if fingerprint in test.number:
            yield _match('equal', train, train.keys(fingerprint), test, test.keys(fingerprint))


def equal_within(side: Distinct) -> Iterator[Match]:
    """Pictures of one set with equal pixels, under two identities."""
    for fingerprint in side.fingerprints:
        keys = side.keys(fingerprint)
        names = {key: plain_name(side.pictures.name_of(key)) for key in keys}
        if len(set(names.values())) > 1:
            first = [key for key in keys if names[key] == names[keys[0]]]
            yield _match('equal', side, first, side, [key for key in keys if key not in first])


def near_pictures(train: Distinct, test: Distinct, radius: int, workers: int, show: Progress) -> list[Match]:
    """Pictures of both sets that are near each other, mirrored or not; equal ones are left out."""
    equal = np.array([test.number.get(fingerprint, -1) for fingerprint in train.fingerprints], np.int64)
    pairs = near_duplicates(train, test, radius, lambda rows, others: equal[rows] != others, workers=workers, show=show)
    return _matches(train, test, pairs)


def near_within(name: str, side: Distinct, radius: int, workers: int, show: Progress) -> list[Match]:
    """Pictures of one set that are near each other, under two identities."""
    numbers: dict[str, int] = {}
    names = (plain_name(side.pictures.name_of(side.source(place).key)) for place in range(len(side.fingerprints)))
    person = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    pairs = near_duplicates(side, side, radius, lambda rows, others: person[rows] != person[others], later=True,
                            workers=workers, show=show, title=f'near-duplicates inside {name}')
    return _matches(side, side, pairs)


def _matches(left: Distinct, right: Distinct, pairs: list[NearPair]) -> list[Match]:
    return [_match('mirrored' if pair.mirrored else 'near', left, left.keys(left.fingerprints[pair.left]), right,
                   right.keys(right.fingerprints[pair.right]), pair.distance, pair.likeness) for pair in pairs]

"""Protocols over whole sets of images instead of listed pairs: identification, closed and open, and LFW-BLUFR."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation import blufr
from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.identification import draw_galleries, open_set_rate, probe_ranks
from cface_basicsr.evaluation.pair_search import rates_at_fars
from cface_basicsr.evaluation.roc import FARS, RocCurve, binned_roc, equal_error_rate
from cface_basicsr.evaluation.verification import Ints, RateAtFar, allowed_at_far, count_pairs
from cface_basicsr.measuring.protocol import (
    Features,
    ListedProtocol,
    Outcome,
    Protocol,
    assumption_of_parts,
    outcome_of_parts,
    parts_of,
)
from cface_basicsr.measuring.table import Number

_ENLARGED = ('The standard error is enlarged for that (Nadeau and Bengio 2003); without it, it would be {times:.1f} '
             'times smaller.')


def _hash_of_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def _parts(labels: Ints) -> tuple[Ints, int, int]:
    """The people with several images, divided into parts, so that two systems can be compared part by part.

    Returns:
        the part (N,) of each image, -1 where it is its person's only one; how many people have several, and one.
    """
    _, place, count = np.unique(labels, return_inverse=True, return_counts=True)
    several = count > 1
    part = np.full(len(labels), -1)
    part[several[place]] = parts_of(place[several[place]])
    return part, int(several.sum()), int((~several).sum())


class IdentificationProtocol(Protocol):
    """Each image is searched among all others: is its person found at rank 1, at rank 5?"""

    name = 'identification'
    help = 'each image is searched among all others'
    gives = 'rank 1, rank 5'
    unit = 'parts'
    assumption = assumption_of_parts('People', 'gallery')
    paired = ('rank1', 'rank5')
    shown = (('rank1', 'rank 1 %', False), ('rank5', 'rank 5 %', False))

    def __init__(self, keys: Sequence[str], labels: Ints) -> None:
        """
        Args:
            keys, labels: of the N rows.

        Raises:
            UserError: nobody has two images.
        """
        self.labels, (self.part, people, single) = labels, _parts(labels)
        if not people:
            raise UserError(f'none of the {len(labels)} images has another one of its person, so nobody can be '
                            'found. Give data with two or more images of a person.')
        probes = int((self.part >= 0).sum())
        super().__init__(
            f'each of {probes:,} images of {people:,} people is searched among the other {len(labels) - 1:,} '
            f'images; {single:,} people with one image are there, but not searched for.',
            _hash_of_lines(f'{key},{label}' for key, label in zip(keys, labels, strict=True)),
            {'probes': probes, 'people': people, 'people_with_one_image': single, 'parts': int(self.part.max()) + 1})

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/rank1', '<name>/rank5'; `right` is not used by this protocol."""
        everyone = np.arange(len(features))
        ranks = probe_ranks(features, self.labels, everyone, everyone)
        probes = self.part >= 0
        return outcome_of_parts({f'{name}/rank{rank}': ranks[probes] <= rank for rank in (1, 5)}, self.part[probes])


# ------------------------------------------------------------------------------------------------------------ open set

class OpenSetProtocol(Protocol):
    """Galleries are drawn: people who are enrolled should be found, and others raise few false alarms."""

    name = 'open-set'
    help = 'ten galleries with one image of each of half the people; all other images are searched in them'
    gives = 'DIR at rank 1 and a false alarm rate of 1 %'
    unit = 'trials'
    assumption = f'Trials are draws from the same people: two share {{shared:.0%}} of those enrolled. {_ENLARGED}'
    paired = ('dir',)
    shown = (('dir', 'DIR % at rank 1, FAR {far_identification} %', True),)
    takes = ('far_identification', 'seed')

    def __init__(self, keys: Sequence[str], labels: Ints, *, far_identification: float | None = None,
                 seed: int = 0) -> None:
        """
        Args:
            keys, labels: of the N rows.
            far_identification: false alarms allowed, a share; None: 0.01.
            seed: of the draws.

        Raises:
            UserError: see `draw_galleries`.
        """
        self.labels, self.draws = labels, draw_galleries(labels, seed=seed)
        self.far = 0.01 if far_identification is None else far_identification
        impostors = [int((~np.isin(labels[draw.probe], labels[draw.gallery])).sum()) for draw in self.draws]
        genuine = [len(draw.probe) - count for draw, count in zip(self.draws, impostors, strict=True)]
        allowed = [allowed_at_far(self.far, count) for count in impostors]
        enrolled = len(self.draws[0].gallery)
        super().__init__(
            f'DIR at FAR = {100 * self.far:g} %: mean of {len(self.draws)} draws with seed {seed}, {enrolled} people '
            f'enrolled with one image each; in the first, {impostors[0]:,} images of others, of which {allowed[0]} may '
            'raise a false alarm.',
            _hash_of_lines([*(f'{key},{label}' for key, label in zip(keys, labels, strict=True)),
                            *(','.join(map(str, draw.gallery)) for draw in self.draws)]),
            {'trials': len(self.draws), 'enrolled': enrolled, 'far_identification': self.far, 'rank': 1, 'seed': seed},
            {'genuine_probes': genuine, 'impostor_probes': impostors, 'false_alarms': allowed},
            overlap(labels[draw.gallery] for draw in self.draws))

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/dir', 'dir_std'; `right` is not used by this protocol."""
        units = unit_features(features)
        rates = blufr.summary([open_set_rate(units, self.labels, draw.gallery, draw.probe, self.far, rank=1)
                               for draw in self.draws])
        return Outcome({f'{name}/dir': rates.mean, f'{name}/dir_std': rates.std},
                       {f'{name}/dir': rates.per_trial.tolist()})


# --------------------------------------------------------------------------------------------------------------- BLUFR

class BlufrProtocol(ListedProtocol):
    """LFW-BLUFR: ten trials over the whole set, verification and open-set identification at low false accept rates."""

    name = 'blufr'
    help = 'LFW-BLUFR: all pairs of ten large random parts of LFW'
    gives = 'VR at FAR 0.1 %, DIR at rank 1 and FAR 1 %, EER, TAR'
    unit = 'trials'
    assumption = f'Trials overlap: two of them share {{shared:.0%}} of their test people. {_ENLARGED}'
    paired = ('vr', 'dir')
    shown = (('vr_mean_minus_std', 'VR % at FAR {far} %, mean - std', False), ('vr', 'VR %, mean ± std', True),
             ('dir_mean_minus_std', 'DIR % at rank 1, FAR {far_identification} %, mean - std', False),
             ('dir', 'DIR %, mean ± std', True))
    takes = ('config', 'far', 'far_identification')
    lists = "the toolkit's blufr_lfw_config.mat, or its folder of lists"

    def __init__(self, config: Path, keys: Sequence[str], *, far: float | None = None,
                 far_identification: float | None = None, fars: Sequence[float] = FARS) -> None:
        """
        Args:
            config: `blufr_lfw_config.mat`, or the toolkit's folder of lists.
            keys: of the rows; they hold every image of the protocol.
            far: of VR, None: 0.001; far_identification: of DIR, None: 0.01.
            fars: further false accept rates, for 'tar@<far>' and 'eer'; none: VR and DIR only, in a fifteenth of the
                time.

        Raises:
            UserError: see `blufr.load_config` and `blufr.rows_of`.
        """
        self.config = blufr.load_config(config)
        self.rows = blufr.rows_of(self.config, keys)
        self.images = np.sort(self.rows)
        self.far = 0.001 if far is None else far
        self.far_identification = 0.01 if far_identification is None else far_identification
        self.fars = fars
        trials, images = len(self.config.trials), len(self.config.names)
        super().__init__(
            f'VR at FAR = {100 * self.far:g} % and DIR at FAR = {100 * self.far_identification:g} %: LFW-BLUFR, '
            f'{trials} trials over {images:,} images; the protocol reports mean - std over the trials (divisor '
            f'{trials - 1}).',
            lists_sha256(self.config),
            {'trials': trials, 'far': self.far, 'far_identification': self.far_identification, 'rank': 1,
             'config': str(config)}, self._counts(),
            overlap(self.config.labels[trial.test] for trial in self.config.trials))

    def _counts(self) -> dict[str, Any]:
        """Pairs and probes of each trial."""
        labels, trials = self.config.labels, self.config.trials
        genuine = [count_pairs(np.bincount(labels[trial.test])) for trial in trials]
        impostor = [count_pairs(len(trial.test)) - count for trial, count in zip(trials, genuine, strict=True)]
        known = [np.isin(labels[trial.probe], labels[trial.gallery]) for trial in trials]
        strangers = [int((~each).sum()) for each in known]
        rates = {'allowed': {f'{far:g}': [allowed_at_far(far, count) for count in impostor] for far in self.fars}}
        return {'genuine': genuine, 'impostor': impostor, **(rates if self.fars else {}),
                'genuine_probes': [int(each.sum()) for each in known], 'impostor_probes': strangers,
                'false_alarms': [allowed_at_far(self.far_identification, count) for count in strangers]}

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/vr', 'vr_std', 'vr_mean_minus_std', the same of 'dir', and 'tar@<far>'."""
        features = np.asarray(features)[self.rows]
        result = blufr.evaluate(features, self.config, far_verification=self.far,
                                far_identification=self.far_identification)
        numbers: dict[str, Number] = {}
        per_trial = {}
        for key, summary in (('vr', result.vr), ('dir', result.dir)):
            numbers |= {f'{name}/{key}': summary.mean, f'{name}/{key}_std': summary.std,
                        f'{name}/{key}_mean_minus_std': summary.mean_minus_std}
            per_trial[f'{name}/{key}'] = summary.per_trial.tolist()
        if self.fars:
            rates, curves = self._rates(features, [trial.verification for trial in result.trials])
            numbers |= {f'{name}/tar@{far:g}': blufr.summary(each).mean for far, each in rates.items()}
            numbers[f'{name}/eer'] = float(np.mean([equal_error_rate(curve) for curve in curves]))
        return Outcome(numbers, per_trial)

    def _rates(self, features: Features, known: list[RateAtFar]) -> tuple[dict[float, list[RateAtFar]], list[RocCurve]]:
        """At each false accept rate the verification rate of each trial (`known`: at --far); and their curves."""
        members = np.zeros((len(features), len(self.config.trials)), bool)
        for number, trial in enumerate(self.config.trials):
            members[trial.test, number] = True
        units = unit_features(features)
        others = rates_at_fars(units, self.config.labels, members, [far for far in self.fars if far != self.far])
        rates = {far: known if far == self.far else others[far] for far in self.fars}
        return rates, binned_roc(units, self.config.labels, members)


def overlap(trials: Iterable[Ints]) -> float:
    """The share of its people that a trial has in common with another one, on average.

    Args:
        trials: labels (N,) of the images of each.

    >>> overlap([np.array([0, 1]), np.array([1, 1, 2])])
    0.5
    """
    people = [set(labels.tolist()) for labels in trials]
    return float(np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in combinations(people, 2)]))


def lists_sha256(config: blufr.BlufrConfig) -> str:
    """A hash of the lists, the same for the .mat and for the folder of texts."""
    digest = hashlib.sha256('\n'.join(config.names).encode())
    for rows in (config.labels, *(rows for trial in config.trials for rows in trial)):
        digest.update(f'{len(rows)}\n'.encode() + np.ascontiguousarray(rows, '<i8').tobytes())
    return digest.hexdigest()

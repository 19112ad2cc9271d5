"""Protocols over whole sets of images instead of listed pairs: identification, and LFW-BLUFR."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation import blufr
from cface_basicsr.evaluation.binned_roc import binned_roc
from cface_basicsr.evaluation.identification import probe_ranks
from cface_basicsr.evaluation.pair_search import RateAtFar, rates_at_fars
from cface_basicsr.evaluation.roc import FARS, RocCurve, equal_error_rate
from cface_basicsr.evaluation.unit_features import unit_features
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.measuring.protocol import FEW_PASSING, Features, Outcome, Protocol
from cface_basicsr.measuring.table import Column, Number, Row, Table

RANKS = (1, 5)
_PARTS = 10


@dataclass
class _Parts:
    """The people with several images in parts, so that two systems can be compared part by part."""

    labels: Ints
    parts: int = field(init=False)
    of_image: Ints = field(init=False)

    def __post_init__(self) -> None:
        people, place, count = np.unique(self.labels, return_inverse=True, return_counts=True)
        several = count > 1
        self.parts = min(_PARTS, int(several.sum()))
        number = np.cumsum(several) - 1  # place among the people with several images
        self.of_image = np.where(several, number % max(self.parts, 1), -1)[place]
        self.people, self.alone = int(several.sum()), int((~several).sum())


class IdentificationProtocol(Protocol):
    """Each image looks for its person among all others: rank 1 and rank 5."""

    name = 'identification'

    def __init__(self, keys: Sequence[str], labels: Ints) -> None:
        """
        Args:
            keys, labels: of the rows.

        Raises:
            UserError: nobody has two images.
        """
        self.labels, self.parts = labels, _Parts(labels)
        if not self.parts.people:
            raise UserError(f'none of the {len(labels)} images has another one of its person: nobody can be found. '
                            'Give people with two or more images.')
        probes = int((self.parts.of_image >= 0).sum())
        listed = hashlib.sha256('\n'.join(f'{key},{label}' for key, label in zip(keys, labels, strict=True)).encode())
        super().__init__(
            f'each of {probes:,} images of {self.parts.people:,} people looks for its person among the other '
            f'{len(labels) - 1:,} images; {self.parts.alone:,} people with one image are there, but not looked for.',
            {'probes': probes, 'people': self.parts.people, 'people_with_one_image': self.parts.alone,
             'parts': self.parts.parts, 'compared_sha256': listed.hexdigest()})

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/rank1', '<name>/rank5'; `right` is not used by this protocol."""
        everyone = np.arange(len(features))
        ranks = probe_ranks(features, self.labels, everyone, everyone)
        numbers, per_part = {}, {}
        for rank in RANKS:
            found = (ranks <= rank) & (ranks > 0)
            numbers[f'{name}/rank{rank}'] = float(np.mean(found[ranks > 0]))
            per_part[f'{name}/rank{rank}'] = [float(np.mean(found[self.parts.of_image == part]))
                                              for part in range(self.parts.parts)]
        return Outcome(numbers, per_part if self.parts.parts > 1 else {})

    def columns(self, name: str) -> list[Column]:
        """See `Protocol.columns`."""
        return [Column(f'{name}/rank{rank}', f'rank {rank} % ({name})', 2, factor=100) for rank in RANKS]


# --------------------------------------------------------------------------------------------------------------- BLUFR

class BlufrProtocol(Protocol):
    """LFW-BLUFR: ten trials over the whole set, verification and open-set identification at few false accepts."""

    name = 'blufr'

    def __init__(self, config: Path, keys: Sequence[str], *, far: float = 1e-3,
                 far_identification: float = 1e-2) -> None:
        """
        Args:
            config: `blufr_lfw_config.mat`, or the toolkit's folder of lists.
            keys: of the rows; they hold every image of the protocol.
            far: of VR; far_identification: of DIR.

        Raises:
            UserError: see `blufr.load_config` and `blufr.rows_of`.
        """
        self.config = blufr.load_config(config)
        self.rows = blufr.rows_of(self.config, keys)
        self.far, self.far_identification = far, far_identification
        trials, images = len(self.config.trials), len(self.config.names)
        super().__init__(
            f'{trials} trials over {images:,} images; the protocol reports mean - std over the trials (divisor '
            f'{trials - 1}).',
            {'trials': trials, 'far': far, 'far_identification': far_identification, 'rank': 1,
             'shared': shared_people(self.config), 'config': str(config), 'compared_sha256': lists_sha256(self.config)})

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/vr', 'vr_std', 'vr_mean_minus_std', the same of 'dir', and 'tar@<far>'."""
        features = features[self.rows]
        result = blufr.evaluate(features, self.config, far_verification=self.far,
                                far_identification=self.far_identification)
        numbers: dict[str, Number] = {}
        per_trial = {}
        for key, summary in (('vr', result.vr), ('dir', result.dir)):
            numbers |= {f'{name}/{key}': summary.mean, f'{name}/{key}_std': summary.std,
                        f'{name}/{key}_mean_minus_std': summary.mean_minus_std}
            per_trial[f'{name}/{key}'] = summary.per_trial.tolist()
        rates, curves = self._rates(features, [trial.verification for trial in result.trials])
        numbers |= {f'{name}/tar@{far:g}': blufr.summary(each).mean for far, each in rates.items()}
        numbers[f'{name}/eer'] = float(np.mean([equal_error_rate(curve) for curve in curves]))
        probes = [trial.identification for trial in result.trials]
        return Outcome(numbers, per_trial, _in_words(rates, probes), _counts(rates, probes))

    def _rates(self, features: Features, known: list[RateAtFar]) -> tuple[dict[float, list[RateAtFar]], list[RocCurve]]:
        """At each usual false accept rate the verification rate of each trial (`known`: at --far); and their curves."""
        members = np.zeros((len(features), len(self.config.trials)), bool)
        for number, trial in enumerate(self.config.trials):
            members[trial.test, number] = True
        units = unit_features(features)
        others = rates_at_fars(units, self.config.labels, members, [far for far in FARS if far != self.far])
        rates = {far: known if far == self.far else others[far] for far in FARS}
        return rates, binned_roc(units, self.config.labels, members)

    def columns(self, name: str) -> list[Column]:
        """See `Protocol.columns`."""
        columns = []
        for key, title in (('vr', f'VR % at FAR {100 * self.far:g} %'),
                           ('dir', f'DIR % at rank 1, FAR {100 * self.far_identification:g} %')):
            columns += [Column(f'{name}/{key}_mean_minus_std', f'{title}, mean - std ({name})', 2, factor=100),
                        Column(f'{name}/{key}', f'{key.upper()} %, mean ± std ({name})', 2, factor=100,
                               spread=f'{name}/{key}_std')]
        return columns

    def rates(self, name: str, rows: Sequence[Row], outcome: Outcome) -> Table | None:
        """See `Protocol.rates`: means over the trials."""
        return replace(super().rates(name, rows, outcome),
                       title=f'Equal error and true accept rates, means over the trials ({name})')


def _in_words(rates: dict[float, list[RateAtFar]], probes: list[RateAtFar]) -> str:
    """The smallest and largest numbers of pairs and probes behind a trial."""
    trials = rates[FARS[0]]
    passing = ', '.join(f'{_range(rate.allowed for rate in each)} at {100 * far:g} %' for far, each in rates.items())
    return (f'Behind each trial: {_range(t.genuine for t in trials)} pairs of one person and '
            f'{_range(t.impostor for t in trials)} of different people, of which may pass: {passing}. For DIR: '
            f'{_range(t.genuine for t in probes)} probes of people in the gallery and '
            f'{_range(t.impostor for t in probes)} of others, of which {_range(t.allowed for t in probes)} may raise a '
            f'false alarm. {FEW_PASSING}')


def _counts(rates: dict[float, list[RateAtFar]], probes: list[RateAtFar]) -> dict[str, Any]:
    trials = rates[FARS[0]]
    return {'genuine': [t.genuine for t in trials], 'impostor': [t.impostor for t in trials],
            'allowed': {f'{far:g}': [rate.allowed for rate in each] for far, each in rates.items()},
            'genuine_probes': [t.genuine for t in probes], 'impostor_probes': [t.impostor for t in probes],
            'false_alarms': [t.allowed for t in probes]}


def _range(numbers: Iterable[int]) -> str:
    """'3 to 5', or '4' where all are equal."""
    numbers = list(numbers)
    return f'{min(numbers):,} to {max(numbers):,}' if min(numbers) < max(numbers) else f'{numbers[0]:,}'


def shared_people(config: blufr.BlufrConfig) -> float:
    """The share of its test people that a trial has in common with another one, on average."""
    people = [set(config.labels[trial.test].tolist()) for trial in config.trials]
    return float(np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in combinations(people, 2)]))


def lists_sha256(config: blufr.BlufrConfig) -> str:
    """A hash of the lists, the same for the .mat and for the folder of texts."""
    digest = hashlib.sha256('\n'.join(config.names).encode())
    for rows in (config.labels, *(rows for trial in config.trials for rows in trial)):
        digest.update(f'{len(rows)}\n'.encode() + np.ascontiguousarray(rows, '<i8').tobytes())
    return digest.hexdigest()

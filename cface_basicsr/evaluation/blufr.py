"""LFW under the BLUFR protocol (Liao et al. 2014): verification and open-set identification at few false accepts.

Definitions, rounding and ties are those of the official toolkit's EvalROC.m and OpenSetROC.m. Scores are cosines, in
the precision of the features (float32 or float64); every rate is exact for these scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.blufr_config import BlufrConfig, Trial, load_config, rows_of
from cface_basicsr.evaluation.open_set import open_set_rate
from cface_basicsr.evaluation.pair_search import rates_of_sets
from cface_basicsr.evaluation.unit_features import unit_features
from cface_basicsr.evaluation.verification import Floats, Ints, RateAtFar

__all__ = ['BlufrConfig', 'BlufrResult', 'BlufrTrial', 'RateAtFar', 'Summary', 'Trial', 'evaluate',
           'identification_rate', 'load_config', 'rows_of', 'verification_rate']


class BlufrTrial(NamedTuple):
    """One trial: VR@FAR over the pairs of its test set, DIR@FAR of its probes, each with its counts."""

    verification: RateAtFar
    identification: RateAtFar


class Summary(NamedTuple):
    """A rate over the trials: per_trial (T,), shares in [0, 1]; std has the divisor T - 1, as in MATLAB.

    The protocol reports mean_minus_std.
    """

    per_trial: Floats
    mean: float
    std: float
    mean_minus_std: float


@dataclass(frozen=True)
class BlufrResult:
    """The result of `evaluate`.

    Attributes:
        trials: each with its counts and thresholds.
        vr, dir: verification rate; detection and identification rate.
    """

    trials: tuple[BlufrTrial, ...]
    vr: Summary
    dir: Summary


def evaluate(features: ArrayLike, config: BlufrConfig, *, far_verification: float = 1e-3,
             far_identification: float = 1e-2, rank: int = 1) -> BlufrResult:
    """All trials of the protocol.

    Args:
        features: (N, D), any length, in the protocol's order: `features[rows_of(config, keys)]`.
        config: the official lists, see `load_config`.
        far_verification: false accept rate of VR, a share in [0, 1]: 0.001 is the protocol's 0.1 %.
        far_identification: false alarm rate of DIR, a share in [0, 1]: 0.01 is the protocol's 1 %.
        rank: of DIR, from 1 up.

    Raises:
        UserError: the number of features differs from that of the images, a feature is NaN, infinite or zero, a far is
            not a share, or a trial has no genuine or no impostor pairs or probes.
    """
    units = unit_features(features)
    if len(units) != len(config.names):
        raise UserError(f'expected a feature for each of {len(config.names)} images of BLUFR, got {len(units)}.\n'
                        'Put them into its order: features[rows_of(config, keys)].')
    members = np.zeros((len(units), len(config.trials)), bool)
    for number, trial in enumerate(config.trials):
        members[trial.test, number] = True
    verification = rates_of_sets(units, config.labels, members, far_verification)
    identification = [open_set_rate(units, config.labels, trial.gallery, trial.probe, far_identification, rank)
                      for trial in config.trials]
    return BlufrResult(tuple(BlufrTrial(*rates) for rates in zip(verification, identification, strict=True)),
                       summary(verification), summary(identification))


def summary(rates: Sequence[RateAtFar]) -> Summary:
    """Mean, standard deviation (divisor T - 1) and their difference over T >= 2 trials; shares in [0, 1]."""
    per_trial = np.array([each.rate for each in rates])
    mean, std = float(per_trial.mean()), float(per_trial.std(ddof=1))
    return Summary(per_trial, mean, std, mean - std)


def verification_rate(features: ArrayLike, labels: ArrayLike, far: float = 1e-3) -> float:
    """VR@FAR: the share of genuine pairs that are accepted, over all unordered pairs of the images.

    The threshold is the n-th largest score of an impostor pair, n = round(far * impostor pairs), halves rounded up; a
    pair is accepted at score >= threshold. With n = 0 no impostor may pass; if all may, every pair is accepted.

    Args:
        features: (N, D), any length; compared by cosine.
        labels: (N,) identities, any integers.
        far: false accept rate in [0, 1]; 0.001 is 0.1 %.

    Raises:
        UserError: shapes do not match, a feature is NaN, infinite or zero, or there are no genuine or impostor pairs.

    >>> verification_rate([[1.0, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], [0, 0, 1, 1], far=0.25)
    0.0
    """
    units, labels = unit_features(features), _labels(labels, len(features))
    return rates_of_sets(units, labels, np.ones((len(labels), 1), bool), far)[0].rate


def identification_rate(features: ArrayLike, labels: ArrayLike, gallery: ArrayLike, probe: ArrayLike,
                        far: float = 1e-2, rank: int = 1) -> float:
    """DIR@FAR and rank: the share of probes with an identity in the gallery that are found there, see `open_set_rate`.

    Args:
        features: (N, D), any length; compared by cosine.
        labels: (N,) identities, any integers.
        gallery, probe: row numbers into features, none of them in both.
        far: false alarms allowed, a share in [0, 1] of the probes whose identity is not in the gallery.
        rank: a probe counts as found up to this rank.

    Returns:
        A share in [0, 1].

    Raises:
        UserError: shapes do not match, a feature is NaN, infinite or zero, row numbers are out of range or occur twice,
            the gallery is empty, or none (or all) of the probes have an identity in the gallery.
    """
    labels = _labels(labels, len(features))
    return open_set_rate(unit_features(features), labels, gallery, probe, far, rank).rate


def _labels(labels: ArrayLike, images: int) -> Ints:
    labels = np.asarray(labels)
    if labels.shape != (images,) or labels.dtype.kind not in 'iu':
        raise UserError(f'labels: expected {images} integers, one per feature, got {labels.dtype} {labels.shape}.')
    return labels.astype(np.int64)

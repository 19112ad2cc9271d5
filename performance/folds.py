"""LFW's accuracy over ten folds: from 6,000 scores, and from the features of 13,233 faces.

The rival is the usual evaluation, written plainly: features at unit length, squared distances, and for each fold the
accuracy at each of 400 thresholds, of which the best on the other nine folds is taken.
"""

from typing import Any

import numpy as np

from performance.limits import Limit
from performance.measure import Finding, Times, ratio
from performance.sides import Job, Side, against

FOLDS = 10
REPEATS = 20
"""Runs of ours in a turn; one is too short to be timed."""


def run(*, pairs: int = 6000, images: int = 13_233, length: int = 512, thresholds: int = 400,
        rounds: int = 3, threads: int = 1) -> list[Finding]:
    """Measure.

    Args:
        pairs: a tenth of them in each fold, half of the same person.
        images, length: N and D of the features (N, D).
        thresholds: of the rival's grid.
        rounds: how often each side is measured.
        threads: of our side.
    """
    sizes = {'pairs': pairs, 'images': images, 'length': length}
    return [_race('lfw', f'`kfold_accuracy` of {pairs:,} scores in ten folds', {**sizes, 'from_features': False},
                  thresholds, rounds, Limit(moved=pairs * 9, threads=threads)),
            _race('lfw_features', f'the same from {images:,} features of length {length}, {pairs:,} pairs',
                  {**sizes, 'from_features': True}, thresholds, rounds,
                  Limit(moved=images * length * 4, threads=threads), at_most_ms=20)]


def _race(key: str, what: str, sizes: dict[str, Any], thresholds: int, rounds: int, limit: Limit,
          at_most_ms: float | None = None) -> Finding:
    race = against(Side('performance.folds:ours', sizes, limit.threads),
                   Side('performance.folds:grid', {**sizes, 'thresholds': thresholds}), rounds)
    each = Times([seconds / REPEATS for seconds in race.ours.seconds])
    faster = ratio(race.rival.seconds, each.seconds)
    value, unit = (faster, 'x') if at_most_ms is None else (1000 * each.median, 'ms')
    return Finding(key, f'{what} ({100 * race.ours.results[-1]:.2f} %)', f'{each.spread(1000)} ms',
                   f'{thresholds:,} thresholds a fold, in NumPy, {race.threads} thread(s): '
                   f'{race.rival.spread(1000)} ms ({100 * race.rival.results[-1]:.2f} %), {faster:.3g} x ours',
                   value, unit, 5.0 if at_most_ms is None else at_most_ms, at_most_ms is not None,
                   limit.words(), each.median / limit.seconds)


def faces(pairs: int, images: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, D), pairs (P, 2) and whether they show one person (P,), with as many errors as a real recognizer."""
    random = np.random.default_rng(0)
    same = np.tile(np.repeat([True, False], pairs // FOLDS // 2), FOLDS)
    people = random.normal(size=(images // 2, length)).astype(np.float32)
    features = np.repeat(people, 2, axis=0)
    features += random.normal(scale=2.0, size=features.shape).astype(np.float32)
    first = random.integers(0, images // 2, len(same))
    other = np.where(same, first, (first + random.integers(1, images // 2, len(same))) % (images // 2))
    return features, np.stack([2 * first, 2 * other + 1], axis=1), same


def ours(pairs: int, images: int, length: int, from_features: bool) -> Job:
    """The product's way, `REPEATS` times."""
    from cface_basicsr.evaluation.features import cosine_scores
    from cface_basicsr.evaluation.verification import kfold_accuracy
    features, rows, same = faces(pairs, images, length)
    scores = cosine_scores(features, rows)

    def job() -> float:
        for _ in range(REPEATS):
            found = kfold_accuracy(cosine_scores(features, rows) if from_features else scores, same, FOLDS).mean
        return found
    return job


def grid(pairs: int, images: int, length: int, from_features: bool, thresholds: int) -> Job:
    """The usual way."""
    features, rows, same = faces(pairs, images, length)
    known = distances(features, rows)
    return lambda: grid_accuracy(distances(features, rows) if from_features else known, same, thresholds)


def distances(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(P,) squared distances in [0, 4] of features at unit length."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return np.square(unit[rows[:, 0]] - unit[rows[:, 1]]).sum(axis=1)


def grid_accuracy(distances: np.ndarray, same: np.ndarray, thresholds: int) -> float:
    """The mean accuracy as most evaluations have it: try each threshold of a grid on nine folds, take the best ones'
    mean to the tenth."""
    limits, blocks = np.linspace(0, 4, thresholds), np.arange(len(distances)) * FOLDS // len(distances)
    accuracies = []
    for fold in range(FOLDS):
        train, test = blocks != fold, blocks == fold
        correct = np.array([np.count_nonzero((distances[train] < limit) == same[train]) for limit in limits])
        threshold = limits[correct == correct.max()].mean()
        accuracies.append(np.mean((distances[test] < threshold) == same[test]))
    return float(np.mean(accuracies))

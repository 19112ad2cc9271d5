"""The numbers of the protocols once more, by loops over single pairs and single probes."""

from collections.abc import Sequence

import numpy as np


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two features."""
    a, b = a.astype(float), b.astype(float)
    return float(sum(x * y for x, y in zip(a, b, strict=True)) / (sum(a * a) ** 0.5 * sum(b * b) ** 0.5))


def threshold(scores: Sequence[float], same: Sequence[bool]) -> float:
    """The mean of all midpoints (and both ends) with the most correct decisions."""
    distinct = sorted(set(scores))
    candidates = [distinct[0] - 1e-9, *((a + b) / 2 for a, b in zip(distinct, distinct[1:], strict=False)),
                  distinct[-1] + 1e-9]
    right = [sum((s > t) == y for s, y in zip(scores, same, strict=True)) for t in candidates]
    best = [t for t, count in zip(candidates, right, strict=True) if count == max(right)]
    return sum(best) / len(best)


def folds_accuracy(scores: Sequence[float], same: Sequence[bool], fold: Sequence[int]) -> list[float]:
    """Accuracy of each fold at the threshold of the others."""
    pairs = list(zip(scores, same, fold, strict=True))
    accuracies = []
    for number in sorted(set(fold)):
        train = [(s, y) for s, y, f in pairs if f != number]
        at = threshold(*zip(*train, strict=True))
        test = [(s > at) == y for s, y, f in pairs if f == number]
        accuracies.append(sum(test) / len(test))
    return accuracies


def official_lfw(features: np.ndarray, pairs: Sequence[Sequence[int]], same: Sequence[bool],
                 fold: Sequence[int]) -> list[float]:
    """Accuracy of each fold; the mean of the images of the other folds' pairs is taken away first."""
    accuracies = []
    for number in sorted(set(fold)):
        named = [row for pair, f in zip(pairs, fold, strict=True) if f != number for row in pair]
        mean = sum(features[row].astype(float) for row in named) / len(named)
        scores = [cosine(features[a] - mean, features[b] - mean) for a, b in pairs]
        accuracies.append(folds_accuracy(scores, same, fold)[sorted(set(fold)).index(number)])
    return accuracies


def rank_share(features: np.ndarray, labels: Sequence[int], rank: int) -> float:
    """Share of the images whose person is among the `rank` nearest other images."""
    hits, probes = 0, 0
    for probe, person in enumerate(labels):
        others = [row for row in range(len(labels)) if row != probe]
        if sum(labels[row] == person for row in others):
            nearest = sorted(others, key=lambda row: -cosine(features[probe], features[row]))[:rank]
            hits += any(labels[row] == person for row in nearest)
            probes += 1
    return hits / probes


def accept_rate(genuine: Sequence[float], impostor: Sequence[float], far: float) -> float:
    """Share of genuine scores at or above the n-th largest impostor score, n = round(far * impostors)."""
    allowed = int(far * len(impostor) + 0.5)
    at = sorted(impostor, reverse=True)[allowed - 1] if allowed else max(impostor) + 1e-9
    return sum(score >= at for score in genuine) / len(genuine)


def blufr_rates(features: np.ndarray, labels: Sequence[int], gallery: Sequence[int], probe: Sequence[int], far: float,
                far_identification: float) -> tuple[float, float]:
    """VR over all pairs of gallery and probe together, and DIR at rank 1, of one trial."""
    test = [*gallery, *probe]
    pairs = [(cosine(features[a], features[b]), labels[a] == labels[b])
             for place, a in enumerate(test) for b in test[:place]]
    vr = accept_rate([s for s, y in pairs if y], [s for s, y in pairs if not y], far)
    known = {labels[row] for row in gallery}
    highest = {row: max(cosine(features[row], features[g]) for g in gallery) for row in probe}
    false_alarms = [highest[row] for row in probe if labels[row] not in known]
    mates = []
    for row in probe:
        if labels[row] in known:
            mate = max(cosine(features[row], features[g]) for g in gallery if labels[g] == labels[row])
            mates.append(mate if mate == highest[row] else -2.0)  # below any score: not at rank 1
    return vr, accept_rate(mates, false_alarms, far_identification)

"""LFW's accuracy over ten folds from 6,000 scores, against the usual search over a grid of thresholds."""

import numpy as np

from performance.measure import Finding, Times, ratio, take_turns

FOLDS = 10


def run(*, pairs: int = 6000, thresholds: int = 20_001, rounds: int = 3) -> list[Finding]:
    """Measure.

    Args:
        pairs: a tenth of them in each fold, half of the same person.
        thresholds: of the grid from -1 to 1; SphereFace's official evaluation has 20,001.
        rounds: how often each side is measured; in a round ours runs 20 times.
    """
    from cface_basicsr.evaluation.verification import kfold_accuracy
    same = np.tile(np.repeat([True, False], pairs // FOLDS // 2), FOLDS)
    scores = np.tanh(np.random.default_rng(0).normal(0.5 * same, 0.25))
    found: dict[str, float] = {}

    def ours() -> None:
        for _ in range(20):
            found['ours'] = kfold_accuracy(scores, same, FOLDS).mean

    times = take_turns({'ours': ours, 'grid': lambda: found.update(grid=grid_accuracy(scores, same, thresholds))},
                       rounds)
    each = Times([seconds / 20 for seconds in times['ours'].seconds])
    return [Finding('lfw', f'`kfold_accuracy` of {pairs:,} scores in ten folds ({100 * found["ours"]:.2f} %)',
                    f'{each.spread(1000)} ms', f'a search over {thresholds:,} thresholds per fold, in NumPy: '
                    f'{times["grid"].spread()} s ({100 * found["grid"]:.2f} %)',
                    ratio(times['grid'].seconds, each.seconds), target=300, at_most=False)]


def grid_accuracy(scores: np.ndarray, same: np.ndarray, thresholds: int) -> float:
    """The mean accuracy as most evaluations have it: try each threshold of a grid on nine folds, take the best ones'
    mean to the tenth."""
    grid, blocks = np.linspace(-1, 1, thresholds), np.arange(len(scores)) * FOLDS // len(scores)
    accuracies = []
    for fold in range(FOLDS):
        train, test = blocks != fold, blocks == fold
        train_scores, train_same = scores[train], same[train]
        correct = np.array([np.count_nonzero((train_scores > threshold) == train_same) for threshold in grid])
        threshold = grid[correct == correct.max()].mean()
        accuracies.append(np.mean((scores[test] > threshold) == same[test]))
    return float(np.mean(accuracies))

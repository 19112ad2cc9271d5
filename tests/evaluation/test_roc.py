"""ROC, its area and the equal error rate are those of scikit-learn and of a hand-made case."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.roc import area_under_roc, equal_error_rate, mean_roc, roc_curve
from cface_basicsr.evaluation.verification import verification_rate_at_far


def scored_pairs(ties: bool) -> tuple[NDArray, NDArray]:
    random = np.random.default_rng(3)
    same = random.random(500) < 0.4
    scores = random.normal(size=500) + 1.2 * same
    return np.round(scores, 1) if ties else scores, same


@pytest.mark.parametrize('ties', [False, True])
def test_every_point_is_that_of_scikit_learn(ties: bool) -> None:
    scores, same = scored_pairs(ties)
    far, tar, thresholds = metrics.roc_curve(same, scores, drop_intermediate=False)
    ours = roc_curve(scores, same)
    np.testing.assert_allclose(ours.far, far, atol=1e-15)
    np.testing.assert_allclose(ours.tar, tar, atol=1e-15)
    np.testing.assert_array_equal(ours.thresholds, thresholds)


@pytest.mark.parametrize('ties', [False, True])
def test_the_det_curve_of_scikit_learn_lies_on_ours(ties: bool) -> None:
    scores, same = scored_pairs(ties)
    fpr, fnr, thresholds = metrics.det_curve(same, scores)
    ours = roc_curve(scores, same)
    at = [int(np.flatnonzero(ours.thresholds == threshold)[0]) for threshold in thresholds if np.isfinite(threshold)]
    finite = np.isfinite(thresholds)
    assert len(at) > 20
    np.testing.assert_allclose(ours.far[at], fpr[finite], atol=1e-15)
    np.testing.assert_allclose(1 - ours.tar[at], fnr[finite], atol=1e-15)


@pytest.mark.parametrize('ties', [False, True])
def test_the_area_is_that_of_scikit_learn_and_counts_pairs_won(ties: bool) -> None:
    scores, same = scored_pairs(ties)
    area = area_under_roc(roc_curve(scores, same))
    wins = (scores[same][:, None] > scores[~same]).mean() + 0.5 * (scores[same][:, None] == scores[~same]).mean()
    assert area == pytest.approx(metrics.roc_auc_score(same, scores))
    assert area == pytest.approx(wins)


def test_at_the_equal_error_rate_both_errors_are_equal() -> None:
    scores, same = scored_pairs(ties=False)
    curve = roc_curve(scores, same)
    far, tar, _ = metrics.roc_curve(same, scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 200_001)  # a slow search along the straight lines of scikit-learn's curve
    slow = grid[np.argmin(np.abs(grid - (1 - np.interp(grid, far, tar))))]
    assert equal_error_rate(curve) == pytest.approx(slow, abs=1 / (~same).sum())


def test_an_equal_error_between_two_points_is_on_the_line_that_joins_them() -> None:
    # At threshold 3: far 0, frr 1/2. At 2 the other two tie: far 1, frr 0. The line between meets far = frr at 1/3.
    curve = roc_curve([3, 2, 2], [1, 1, 0])
    assert equal_error_rate(curve) == pytest.approx(1 / 3)


@pytest.mark.parametrize(('scores', 'expected'), [([4, 3, 2, 1], 0.0), ([1, 2, 3, 4], 1.0)])
def test_perfect_and_reversed_scores_are_the_two_ends(scores: list[int], expected: float) -> None:
    curve = roc_curve(scores, [1, 1, 0, 0])
    assert equal_error_rate(curve) == expected
    assert area_under_roc(curve) == 1 - expected


def test_the_curve_passes_through_the_verification_rate_at_its_false_accept_rate() -> None:
    scores, same = scored_pairs(ties=False)
    curve = roc_curve(scores, same)
    allowed = round(0.1 * (~same).sum())
    reached = curve.tar[curve.far == allowed / (~same).sum()]
    assert verification_rate_at_far(scores, same, 0.1) in reached


def test_pairs_of_one_kind_are_refused() -> None:
    with pytest.raises(UserError, match='pairs of both kinds, got 2 of the same person and 0'):
        roc_curve([1, 2], [1, 1])


def test_the_mean_curve_is_the_mean_of_what_each_accepts_at_a_false_accept_rate() -> None:
    random = np.random.default_rng(5)
    same = np.repeat([True, False], [40, 25])
    seeds = [np.round(random.normal(size=65) + same, 1) for _ in range(3)]
    far, tar = mean_roc([roc_curve(scores, same) for scores in seeds])
    for each, mean in zip(far, tar, strict=True):  # a slow search over all thresholds
        reached = [max(np.mean(scores[same] >= t) for t in [*scores, np.inf]
                       if np.mean(scores[~same] >= t) <= each) for scores in seeds]
        assert mean == pytest.approx(np.mean(reached))


def test_the_mean_of_one_curve_keeps_its_upper_points() -> None:
    curve = roc_curve(*scored_pairs(ties=False))
    far, tar = mean_roc([curve])
    assert far.tolist() == sorted(set(curve.far.tolist()))
    assert tar.tolist() == [curve.tar[curve.far == each].max() for each in far]

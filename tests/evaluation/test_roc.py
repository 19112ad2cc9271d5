"""ROC, its area and the equal error rate are those of scikit-learn and of a hand-made case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.roc import FARS, RocCurve, equal_error_rate, mean_roc, roc_curve, tar_at_far
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
def test_the_det_curve_of_scikit_learn_is_on_ours(ties: bool) -> None:
    scores, same = scored_pairs(ties)
    fpr, fnr, thresholds = metrics.det_curve(same, scores)
    ours = roc_curve(scores, same)
    at = [int(np.flatnonzero(ours.thresholds == threshold)[0]) for threshold in thresholds if np.isfinite(threshold)]
    finite = np.isfinite(thresholds)
    assert len(at) > 20
    np.testing.assert_allclose(ours.far[at], fpr[finite], atol=1e-15)
    np.testing.assert_allclose(1 - ours.tar[at], fnr[finite], atol=1e-15)


def area_under(curve: RocCurve) -> float:
    """The chance that a true pair scores higher than a false one, ties counted half."""
    return float(np.trapezoid(curve.tar, curve.far))


@pytest.mark.parametrize('ties', [False, True])
def test_the_area_is_that_of_scikit_learn_and_counts_pairs_won(ties: bool) -> None:
    scores, same = scored_pairs(ties)
    area = area_under(roc_curve(scores, same))
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
    assert area_under(curve) == 1 - expected


def test_the_curve_passes_through_the_verification_rate_at_its_false_accept_rate() -> None:
    scores, same = scored_pairs(ties=False)
    curve = roc_curve(scores, same)
    allowed = round(0.1 * (~same).sum())
    reached = curve.tar[curve.far == allowed / (~same).sum()]
    assert verification_rate_at_far(scores, same, 0.1) in reached


def test_pairs_of_one_kind_are_refused() -> None:
    with pytest.raises(UserError, match='pairs of both kinds, got 2 of the same person and 0'):
        roc_curve([1, 2], [1, 1])


def test_the_mean_curve_is_the_mean_of_the_true_accept_rates_at_a_false_accept_rate() -> None:
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


pairs_with_ties = st.lists(st.tuples(st.integers(-8, 8).map(lambda n: n / 8), st.booleans()), min_size=2, max_size=40,
                           ).filter(lambda pairs: len({same for _, same in pairs}) == 2)


@settings(max_examples=150)
@given(pairs_with_ties, st.floats(0, 1))
def test_the_rate_at_a_false_accept_rate_equals_a_slow_search(pairs: list[tuple[float, bool]], far: float) -> None:
    scores, same = zip(*pairs, strict=True)
    impostor = [s for s, t in pairs if not t]
    entry = tar_at_far(scores, same, [far])[far]
    assert entry.allowed == int(far * len(impostor) + 0.5)
    assert (entry.genuine, entry.impostor) == (sum(same), len(impostor))
    # The strictest threshold that lets `allowed` impostors pass; ties with the last of them pass too.
    lets_pass = [t for t in [*scores, np.inf] if sum(s >= t for s in impostor) >= entry.allowed]
    strictest = max(lets_pass) if entry.allowed else min(t for t in [*scores, np.inf]
                                                         if not sum(s >= t for s in impostor))
    expected = np.mean([s >= strictest for s, t in pairs if t]) if entry.allowed < len(impostor) else 1
    assert entry.rate == pytest.approx(expected)
    assert entry.rate == np.mean([s >= entry.threshold for s, t in pairs if t])


def test_each_rate_comes_with_its_numbers_of_pairs() -> None:
    random = np.random.default_rng(6)
    same = np.repeat([True, False], [3000, 3000])
    scores = random.normal(size=6000) + 2 * same
    far, tar, _ = metrics.roc_curve(same, scores, drop_intermediate=False)
    found = tar_at_far(scores, same)
    assert list(found) == list(FARS) == [1e-1, 1e-2, 1e-3, 1e-4]
    assert [each.allowed for each in found.values()] == [300, 30, 3, 0]  # 0.3 impostors of 3,000: none
    for each in found.values():
        assert each.rate == pytest.approx(tar[np.isclose(far, each.allowed / 3000)].max() if each.allowed == 0 else
                                         tar[np.isclose(far, each.allowed / 3000)].min())
        assert (each.genuine, each.impostor) == (3000, 3000)
    assert found[1e-4].threshold > scores[~same].max() > found[1e-3].threshold


@settings(max_examples=100)
@given(pairs_with_ties)
def test_the_curve_ends_at_both_corners_and_the_equal_error_lies_on_it(pairs: list[tuple[float, bool]]) -> None:
    scores, same = zip(*pairs, strict=True)
    curve = roc_curve(scores, same)
    assert (curve.far[0], curve.tar[0], curve.far[-1], curve.tar[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.far) >= 0).all() and (np.diff(curve.tar) >= 0).all()
    far, tar, _ = metrics.roc_curve(same, scores, drop_intermediate=False)
    rate = equal_error_rate(curve)
    at = [(x, 1 - y) for x, y in zip(far, tar, strict=True)]
    slow = next(a[0] + share * (b[0] - a[0]) for a, b in zip(at, at[1:], strict=False) if b[0] >= b[1]
                for share in [(a[1] - a[0]) / (a[1] - a[0] + b[0] - b[1])])  # where the two straight lines cross
    assert rate == pytest.approx(slow)
    assert area_under(curve) == pytest.approx(metrics.roc_auc_score(same, scores))


def test_identical_scores_are_guessing() -> None:
    curve = roc_curve([.3] * 6, [1, 0] * 3)
    assert (equal_error_rate(curve), area_under(curve)) == (.5, .5)
    assert [each.rate for each in tar_at_far([.3] * 6, [1, 0] * 3, [0, .1, .4, 1]).values()] == [0, 0, 1, 1]


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_broken_scores_and_rates_are_refused(bad: float) -> None:
    with pytest.raises(UserError, match='1 of 3 scores are NaN or infinite'):
        roc_curve([.1, bad, .2], [1, 0, 0])
    with pytest.raises(UserError, match='1 of 3 scores are NaN or infinite'):
        tar_at_far([.1, bad, .2], [1, 0, 0])
    with pytest.raises(UserError, match='far: expected a share'):
        tar_at_far([.1, .3, .2], [1, 0, 0], [bad])

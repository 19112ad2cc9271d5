"""Accuracy from features: plain cosine, and SphereFace's official evaluation re-derived pair by pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics.pairwise import paired_cosine_distances
from sklearn.preprocessing import StandardScaler

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores
from cface_basicsr.evaluation.verification import FoldedPairs, centred_scores, kfold_accuracy, lfw_accuracy, make_pairs


def folded(features: int, folds: int, of_each_kind: int, seed: int) -> FoldedPairs:
    """Random different pairs: images occur several times and in several folds, as in LFW."""
    every = np.stack(np.triu_indices(features, 1), axis=1)
    chosen = np.random.default_rng(seed).choice(len(every), 2 * folds * of_each_kind, replace=False)
    return FoldedPairs(every[chosen], np.tile(np.repeat([True, False], of_each_kind), folds),
                       np.repeat(np.arange(folds), 2 * of_each_kind))


def correlated(pairs: FoldedPairs, count: int, length: int, seed: int) -> NDArray:
    """Features far from the origin, a little more alike if a pair shows the same identity."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, length)) + 3
    for (a, b), same in zip(pairs.pairs, pairs.same, strict=True):
        if same:
            features[b] += 0.4 * (features[a] - features[b])
    return features


def literal(features: NDArray, pairs: FoldedPairs) -> tuple[list[float], list[float]]:
    """Fold by fold and pair by pair, with the grid of 20,001 thresholds replaced by all midpoints."""
    accuracies, thresholds = [], []
    for number in range(pairs.fold.max() + 1):
        rows = [row for pair, fold in zip(pairs.pairs, pairs.fold, strict=True) if fold != number for row in pair]
        mean = sum(features[row] for row in rows) / len(rows)
        scores = []
        for a, b in pairs.pairs:
            left, right = features[a] - mean, features[b] - mean
            scores.append(float(np.dot(left / np.linalg.norm(left), right / np.linalg.norm(right))))
        train = [(s, t) for s, t, f in zip(scores, pairs.same, pairs.fold, strict=True) if f != number]
        test = [(s, t) for s, t, f in zip(scores, pairs.same, pairs.fold, strict=True) if f == number]
        ordered = sorted({s for s, _ in train})
        candidates = [ordered[0] - 1e-15, *((a + b) / 2 for a, b in zip(ordered, ordered[1:])),  # noqa: B905
                      ordered[-1] + 1e-15]
        correct = [sum((s > c) == t for s, t in train) for c in candidates]
        best = [c for c, n in zip(candidates, correct, strict=True) if n == max(correct)]
        thresholds.append(float(np.mean(best)))
        accuracies.append(float(np.mean([(s > np.mean(best)) == t for s, t in test])))
    return accuracies, thresholds


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 10_000))
def test_with_the_mean_it_equals_the_literal_evaluation(folds: int, of_each_kind: int, seed: int) -> None:
    pairs = folded(12, folds, of_each_kind, seed)
    features = correlated(pairs, 12, 6, seed)
    accuracies, thresholds = literal(features, pairs)
    result = lfw_accuracy(features, pairs, subtract_mean=True)
    np.testing.assert_allclose(result.per_fold, accuracies)
    np.testing.assert_allclose(result.thresholds, thresholds, atol=1e-12)
    assert result.std == pytest.approx(np.std(accuracies, ddof=1))


def test_the_official_grid_of_20001_thresholds_finds_the_same_if_it_is_fine_enough() -> None:
    pairs = folded(40, 4, 12, seed=11)
    features = correlated(pairs, 40, 24, seed=11)
    result = lfw_accuracy(features, pairs, subtract_mean=True)
    grid, single = np.arange(-10_000, 10_001) / 10_000, 0
    for number in range(4):
        train = pairs.fold != number
        scores = centred_scores(features, pairs.pairs, train)
        accepted, other = scores[train] > grid[:, None], scores[train] < grid[:, None]
        accuracy = (accepted & pairs.same[train]).sum(1) + (other & ~pairs.same[train]).sum(1)
        best = grid[accuracy == accuracy.max()]
        if np.diff(best).max() < 1.5e-4:  # one run: the mean of its grid points is its middle
            single += 1
            assert result.thresholds[number] == pytest.approx(best.mean(), abs=1e-4)
            right = (scores[~train] > best.mean()) == pairs.same[~train]
            assert result.per_fold[number] == pytest.approx(right.mean())
    assert single >= 2


def test_centred_scores_are_those_of_scikit_learn() -> None:
    pairs = folded(30, 3, 10, seed=1)
    features, train = correlated(pairs, 30, 16, seed=1), pairs.fold != 1
    left, right = (features[rows] for rows in pairs.pairs.T)
    centre = StandardScaler(with_std=False).fit(np.concatenate([left[train], right[train]]))
    expected = 1 - paired_cosine_distances(centre.transform(left), centre.transform(right))
    np.testing.assert_allclose(centred_scores(features, pairs.pairs, train), expected, atol=1e-12)


def test_an_image_in_two_pairs_counts_twice_and_the_tested_fold_does_not() -> None:
    features = np.array([[3.0, 0], [0, 3], [0, 6], [90, 90]])
    pairs, train = np.array([[0, 1], [0, 2], [3, 1]]), np.array([True, True, False])
    mean = np.array([1.5, 2.25])  # (2 f0 + f1 + f2) / 4
    a, b = features[0] - mean, features[1] - mean
    assert centred_scores(features, pairs, train)[0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_without_the_mean_it_is_the_plain_cosine_and_lengths_do_not_matter() -> None:
    pairs = folded(30, 5, 8, seed=2)
    features = correlated(pairs, 30, 8, seed=2)
    plain = lfw_accuracy(features, pairs, subtract_mean=False)
    expected = kfold_accuracy(cosine_scores(features, pairs.pairs), pairs.same, pairs.fold)
    scaled = lfw_accuracy(features * np.linspace(.1, 9, 30)[:, None], pairs, subtract_mean=False)
    for result in (plain, scaled):
        np.testing.assert_array_equal(result.per_fold, expected.per_fold)


def test_a_shift_of_all_features_spoils_the_cosine_and_is_subtracted_with_the_mean() -> None:
    labels = np.repeat(np.arange(40), 5)
    random = np.random.default_rng(3)
    features = random.normal(size=(40, 32))[labels] + .8 * random.normal(size=(200, 32))
    pairs = make_pairs(labels, pairs_per_fold=40)
    shift = 40 * random.normal(size=32)
    centred = lfw_accuracy(features, pairs, subtract_mean=True)
    again = lfw_accuracy(features + shift, pairs, subtract_mean=True)
    np.testing.assert_array_equal(again.per_fold, centred.per_fold)
    np.testing.assert_allclose(again.thresholds, centred.thresholds, atol=1e-9)
    assert centred.mean > lfw_accuracy(features + shift, pairs, subtract_mean=False).mean


def test_images_without_a_pair_do_not_count() -> None:
    pairs = folded(10, 2, 6, seed=4)
    features = correlated(pairs, 10, 4, seed=4)
    more = np.concatenate([features, 1e3 * np.ones((5, 4))])
    for one, two in zip(lfw_accuracy(features, pairs, subtract_mean=True),
                        lfw_accuracy(more, pairs, subtract_mean=True), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize('subtract_mean', [False, True])
def test_broken_input_is_refused(subtract_mean: bool) -> None:
    pairs = folded(10, 2, 6, seed=5)
    features = correlated(pairs, 10, 4, seed=5)
    for bad in (np.nan, np.inf):
        with pytest.raises(UserError, match='1 of 10 features are NaN, infinite or zero'):
            lfw_accuracy(np.where(np.arange(40).reshape(10, 4) == 17, bad, features), pairs,
                         subtract_mean=subtract_mean)
    with pytest.raises(UserError, match='there are 5 features'):
        lfw_accuracy(features[:5], pairs, subtract_mean=subtract_mean)
    with pytest.raises(UserError, match='at least two folds'):
        lfw_accuracy(features, pairs._replace(fold=np.zeros(24, int)), subtract_mean=subtract_mean)


def test_the_same_feature_for_all_faces_is_refused_if_the_mean_is_subtracted() -> None:
    pairs = folded(10, 2, 6, seed=6)
    features = np.tile(np.float32([.1, .7, .3]), (10, 1))
    with pytest.raises(UserError, match='of 10 features equal the mean of the training folds'):
        lfw_accuracy(features, pairs, subtract_mean=True)
    assert lfw_accuracy(features, pairs, subtract_mean=False).mean == .5

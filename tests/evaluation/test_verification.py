from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import (
    accuracy_over_folds,
    asked_pairs,
    kfold_accuracy,
    largest_pairs_per_fold,
    make_pairs,
    verification_rate_at_far,
)


def slow_kfold(scores, same, folds):
    """Literally: for each fold try every candidate on the other folds."""
    accuracies, thresholds = [], []
    for number in range(max(folds) + 1):
        train = [(s, t) for s, t, f in zip(scores, same, folds, strict=True) if f != number]
        test = [(s, t) for s, t, f in zip(scores, same, folds, strict=True) if f == number]
        distinct = sorted({s for s, _ in train})
        candidates = [np.nextafter(distinct[0], -np.inf)]
        candidates += [(a + b) / 2 for a, b in zip(distinct, distinct[1:])]  # noqa: B905
        candidates += [np.nextafter(distinct[-1], np.inf)]
        correct = [sum((s > c) == t for s, t in train) for c in candidates]
        best = [c for c, n in zip(candidates, correct, strict=True) if n == max(correct)]
        thresholds.append(np.mean(best))
        accuracies.append(np.mean([(s > np.mean(best)) == t for s, t in test]))
    return accuracies, thresholds


scores_with_ties = st.lists(st.tuples(st.integers(-8, 8).map(lambda n: n / 8), st.booleans()), min_size=4, max_size=30)


@settings(max_examples=150, deadline=None)
@given(scores_with_ties, st.integers(2, 4))
def test_kfold_equals_the_slow_loop_with_ties(pairs, folds):
    scores, same = zip(*pairs, strict=True)
    fold = [k for k, block in enumerate(np.array_split(np.arange(len(pairs)), folds)) for _ in block]
    accuracies, thresholds = slow_kfold(scores, same, fold)
    result = kfold_accuracy(scores, same, folds)
    np.testing.assert_array_equal(result.per_fold, accuracies)
    np.testing.assert_allclose(result.thresholds, thresholds, atol=1e-15)
    assert result.mean == pytest.approx(np.mean(accuracies))
    assert result.std == pytest.approx(np.std(accuracies, ddof=1))


def test_kfold_equals_the_slow_loop_on_continuous_scores():
    random = np.random.default_rng(0)
    same = random.random(300) < .5
    scores = random.normal(same, 1)
    accuracies, thresholds = slow_kfold(scores, same, np.repeat(np.arange(10), 30))
    result = kfold_accuracy(scores, same)
    np.testing.assert_array_equal(result.per_fold, accuracies)
    np.testing.assert_allclose(result.thresholds, thresholds)


def test_the_threshold_reaches_the_best_point_of_scikit_learns_roc_curve():
    random = np.random.default_rng(1)
    same = np.tile([True, False], 200)
    scores = np.round(random.normal(same, 1), 1)
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    best = ((true + 1 - false) / 2).max()  # balanced, so accuracy is this mean
    copies = kfold_accuracy(np.tile(scores, 2), np.tile(same, 2), folds=2)  # train = test
    assert best - 2 / 400 <= copies.mean <= best + 1e-12  # the mean of several best thresholds may be in a dip


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=4, max_size=30), st.sampled_from([.3, -.7, 1.0]))
def test_the_only_best_threshold_is_found_even_between_neighbouring_floats(pairs, base):
    values = [base]
    while len(values) < 6:
        values.append(np.nextafter(values[-1], np.inf))
    scores, same = np.array([values[n] for n, _ in pairs]), np.array([t for _, t in pairs])
    reached = [np.mean((scores > c) == same) for c in [base - 1, *np.unique(scores)]]  # every way to cut
    assume(reached.count(max(reached)) == 1)
    copies = kfold_accuracy(np.tile(scores, 2), np.tile(same, 2), folds=2)  # train = test
    assert copies.per_fold.tolist() == [max(reached)] * 2


def test_a_perfect_split_gives_the_midpoint():
    mean, std, per_fold, thresholds = kfold_accuracy([.9, .2, .8, .4], [1, 0, 1, 0], folds=2)
    assert (mean, std) == (1, 0)
    np.testing.assert_allclose(thresholds, [.6, .55])


def test_identical_scores_are_right_for_half_of_balanced_pairs():
    result = kfold_accuracy(np.full(40, .3), np.tile([True, False], 20))
    assert result.mean == .5 and result.thresholds == pytest.approx(.3)


def test_fold_numbers_may_be_given_in_any_order():
    random = np.random.default_rng(2)
    scores, same = random.random(60), random.random(60) < .5
    shuffle = random.permutation(60)
    blocks = np.repeat(np.arange(6), 10)
    given_ = kfold_accuracy(scores[shuffle], same[shuffle], blocks[shuffle])
    np.testing.assert_array_equal(given_.per_fold, kfold_accuracy(scores, same, 6).per_fold)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_broken_scores_are_refused(bad):
    with pytest.raises(UserError, match='1 of 20 scores are NaN or infinite'):
        kfold_accuracy([.1] * 19 + [bad], [1, 0] * 10)
    with pytest.raises(UserError, match='1 of 2 scores'):
        verification_rate_at_far([.1, bad], [1, 0], .01)


def test_folds_without_pairs_are_refused():
    with pytest.raises(UserError, match='folds: expected from 2 to the number of pairs'):
        kfold_accuracy([.1, .2, .3], [1, 0, 1])
    with pytest.raises(UserError, match='two folds'):
        kfold_accuracy([.1, .2], [1, 0], [0, 0])
    with pytest.raises(UserError, match='equal length'):
        kfold_accuracy([.1, .2], [1, 0, 1], 2)


@pytest.mark.parametrize('kinds', [[0, 0, 1, 1, 1, 0], [0] * 6, [1] * 6])
def test_a_fold_may_hold_pairs_of_one_kind(kinds):
    scores = [.5, .1, .7, .6, .9, .2]
    result = kfold_accuracy(scores, kinds, [3, 3, 8, 8, 5, 5])  # folds are names: nothing is missing between them
    accuracies, thresholds = slow_kfold(scores, kinds, [0, 0, 2, 2, 1, 1])
    np.testing.assert_array_equal(result.per_fold, accuracies)
    np.testing.assert_allclose(result.thresholds, thresholds)


def test_scores_may_differ_from_fold_to_fold():
    random = np.random.default_rng(4)
    same, fold = random.random(60) < .5, np.arange(60) % 3
    scores = [random.normal(same, 1) for _ in range(3)]
    result = accuracy_over_folds(scores, same, fold)
    for number in range(3):
        assert result.per_fold[number] == kfold_accuracy(scores[number], same, fold).per_fold[number]
    assert result.std == pytest.approx(np.std(result.per_fold, ddof=1))


def slow_rate(scores, same, far):
    impostor = sorted((s for s, t in zip(scores, same, strict=True) if not t), reverse=True)
    genuine = [s for s, t in zip(scores, same, strict=True) if t]
    n = int(far * len(impostor) + 0.5)
    if n == len(impostor):
        return 1
    return np.mean([s >= impostor[n - 1] if n else s > impostor[0] for s in genuine])


@settings(max_examples=150, deadline=None)
@given(scores_with_ties.filter(lambda pairs: len({t for _, t in pairs}) == 2), st.floats(0, 1))
def test_the_verification_rate_equals_the_slow_loop_with_ties(pairs, far):
    scores, same = zip(*pairs, strict=True)
    assert verification_rate_at_far(scores, same, far) == pytest.approx(slow_rate(scores, same, far))


def test_the_verification_rate_is_a_point_of_scikit_learns_roc_curve():
    random = np.random.default_rng(3)
    same = np.repeat([True, False], [500, 2000])
    scores = random.normal(same * 1.5, 1)
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    for far in (.001, .01, .1):
        at = np.flatnonzero(np.isclose(false, far)).min()  # the impostor that uses up the far
        assert verification_rate_at_far(scores, same, far) == pytest.approx(true[at])


def test_a_far_too_small_for_any_impostor_asks_to_beat_them_all():
    scores, same = [.9, .7, .7, .1], [1, 1, 0, 0]
    assert verification_rate_at_far(scores, same, 0) == .5
    assert verification_rate_at_far(scores, same, .2) == .5  # 0.4 impostors: none
    assert verification_rate_at_far(scores, same, .25) == 1  # half an impostor counts as one, as MATLAB rounds
    assert verification_rate_at_far(scores, same, 1) == 1


def test_a_verification_rate_without_impostors_is_refused():
    with pytest.raises(UserError, match='2 of the same person and 0 of different'):
        verification_rate_at_far([.1, .2], [1, 1], .01)
    with pytest.raises(UserError, match='far: expected a share'):
        verification_rate_at_far([.1, .2], [1, 0], 1.5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=30), st.integers(2, 5), st.integers(0, 5), st.data())
def test_pairs_are_balanced_true_distinct_and_share_no_identity_between_folds(sizes, folds, seed, data):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 7, sizes))
    most = largest_pairs_per_fold(labels, folds=folds, seed=seed)
    if most < 2:
        with pytest.raises(UserError, match='at most 0 pairs per fold(.|\n)*two identities of its own'):
            make_pairs(labels, folds=folds, pairs_per_fold=2, seed=seed)
        return
    wanted = 2 * data.draw(st.integers(1, most // 2))
    pairs, same, fold = make_pairs(labels, folds=folds, pairs_per_fold=wanted, seed=seed)
    assert pairs.shape == (folds * wanted, 2) and (np.diff(fold) >= 0).all()
    np.testing.assert_array_equal(labels[pairs[:, 0]] == labels[pairs[:, 1]], same)
    assert len({tuple(pair) for pair in pairs}) == len(pairs) and (pairs[:, 0] < pairs[:, 1]).all()
    assert (np.bincount(fold, same) == wanted / 2).all()
    people = [set(labels[pairs[fold == number]].ravel()) for number in range(folds)]
    assert all(not a & b for a, b in combinations(people, 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 4), min_size=12, max_size=30), st.integers(2, 4), st.integers(0, 5))
def test_all_genuine_pairs_may_be_asked_for_in_folds_of_people_that_differ_in_size(sizes, folds, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 7, sizes))
    pairs, same, fold = asked_pairs(labels, folds=folds, pairs_per_fold='all', seed=seed)
    genuine = {(i, j) for i, j in combinations(range(len(labels)), 2) if labels[i] == labels[j]}
    assert {tuple(pair) for pair in pairs[same]} == genuine and same.sum() == len(genuine) == (~same).sum()
    assert len({tuple(pair) for pair in pairs}) == len(pairs) and (np.diff(fold) >= 0).all()
    assert (labels[pairs[~same, 0]] != labels[pairs[~same, 1]]).all()
    assert (np.bincount(fold, same) == np.bincount(fold, ~same)).all()
    people = [set(labels[pairs[fold == number]].ravel()) for number in range(folds)]
    assert all(not a & b for a, b in combinations(people, 2))


def test_all_pairs_of_a_fold_of_nearly_one_person_are_as_many_as_those_of_two():
    pairs, same, fold = asked_pairs(np.repeat([0, 1, 2, 3], [6, 6, 1, 1]), folds=2, pairs_per_fold='all', seed=0)
    assert np.bincount(fold).tolist() == [12, 12] and same.sum() == 12  # 15 of one person, but only 6 of two


def test_pairs_depend_only_on_the_seed():
    labels = np.repeat(np.arange(40), 10)
    first, again, other = (make_pairs(labels, pairs_per_fold=20, seed=seed).pairs for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_same_pairs_are_spread_evenly_over_the_identities():
    labels = np.repeat(np.arange(10), [40, 5, 5, 5, 5, 40, 5, 5, 5, 5])
    pairs, same, fold = make_pairs(labels, folds=2, pairs_per_fold=50, seed=0)
    counts = np.bincount(labels[pairs[same, 0]], minlength=10)
    assert set(counts) == {5}


def test_different_pairs_of_a_large_set_are_uniform():
    labels = np.repeat(np.arange(6), [60, 20, 20, 60, 20, 20])
    pairs, same, _ = make_pairs(labels, folds=2, pairs_per_fold=1000, seed=0)
    big = np.isin(labels[pairs[~same]], [0, 3]).any(axis=1).mean()
    assert big == pytest.approx(60 * 40 / (60 * 40 + 20 * 20), abs=.04)  # 6 of 7 pairs hold the large identity


def test_a_set_that_is_too_small_says_what_would_work():
    labels = np.repeat(np.arange(20), 4)
    assert largest_pairs_per_fold(labels) == 2 * 2 * 6  # two identities per fold: 12 same, 16 different
    with pytest.raises(UserError, match='80 images of 20 identities.*at most 24 pairs per fold'):
        make_pairs(labels, pairs_per_fold=26)
    with pytest.raises(UserError, match='even number'):
        make_pairs(labels, pairs_per_fold=5)
    with pytest.raises(UserError, match='at most 0'):
        make_pairs([1, 1, 2, 2], pairs_per_fold=2)

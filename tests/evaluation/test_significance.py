"""A difference is clear when chance does not explain it: by SciPy, by counting signs, and by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.significance import clear_sign, paired_test, sign_flip_p, t_test_p

TEN = st.lists(st.integers(0, 600).map(lambda right: right / 600), min_size=10, max_size=10)


@given(a=TEN, b=TEN)
def test_a_paired_test_is_scipys(a: list[float], b: list[float]) -> None:
    found = paired_test(a, b)
    difference = np.array(a) - np.array(b)
    assert found.mean == pytest.approx(difference.mean(), abs=1e-11)
    assert found.error == pytest.approx(stats.sem(difference), abs=1e-9)
    if np.ptp(difference) > 1e-9:
        assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-6)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=7))
def test_the_sign_flip_test_counts_every_pattern_of_signs(steps: list[int]) -> None:
    patterns = list(itertools.product((1, -1), repeat=len(steps)))
    as_far = [abs(sum(s * d for s, d in zip(signs, steps, strict=True))) >= abs(sum(steps)) for signs in patterns]
    assert sign_flip_p(steps) == sum(as_far) / len(patterns)


def test_the_sign_flip_test_is_scipys_permutation_test_of_ten_folds() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.9, 0.01, 10), random.normal(0.895, 0.01, 10)
    wanted = stats.permutation_test((a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type='samples',
                                    vectorized=True, n_resamples=np.inf)
    assert paired_test(a, b).p_flips == pytest.approx(wanted.pvalue)


def test_equal_systems_do_not_differ_and_a_constant_gain_is_clear() -> None:
    base = np.array([0.1, 0.7, 0.3, 0.9])
    equal = paired_test(base, base)
    assert (equal.mean, equal.error, equal.p, equal.p_flips, equal.clear) == (0, 0, 1, 1, 0)
    gain = paired_test(base, base + 0.1)  # the additions leave rounding errors
    assert (gain.mean, gain.error, gain.p, gain.clear) == (-0.1, 0, 0, -1)


def test_clear_is_five_per_cent_of_students_t_which_at_ten_folds_is_2_26_errors() -> None:
    assert [clear_sign(mean, t_test_p(mean, 1.0, 9)) for mean in (2.26, 2.27, -2.27)] == [0, 1, -1]


def test_overlap_makes_the_error_larger_by_the_formula() -> None:
    a, b = [0.5, 0.6, 0.9], [0.4, 0.6, 0.6]
    plain, overlapping = paired_test(a, b), paired_test(a, b, shared=0.75)
    assert overlapping.error == pytest.approx(plain.error * np.sqrt((1 / 3 + 3) * 3))
    assert overlapping.mean == plain.mean and overlapping.p > plain.p and overlapping.p_flips is None


def test_overlapping_trials_of_equal_systems_are_called_clear_as_rarely_as_they_should() -> None:
    """As in BLUFR: ten trials, each a random 74 % of the identities. Uncorrected, chance looks like a gain."""
    random = np.random.default_rng(1)
    people, taken, trials, worlds = 115, 85, 10, 400
    outcomes = {0.0: 0, taken / people: 0}
    for _ in range(worlds):
        gain = random.normal(size=people)  # of each identity; its true mean is 0
        values = [gain[random.permutation(people)[:taken]].mean() for _ in range(trials)]
        for shared in outcomes:
            outcomes[shared] += paired_test(values, np.zeros(trials), shared=shared).clear != 0
    plain, corrected = (count / worlds for count in outcomes.values())
    assert plain > 0.5
    assert corrected < 0.09


@pytest.mark.parametrize(('a', 'b', 'shared'), [
    ([1, 2], [1, 2, 3], 0), ([1], [2], 0), ([1, np.nan], [1, 2], 0), ([[1, 2]], [[1, 2]], 0), ([1, 2], [1, 2], 1)])
def test_what_cannot_be_compared_is_refused(a: list, b: list, shared: float) -> None:
    with pytest.raises(UserError, match='paired comparison|shared'):
        paired_test(a, b, shared=shared)

"""Is the difference of two systems larger than chance? Paired over the folds or trials that both were measured on.

The same pairs are easy or hard for both systems, so the difference varies far less from fold to fold than the
accuracies do. With differences d_1 … d_n, their mean m and standard deviation s (divisor n - 1):

    standard error  s sqrt(1/n + q / (1 - q))     t = m / standard error, n - 1 degrees of freedom

q is the share that the test sets of two trials have in common. Folds are disjoint: q = 0, the usual paired t-test.
Random subsets of one set overlap, so their results are alike by construction, and s/sqrt(n) is far too small. If each
trial holds the share q of the set, the errors of two trials have correlation q: s^2 estimates only (1 - q) of a trial's
variance, and the variance of the mean is s^2 (1/n + q / (1 - q)). With q / (1 - q) = tested / left out, this is the
form of Nadeau and Bengio (2003), "Inference for the generalization error".
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import Floats

LEVEL = 0.05
"""A difference is called clear if the p of the t-test is below this."""

_MOST_FLIPPED = 20
_ROUNDING = 1e-12
"""Shares are ratios of counts: differences below this are rounding."""


class PairedTest(NamedTuple):
    """The result of `paired_test`.

    Attributes:
        mean: of the differences a - b, in their unit.
        error: its standard error, in the same unit.
        p: of the two-sided t-test, in [0, 1]: how often chance gives a mean at least this far from 0.
        p_flips: the same by the exact sign-flip test; None if trials overlap or there are more than 20.
        count: number of folds or trials.
    """

    mean: float
    error: float
    p: float
    p_flips: float | None
    count: int

    @property
    def clear(self) -> int:
        """1 or -1 if the difference is clear, else 0."""
        return clear_sign(self.mean, self.p)


def paired_test(a: ArrayLike, b: ArrayLike, *, shared: float = 0.0) -> PairedTest:
    """Compare two systems by their values on the same folds or trials.

    Args:
        a, b: (n,) values, such as accuracies, of the same folds in the same order.
        shared: q, the share that the test sets of two trials have in common; 0: disjoint folds.

    Raises:
        UserError: the numbers of values differ or are below two, one is not finite, or `shared` is not in [0, 1).

    >>> paired_test([0.9, 0.8], [0.8, 0.6])[:2]
    (0.15, 0.05)
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2 or not np.isfinite([a, b]).all():
        raise UserError(f'a paired comparison needs finite values on two or more folds, got {a.shape} and {b.shape}.')
    if not 0 <= shared < 1:
        raise UserError(f'shared: expected a share from 0 to below 1, got {shared}.')
    difference = np.round(a - b, 12)
    count, mean = len(a), float(np.round(difference.mean(), 12))
    spread = float(np.round(difference.std(ddof=1), 12))
    error = float(np.round(spread * np.sqrt(1 / count + shared / (1 - shared)), 12))  # Nadeau and Bengio
    flips = sign_flip_p(difference) if shared == 0 and count <= _MOST_FLIPPED else None
    return PairedTest(mean, error, t_test_p(mean, error, count - 1), flips, count)


def t_test_p(mean: float, error: float, freedom: float) -> float:
    """Two-sided p, in [0, 1], of a mean with its standard error, by Student's t with `freedom` degrees of freedom.

    >>> round(t_test_p(2.2622, 1.0, 9), 4)
    0.05
    """
    if error == 0:
        return float(mean == 0)
    return float(2 * stdtr(freedom, -abs(mean) / error))


def sign_flip_p(difference: ArrayLike) -> float:
    """Exact two-sided p, in [0, 1]: the share of all 2^n signs of n differences (n,) with a mean as far from 0.

    It assumes only that without an effect each difference is as likely to be positive as negative. With ten folds the
    smallest p is 2 / 1,024.

    >>> sign_flip_p([1.0, 2.0, 3.0])
    0.25
    """
    sums: Floats = np.zeros(1)
    for value in np.asarray(difference, dtype=np.float64):
        sums = np.concatenate([sums + value, sums - value])
    return float(np.mean(np.abs(sums) >= abs(sums[0]) - _ROUNDING))  # sums[0] has all signs as they are


def clear_sign(mean: float, p: float) -> int:
    """1 or -1 if a difference is larger than chance explains (p, in [0, 1], below 5 %), else 0."""
    return int(np.sign(mean)) if p < LEVEL else 0

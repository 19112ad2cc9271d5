"""FID with today's SciPy."""

import warnings

import numpy as np
import pytest

from tests.compat.tiny_training import holds_by_row


def test_fid_of_two_diagonal_gaussians_is_what_one_computes_by_hand() -> None:
    def check() -> None:
        from basicsr.metrics.fid import calculate_fid
        with warnings.catch_warnings():
            warnings.simplefilter('error')  # SciPy 1.17 still warns where 1.18 refuses
            fid = calculate_fid(np.array([0., 1.]), np.diag([1., 4.]), np.array([2., 1.]), np.diag([9., 4.]))
        assert fid == pytest.approx(2 ** 2 + (1 - 3) ** 2 + (2 - 2) ** 2)  # |m - m'|^2 + sum (s - s')^2

    holds_by_row(check, 'fid-square-root', defect=(TypeError, DeprecationWarning))

"""Curves from bins are the exact ones at the edges of the bins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cface_basicsr.evaluation import roc as module
from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.roc import binned_roc, equal_error_rate, roc_curve


def scored_pairs(features: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> tuple[list[float], list[bool]]:
    pairs = [(a, b) for a in rows for b in rows if a < b]
    return [float(features[a] @ features[b]) for a, b in pairs], [bool(labels[a] == labels[b]) for a, b in pairs]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.integers(1, 40), st.sampled_from([7, 64, 1 << 16]))
def test_each_point_counts_the_pairs_at_or_above_its_threshold(seed: int, at_once: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 18)
    units = unit_features(random.normal(size=(18, 3)))
    members = random.random((18, 3)) < 0.8
    members[:4], labels[:4] = True, [0, 0, 1, 1]  # each set has pairs of both kinds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, '_SCORES_AT_ONCE', 18 * at_once)
        curves = binned_roc(units, labels, members, bins)
    for curve, member in zip(curves, members.T, strict=True):
        scores, same = scored_pairs(units.numpy(), labels, np.flatnonzero(member))
        scores, same = np.array(scores), np.array(same)
        for far, tar, threshold in list(zip(*curve, strict=True))[::max(1, bins // 50)]:
            assert far == pytest.approx(np.mean(scores[~same] >= threshold))
            assert tar == pytest.approx(np.mean(scores[same] >= threshold))


def test_with_fine_bins_the_equal_error_rate_is_the_exact_one() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 8)
    units = unit_features(random.normal(size=(20, 16))[labels] + 1.5 * random.normal(size=(160, 16)))
    curve = binned_roc(units, labels, np.ones((160, 1), bool))[0]
    exact = roc_curve(*scored_pairs(units.numpy(), labels, np.arange(160)))
    assert 0.05 < equal_error_rate(exact) < 0.45
    assert equal_error_rate(curve) == pytest.approx(equal_error_rate(exact), abs=2e-4)

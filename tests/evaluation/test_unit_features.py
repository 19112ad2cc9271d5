import numpy as np
import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import broken_rows, unit_features


@pytest.mark.parametrize(('kind', 'expected'), [(np.float16, torch.float32), (np.float32, torch.float32),
                                                (np.float64, torch.float64), (np.int64, torch.float32)])
def test_units_are_float32_or_float64(kind, expected):
    units = unit_features(np.array([[3, 4], [0, -2]], kind))
    assert units.dtype == expected
    assert units.tolist() == torch.tensor([[.6, .8], [0, -1]], dtype=expected).tolist()


@pytest.mark.parametrize('factor', [1e-30, 1e30])
def test_tiny_and_huge_float32_features_keep_their_direction(factor):
    features = np.array([[3, 4]], np.float32) * np.float32(factor)  # squares leave float32's range
    np.testing.assert_allclose(unit_features(features), [[.6, .8]], rtol=1e-6)


def test_features_are_left_as_they_were():
    features = np.array([[3.0, 4.0]])
    unit_features(features)
    assert features.tolist() == [[3, 4]]


@pytest.mark.parametrize('bad', [np.nan, np.inf, 0])
def test_a_feature_without_direction_is_refused(bad):
    with pytest.raises(UserError, match=r'1 of 3 features are NaN, infinite or zero \(first: row 2\)'):
        unit_features([[1, 2], [3, 4], [bad, bad]])
    with pytest.raises(UserError, match=r'expected features \(N, D\), one row per image, got shape \(2,\)'):
        unit_features([1.0, 2.0])


@pytest.mark.parametrize('kind', [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_broken_rows_are_those_without_a_length_in_float64(kind):
    floating = issubclass(kind, np.floating)
    large, small = (np.finfo(kind).max / 8, np.finfo(kind).tiny) if floating else (16, 1)  # 16 * 16 is 0 in uint8
    features = np.array([[1, 2], [0, 0], [large, 0], [small, small], *([[np.nan, 1], [1, np.inf]] * floating)], kind)
    with np.errstate(over='ignore'):
        lengths = np.linalg.norm(features.astype(np.float64), axis=1)
    literal = [row for row, length in enumerate(lengths) if not np.isfinite(length) or length == 0]
    assert broken_rows(features).tolist() == literal

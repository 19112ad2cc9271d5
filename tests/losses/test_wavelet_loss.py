import math

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.losses.wavelet_loss import WaveletLoss, texture_loss, wavelet_terms
from cface_basicsr.ops.haar import haar_packet


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, 3, 8, 8, dtype=torch.float64), torch.rand(2, 3, 8, 8, dtype=torch.float64)


def literal_terms(prediction: torch.Tensor, target: torch.Tensor, depth: int) -> dict[str, float]:
    """The released loss by coefficients: sums over 2 N, texture over (sub-bands, positions) of all images."""
    mine, wanted = haar_packet(prediction, depth).tolist(), haar_packet(target, depth).tolist()
    count, channels, side = len(mine), len(mine[0]), len(mine[0][0])
    terms = {'detail': 0.0, 'lowpass': 0.0, 'texture': 0.0}
    places = [(n, y, x) for n in range(count) for y in range(side) for x in range(side)]
    for n, y, x in places:
        for channel in range(channels):
            squared = (mine[n][channel][y][x] - wanted[n][channel][y][x]) ** 2
            terms['lowpass' if channel < 3 else 'detail'] += squared / (2 * count)
        for band in range(1, channels // 3):
            lengths = [sum(packet[n][3 * band + color][y][x] ** 2 for color in range(3)) for packet in (mine, wanted)]
            terms['texture'] += max(0.0, 1.2 * lengths[1] - lengths[0]) / (len(places) * (channels // 3 - 1))
    terms['image'] = sum((p - t) ** 2 for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(),
                                                      strict=True)) / (2 * count)
    return terms


@pytest.mark.parametrize('depth', [1, 2, 3])
def test_the_four_terms_equal_the_literal_loops(images, depth):
    terms = {name: value.item() for name, value in wavelet_terms(*images, depth).items()}
    assert terms == pytest.approx(literal_terms(*images, depth))


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_the_loss_weighs_them_as_released(images, scale):
    terms = literal_terms(*images, int(math.log2(scale)))
    expected = 0.99 * terms['detail'] + 0.01 * terms['lowpass'] + 0.1 * terms['image'] + 1.0 * terms['texture']
    assert WaveletLoss(scale=scale)(*images).item() == pytest.approx(expected)


def test_as_the_packet_is_orthonormal_detail_and_lowpass_errors_make_up_the_images(images):
    terms = wavelet_terms(*images, 3)
    torch.testing.assert_close(terms['detail'] + terms['lowpass'], terms['image'])


def test_a_shift_of_brightness_is_an_error_only_of_the_lowpass_band():
    target = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    terms = wavelet_terms(target + 0.5, target, 3)
    assert terms['detail'].item() == pytest.approx(0, abs=1e-20)
    assert terms['lowpass'].item() == pytest.approx(3 * (8 * 0.5) ** 2 / 2)  # 2^depth times the mean


def test_details_as_strong_as_the_originals_still_fall_short_by_a_fifth_and_stronger_ones_do_not():
    target = torch.full((1, 6, 2, 2), 0.5)
    assert texture_loss(target, target).item() == pytest.approx(0.2 * 3 * 0.25)
    assert texture_loss(-target, target).item() == pytest.approx(0.2 * 3 * 0.25)  # strength, not sign
    assert texture_loss(1.1 * target, target) == 0  # 1.21 > 1.2
    assert texture_loss(0 * target, target).item() == pytest.approx(1.2 * 3 * 0.25)


def test_only_the_prediction_gets_a_gradient(images):
    prediction, target = (each.requires_grad_() for each in images)
    WaveletLoss(scale=8)(prediction, target).backward()
    assert prediction.grad.abs().min() > 0 and target.grad is None


@pytest.mark.parametrize('scale', [1, 3, 6])
def test_a_scale_that_is_not_a_power_of_two_is_refused(scale):
    with pytest.raises(UserError, match=f'WaveletLoss: scale: expected a power of two, got {scale}'):
        WaveletLoss(scale=scale)

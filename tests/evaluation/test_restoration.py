import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_psnr, calculate_ssim
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.restoration import psnr_ssim

KINDS = {
    'noise': lambda r: (r.integers(0, 256, (3, 40, 33)), r.integers(0, 256, (3, 40, 33))),
    'near': lambda r: (base := r.integers(0, 250, (3, 40, 33)), base + r.integers(0, 6, (3, 40, 33))),
    'flat': lambda r: (np.full((3, 40, 33), r.integers(0, 256)), np.full((3, 40, 33), r.integers(0, 256))),
    'blocks': lambda r: tuple(np.kron(r.integers(0, 256, (3, 4, 3)), np.ones((1, 10, 11), int)) for _ in 'ab'),
}


def pair(kind, seed):
    return tuple(image.astype(np.uint8) for image in KINDS[kind](np.random.default_rng(seed)))


def chw_to_bgr(image):
    return image.transpose(1, 2, 0)[..., ::-1]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 999))
def test_values_equal_basicsrs(kind, seed):
    sr, hr = pair(kind, seed)
    psnr, ssim = psnr_ssim(sr[None], hr[None])
    assert psnr.item() == pytest.approx(calculate_psnr(chw_to_bgr(sr), chw_to_bgr(hr), 0), abs=1e-5)
    assert ssim.item() == pytest.approx(calculate_ssim(chw_to_bgr(sr), chw_to_bgr(hr), 0), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 999), st.sampled_from(['rgb', 'y']), st.integers(0, 9))
def test_luma_and_a_cut_border_equal_basicsrs(kind, seed, color, border):
    sr, hr = pair(kind, seed)
    psnr, ssim = psnr_ssim(sr[None], hr[None], color=color, border=border)
    settings = {'crop_border': border, 'test_y_channel': color == 'y'}
    assert psnr.item() == pytest.approx(calculate_psnr(chw_to_bgr(sr), chw_to_bgr(hr), **settings), abs=1e-5)
    assert ssim.item() == pytest.approx(calculate_ssim(chw_to_bgr(sr), chw_to_bgr(hr), **settings), abs=1e-6)


def test_psnr_equals_scikit_image_and_the_batch_keeps_its_order():
    pairs = [pair('near', seed) for seed in range(5)]
    psnr, ssim = psnr_ssim(*(torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True)))
    assert psnr.tolist() == pytest.approx([peak_signal_noise_ratio(hr, sr) for sr, hr in pairs])
    assert psnr.shape == ssim.shape == (5,)


def test_equal_images_have_infinite_psnr_and_ssim_one():
    sr, _ = pair('noise', 0)
    psnr, ssim = psnr_ssim(sr[None], sr[None])
    assert psnr.item() == float('inf') and ssim.item() == pytest.approx(1)


def test_one_step_everywhere_is_48_13_dB():
    hr = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    assert psnr_ssim(hr + 1, hr)[0].item() == pytest.approx(10 * np.log10(255 ** 2))


def test_float_images_are_clamped_and_rounded_as_when_saved():
    sr, hr = (torch.from_numpy(image)[None] for image in pair('near', 3))
    as_float = sr / 255 + 0.4 / 255  # rounds back
    as_float[sr == 255] = 1.7
    for a, b in zip(psnr_ssim(as_float, hr / 255), psnr_ssim(sr, hr), strict=True):
        assert torch.equal(a, b)


def test_bad_images_are_refused():
    image = torch.rand(2, 3, 16, 16)
    for sr, hr, words in [(image, image[:1], 'of one shape'), (image[..., :8], image[..., :8], 'at least 11 pixels'),
                          (image, image * 255, 'Divide by 255'), (image * torch.nan, image, 'NaN'),
                          (image, image * torch.nan, 'ranges from nan'), (image.int(), image.int(), 'int32')]:
        with pytest.raises(UserError, match=words):
            psnr_ssim(sr, hr)
    for wrong, words in [({'border': 3}, 'inside a border of 3'), ({'border': -1}, 'got .rgb. and -1'),
                         ({'color': 'Y'}, "got 'Y' and 0")]:
        with pytest.raises(UserError, match=words):
            psnr_ssim(image, image, **wrong)

"""LR images against Pillow and the slow kernel."""

import numpy as np
import pytest
import torch
from PIL import Image

from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.ops.resize import bicubic_resize


def hard_image(seed: int) -> np.ndarray:
    """Noise and hard edges, which make the kernel overshoot."""
    image = np.random.default_rng(seed).integers(0, 256, (1, 64, 64, 3), np.uint8)
    image[:, 16:48, 16:48] = 255 * (np.arange(32) // 4 % 2)[:, None].astype(np.uint8)
    return image


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_it_equals_the_resize_of_the_8_bit_image_clamped_and_rounded(scale: int) -> None:
    hr = hard_image(scale)
    exact = bicubic_resize(torch.from_numpy(hr).permute(0, 3, 1, 2).double(), 64 // scale).clamp(0, 255)
    got = torch.from_numpy(low_resolution(hr, scale)).permute(0, 3, 1, 2)
    assert got.dtype == torch.uint8 and got.shape == exact.shape
    assert (got - exact).abs().max() <= 0.5 + 1e-4


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_it_equals_pillows_float_bicubic_to_the_pixel(scale: int) -> None:
    hr, size = hard_image(scale), (64 // scale, 64 // scale)
    channels = [Image.fromarray(hr[0, :, :, c].astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
                for c in range(3)]
    expected = np.rint(np.clip(np.stack([np.asarray(channel) for channel in channels], -1), 0, 255))
    assert (low_resolution(hr, scale)[0] != expected).mean() < 1e-3  # ties may fall either way
    assert np.abs(low_resolution(hr, scale)[0] - expected).max() <= 1


def test_a_batch_is_its_images() -> None:
    images = np.concatenate([hard_image(1), hard_image(2)])
    assert np.array_equal(low_resolution(images, 4)[1:], low_resolution(images[1:], 4))

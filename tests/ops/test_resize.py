import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from cface_basicsr.ops.resize import bicubic_resize, bicubic_weights, linear_crop, linear_weights
from tests.references import slow_bicubic


@pytest.fixture
def face() -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.linspace(0, 1, 128), np.linspace(0, 1, 128)) / 2
    return np.clip(smooth + 0.3 * rng.standard_normal((128, 128)), 0, 1).astype(np.float32)


def resized(image: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    return bicubic_resize(torch.from_numpy(image)[None, None], size)[0, 0].numpy()


@pytest.mark.parametrize('size', [16, 32, 64, 100, 256])
def test_equals_pillow_bicubic(face, size):
    expected = np.asarray(Image.fromarray(face, mode='F').resize((size, size), Image.BICUBIC))
    np.testing.assert_allclose(resized(face, size), expected, atol=1e-5)


@pytest.mark.parametrize('size', [16, 32, 64])
def test_differs_from_opencv_cubic_on_reduction(face, size):
    other = cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC)
    assert np.abs(resized(face, size) - other).mean() > 0.05


@pytest.mark.parametrize('size', [(5, 3), (9, 20), (13, 7)])
def test_equals_the_slow_literal_loop(face, size):
    image = face[:13, :9].astype(np.float64)
    np.testing.assert_allclose(resized(image, size), slow_bicubic.resize_image(image.tolist(), *size), atol=1e-12)


@pytest.mark.parametrize('size', [(16, 16), (112, 96), (112, 112), (200, 50)])
def test_equals_torch_antialiased_interpolation(face, size):
    x = torch.from_numpy(face).double()[None, None]
    expected = functional.interpolate(x, size=size, mode='bicubic', antialias=True)
    torch.testing.assert_close(bicubic_resize(x, size), expected)


def test_each_colour_and_each_image_is_resized_separately():
    x = torch.rand(2, 3, 12, 10)
    one = bicubic_resize(x[1:, 2:], (6, 20))
    torch.testing.assert_close(bicubic_resize(x, (6, 20))[1:, 2:], one)


def test_a_constant_image_stays_constant():
    grey = bicubic_resize(torch.full((1, 1, 40, 30), 0.25), (7, 64))
    torch.testing.assert_close(grey, torch.full((1, 1, 7, 64), 0.25))


def test_the_same_size_is_returned_untouched():
    x = torch.rand(1, 3, 8, 9)
    assert bicubic_resize(x, (8, 9)) is x


def test_overshoot_is_not_clamped():
    step = torch.cat([torch.zeros(1, 1, 8, 4), torch.ones(1, 1, 8, 4)], 3)
    assert bicubic_resize(step, 32).max() > 1.01


@pytest.mark.parametrize('size', [(3, 4), (11, 9)])
def test_the_gradient_is_right(size):
    x = torch.rand(1, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: bicubic_resize(x, size), x)


def test_weights_first_made_in_inference_mode_serve_training_later():
    with torch.inference_mode():
        bicubic_resize(torch.rand(1, 1, 37, 41), (19, 23))
    x = torch.rand(1, 1, 37, 41, requires_grad=True)
    bicubic_resize(x, (19, 23)).sum().backward()
    assert x.grad.sum() > 0


def test_autocast_does_not_lower_the_precision(face):
    x = torch.from_numpy(face)[None, None]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = bicubic_resize(x, 32)
    torch.testing.assert_close(inside, bicubic_resize(x, 32), rtol=0, atol=0)


def test_weights_of_one_pixel_spread_it_everywhere():
    assert bicubic_weights(1, 3).tolist() == [[1.0], [1.0], [1.0]]


def test_integer_images_are_refused():
    with pytest.raises(ValueError, match='float images, got .* torch.uint8'):
        bicubic_resize(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 4)


def test_shapes_are_known_without_computing():
    assert bicubic_resize(torch.empty(2, 3, 8, 6, device='meta'), (16, 12)).shape == (2, 3, 16, 12)


def test_a_part_of_an_image_is_resized_as_opencv_resizes_it_and_reflected_beyond_the_borders() -> None:
    image = np.random.default_rng(0).random((9, 12, 3)).astype(np.float32)
    padded = cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_REFLECT_101)
    matrix = np.array([[1.5, 0, 0.25 - 1.5 * (4 - 1.75)], [0, 1.25, 0.125 - 1.25 * (4 - 2.6)]])  # chip = M padded
    expected = cv2.warpAffine(padded, matrix, (15, 10), flags=cv2.INTER_LINEAR)
    box = (-1.75, -2.6, -1.75 + 15 / 1.5, -2.6 + 10 / 1.25)
    ours = linear_crop(torch.from_numpy(image).permute(2, 0, 1)[None].double(), box, (10, 15))[0].permute(1, 2, 0)
    assert np.abs(ours.numpy() - expected).max() < 0.06  # OpenCV rounds positions to a 32nd


def test_a_reduced_part_is_a_mean_by_a_triangle_as_wide_as_the_reduction() -> None:
    weights = linear_weights(6, 3, 0, 6)
    assert weights[1].tolist() == [0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0]
    assert weights[0].tolist() == [3 / 8, 3 / 8 + 1 / 8, 1 / 8, 0, 0, 0]  # what lies at -1 is what lies at 1

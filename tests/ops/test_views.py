"""Random views: what is drawn, and where each pixel goes, against OpenCV and by hand."""

import cv2
import numpy as np
import pytest
import torch

from cface_basicsr.ops.views import view, view_draws, view_outside

STILL = torch.full((1, 5), 0.5, dtype=torch.float64)
"""Neither moved nor mirrored; half the largest blur."""


def drawn(**changes: float) -> torch.Tensor:
    draws = STILL.clone()
    for name, value in changes.items():
        draws[0, ('down', 'right', 'size', 'coin', 'width').index(name)] = value
    return draws


def test_draws_depend_on_seed_step_and_key_and_on_nothing_else() -> None:
    both = view_draws(3, 7, ['a/0', 'b/1'])
    assert torch.equal(view_draws(3, 7, ['b/1', 'c/2'])[0], both[1])
    for other in (view_draws(4, 7, ['a/0']), view_draws(3, 8, ['a/0']), both[1:]):
        assert not torch.equal(other[0], both[0])
    many = view_draws(0, 0, [f'{number:04d}' for number in range(4000)])
    assert many.shape == (4000, 5) and 0 <= many.min() and many.max() < 1
    assert (many.mean(0) - 0.5).abs().max() < 0.03  # four standard errors of 0.0046 are 0.018
    assert (torch.corrcoef(many.T) - torch.eye(5)).abs().max() < 0.1


def test_an_image_is_moved_by_whole_pixels_and_reflected_at_its_border() -> None:
    image = torch.rand(1, 3, 8, 10)
    moved = view(image, drawn(down=1.0, right=0.25), shift=2)  # two rows down, one column to the left
    assert torch.allclose(moved[..., 2:, :-1], image[..., :-2, 1:], atol=1e-6)
    assert torch.allclose(moved[..., 0, :-1], image[..., 2, 1:], atol=1e-6)
    assert torch.allclose(moved[..., 2:, -1], image[..., :-2, -2], atol=1e-6)


@pytest.mark.parametrize('coin', [0.0, 0.49, 0.5, 0.99])
def test_half_of_the_views_are_mirrored(coin: float) -> None:
    image = torch.rand(1, 3, 6, 7)
    expected = image.flip(-1) if coin < 0.5 else image
    assert torch.allclose(view(image, drawn(coin=coin), mirror=True), expected, atol=1e-6)
    assert torch.allclose(view(image, drawn(coin=coin)), image, atol=1e-6)


def test_a_view_is_what_opencv_makes_of_the_image() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).random((40, 48, 3)), (0, 0), 2)
    draws = drawn(down=0.8, right=0.1, size=1.0, width=0.75)
    ours = view(torch.from_numpy(image).permute(2, 0, 1)[None], draws, shift=3, scale=0.1, blur=1.2)[0]
    blurred = cv2.GaussianBlur(image, (31, 31), 0.9, borderType=cv2.BORDER_REFLECT_101)
    matrix = np.array([[1.1, 0, 23.5 * (1 - 1.1) - 2.4], [0, 1.1, 19.5 * (1 - 1.1) + 1.8]])
    expected = cv2.warpAffine(blurred, matrix, (48, 40), borderMode=cv2.BORDER_REFLECT_101)
    difference = np.abs(ours.permute(1, 2, 0).numpy() - expected)
    assert difference[5:-5, 5:-5].max() < 0.01  # OpenCV rounds positions; the blur differs at the border


def test_every_image_has_a_view_of_its_own_and_the_gradient_is_exact() -> None:
    images, draws = torch.rand(2, 1, 5, 6, dtype=torch.float64), view_draws(0, 0, ['a', 'b'])
    how = {'shift': 1.0, 'mirror': True, 'scale': 0.1, 'blur': 0.7}
    both = view(images, draws, **how)
    for place in range(2):
        assert torch.allclose(view(images[place:place + 1], draws[place:place + 1], **how), both[place:place + 1])
    assert torch.autograd.gradcheck(lambda x: view(x, draws, **how), images.requires_grad_())


def test_a_view_reaches_as_far_beyond_the_image_as_its_shift_and_a_smaller_picture_take_it() -> None:
    assert view_outside(4, 0, 128) == 1 / 32
    assert view_outside(0, 0.2, 100) == pytest.approx(0.125)  # at 80 %, 125 pixels are shown

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cface_basicsr.errors import UserError
from cface_basicsr.ops.haar import haar_packet, inverse_haar_packet

DEPTHS = [0, 1, 2, 3]


def slow_packet(image: Tensor, depth: int) -> list[Tensor]:
    """The sub-bands of one (H, W) plane in order, step by step, pixel by pixel."""
    if depth == 0:
        return [image]
    height, width = image.shape
    steps = [torch.zeros(height // 2, width // 2, dtype=image.dtype) for _ in range(4)]
    for row, column in itertools.product(range(height // 2), range(width // 2)):
        a, b = image[2 * row, 2 * column], image[2 * row, 2 * column + 1]
        c, d = image[2 * row + 1, 2 * column], image[2 * row + 1, 2 * column + 1]
        for step, value in zip(steps, (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d), strict=True):
            step[row, column] = value / 2
    return [band for step in steps for band in slow_packet(step, depth - 1)]


@pytest.mark.parametrize('depth', DEPTHS)
def test_it_equals_the_tree_of_steps_written_out_pixel_by_pixel(depth):
    x = torch.randn(2, 3, 8, 16, dtype=torch.float64)
    expected = torch.stack([torch.stack([band for bands in zip(*(slow_packet(plane, depth) for plane in image),
                                                               strict=True) for band in bands]) for image in x])
    torch.testing.assert_close(haar_packet(x, depth), expected)  # zip: sub-band major, colour minor


@pytest.mark.parametrize('depth', DEPTHS)
def test_it_inverts_in_both_directions(depth):
    x = torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(inverse_haar_packet(haar_packet(x, depth), depth), x)
    coefficients = torch.randn(2, 3 * 4 ** depth, 2, 3)
    torch.testing.assert_close(haar_packet(inverse_haar_packet(coefficients, depth), depth), coefficients)


@pytest.mark.parametrize('depth', [1, 2, 3])
def test_eight_bit_images_come_back_to_the_bit(depth):
    x = torch.randint(0, 256, (1, 3, 16, 16)).float()
    assert torch.equal(inverse_haar_packet(haar_packet(x, depth), depth), x)


@pytest.mark.parametrize('depth', [1, 2, 3])
def test_it_is_orthonormal(depth):
    size = 2 ** depth
    basis = torch.eye(size * size, dtype=torch.float64).view(-1, 1, size, size)
    matrix = haar_packet(basis, depth).flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(size * size, dtype=torch.float64))
    assert (matrix.abs() == 0.5 ** depth).all()  # every entry is plus or minus 2^-depth


@pytest.mark.parametrize('depth', [1, 2, 3])
def test_the_first_sub_band_is_the_block_mean_times_two_to_the_depth(depth):
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(haar_packet(x, depth)[:, :3], 2 ** depth * functional.avg_pool2d(x, 2 ** depth))


def test_one_step_gives_sum_columns_rows_and_diagonal():
    block = torch.tensor([[8.0, 4.0], [2.0, 0.0]]).view(1, 1, 2, 2)
    assert haar_packet(block, 1).flatten().tolist() == [7.0, 3.0, 5.0, 1.0]


@pytest.mark.parametrize(('period', 'bands'), [(4, range(1, 2)), (2, range(4, 5)), (1, range(16, 17))])
def test_stripes_fall_into_the_group_of_their_fineness(period, bands):
    columns = 1.0 - 2 * ((torch.arange(8) // period) % 2)
    coefficients = haar_packet(columns.expand(1, 1, 8, 8), 3).flatten()
    assert coefficients.nonzero().flatten().tolist() == list(bands)
    assert coefficients[bands[0]] == 8  # all the energy of 64 ones


def test_the_gradient_of_an_orthonormal_map_keeps_its_length():
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    (0.5 * haar_packet(x, 3).square().sum()).backward()
    torch.testing.assert_close(x.grad, x.detach())


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match='depth 3 expects a height and width that are multiples of 8, got 16x12'):
        haar_packet(torch.rand(1, 3, 16, 12), 3)
    with pytest.raises(UserError, match='depth 2 expects a multiple of 16 channels, got 12'):
        inverse_haar_packet(torch.rand(1, 12, 4, 4), 2)

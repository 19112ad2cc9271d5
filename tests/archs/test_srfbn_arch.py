import pytest
import torch
from torch import nn

from cface_basicsr.archs.layers import DIV2K_MEAN
from cface_basicsr.archs.srfbn_arch import SRFBN, FeedbackBlock
from cface_basicsr.errors import UserError

SCALES = pytest.mark.parametrize('scale', [2, 4, 8])


def small(scale: int = 2, **options) -> SRFBN:
    return SRFBN(scale=scale, **{'num_feat': 4, 'num_step': 3, 'num_group': 3, 'num_shallow_feat': 6, **options})


def parameters(**options) -> int:
    with torch.device('meta'):
        return sum(p.numel() for p in SRFBN(**options).parameters())


def without_reconstruction(network: SRFBN) -> SRFBN:
    nn.init.zeros_(network.tail[1].weight)
    nn.init.zeros_(network.tail[1].bias)
    return network


@pytest.mark.parametrize(('scale', 'count'), [(2, 2_140_510), (4, 3_631_454), (8, 7_891_294)])
def test_it_has_the_published_number_of_parameters(scale, count):
    assert parameters(scale=scale) == count


@pytest.mark.parametrize(('scale', 'count'), [(2, 282_418), (4, 483_122), (8, 1_056_562)])
def test_at_the_smaller_published_width_too(scale, count):
    assert parameters(scale=scale, num_feat=32, num_group=3, num_shallow_feat=128) == count


@SCALES
def test_training_gives_one_image_per_step_and_evaluation_the_last_one(scale):
    network, x = small(scale), torch.rand(2, 3, 5, 7)
    images = network(x)
    assert isinstance(images, tuple) and [y.shape for y in images] == [(2, 3, 5 * scale, 7 * scale)] * 3
    torch.testing.assert_close(network.eval()(x), images[-1])
    assert not torch.allclose(images[0], images[1])


@SCALES
def test_every_parameter_gets_a_gradient(scale):
    network = small(scale)
    sum(y.square().mean() for y in network(torch.rand(2, 3, 6, 6))).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def bilinear_axis(x: torch.Tensor, scale: int) -> torch.Tensor:
    """The last axis enlarged by a loop: pixel centers at (i + 0.5) / scale, border pixels repeated."""
    columns = []
    for i in range(x.shape[-1] * scale):
        at = min(max((i + 0.5) / scale - 0.5, 0), x.shape[-1] - 1)
        left = int(at)
        right = min(left + 1, x.shape[-1] - 1)
        columns.append(x[..., left] * (1 - (at - left)) + x[..., right] * (at - left))
    return torch.stack(columns, -1)


@SCALES
def test_without_reconstruction_every_step_gives_the_bilinear_enlargement(scale):
    x = torch.rand(1, 3, 4, 5)
    expected = bilinear_axis(bilinear_axis(x, scale).mT, scale).mT
    for y in without_reconstruction(small(scale))(x):
        torch.testing.assert_close(y, expected)


def test_what_is_reconstructed_is_in_pixels_of_255():
    network, x = without_reconstruction(small()), torch.rand(1, 3, 4, 5)
    before = network(x)[0]
    nn.init.constant_(network.tail[1].bias, 51.0)
    torch.testing.assert_close(network(x)[0], before + 0.2)


def test_the_block_sees_the_shallow_features_and_what_it_gave_last():
    network, x = small(), torch.rand(1, 3, 4, 5)
    shallow = network.shallow(255 * (x - torch.tensor(DIV2K_MEAN).view(3, 1, 1)))
    first = network.block(shallow, shallow)  # nothing yet: the shallow features twice
    second = network.block(shallow, first)
    torch.testing.assert_close(network._steps(shallow), [first, second, network.block(shallow, second)])


def test_steps_share_their_weights_and_earlier_ones_do_not_depend_on_how_many_follow():
    one, three, x = small(num_step=1), small(num_step=3), torch.rand(1, 3, 4, 5)
    three.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(x)[0], three(x)[0])
    assert parameters(num_step=1) == parameters(num_step=9)


def test_nothing_is_remembered_from_one_image_to_the_next():
    network, x = small(), torch.rand(1, 3, 4, 5)
    before = network(x)
    network(torch.rand(1, 3, 4, 5))
    torch.testing.assert_close(network(x), before, rtol=0, atol=0)


def test_a_block_of_two_groups_projects_up_and_down_densely():
    block, x, hidden = FeedbackBlock(2, 2, 2), torch.rand(1, 2, 4, 5), torch.rand(1, 2, 4, 5)
    low0 = block.compress_in(torch.cat([x, hidden], 1))
    high1 = block.up[0](low0)
    low1 = block.down[0](high1)
    high2 = block.up[1](block.reduce_low[1](torch.cat([low0, low1], 1)))
    low2 = block.down[1](block.reduce_high[1](torch.cat([high1, high2], 1)))
    assert high2.shape == (1, 2, 8, 10)
    torch.testing.assert_close(block(x, hidden), block.compress_out(torch.cat([low1, low2], 1)))


@pytest.mark.parametrize(('scale', 'kernel'), [(2, 6), (4, 8), (8, 12)])
def test_projections_have_the_official_kernels(scale, kernel):
    for layer in (small(scale).block.up[0][0], small(scale).block.down[0][0], small(scale).tail[0][0]):
        assert (layer.kernel_size, layer.stride, layer.padding) == ((kernel,) * 2, (scale,) * 2, (2, 2))


def test_every_prelu_has_one_slope_of_a_fifth():
    slopes = [m.weight for m in small().modules() if isinstance(m, nn.PReLU)]
    assert len(slopes) == 2 + 2 + 2 * 3 + 2 * 2 + 1  # shallow, compressions, projections, reductions, tail
    assert all(s.numel() == 1 and s.item() == pytest.approx(0.2) for s in slopes)


def test_weights_start_by_he_and_biases_at_zero():
    network = SRFBN(scale=2, num_group=1)
    for layer, fan_in in ((network.shallow[0][0], 27), (network.block.down[0][0], 64 * 36),
                          (network.tail[0][0], 64 * 36), (network.tail[1], 64 * 9)):
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.06)
        assert (layer.bias == 0).all()


def test_the_mean_is_not_in_the_state():
    assert set(small().state_dict()) == {name for name, _ in small().named_parameters()}


def test_other_channels_need_their_own_mean():
    network = small(num_in_ch=1, num_out_ch=1, rgb_mean=[0.5]).eval()
    assert network(torch.rand(1, 1, 4, 4)).shape == (1, 1, 8, 8)
    with pytest.raises(UserError, match='SRFBN: rgb_mean'):
        small(num_in_ch=1)


@pytest.mark.parametrize('options', [{'num_step': 0}, {'num_group': 0}])
def test_no_step_or_no_group_is_refused(options):
    with pytest.raises(UserError, match='SRFBN: num_step, num_group: expected one or more'):
        small(**options)


@pytest.mark.parametrize('scale', [3, 1, 16, '4', [4]])
def test_another_scale_is_refused_with_the_valid_ones(scale):
    with pytest.raises(UserError, match='SRFBN: scale: expected 2, 4 or 8, got'):
        SRFBN(scale=scale)

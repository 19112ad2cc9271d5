import pytest
import torch
from torch import nn

from cface_basicsr.archs.sicnn_arch import SICNN
from cface_basicsr.errors import UserError

SCALES = pytest.mark.parametrize('scale', [2, 4, 8])


def small(scale: int = 2, **options) -> SICNN:
    return SICNN(scale=scale, **{'num_feat': 4, 'num_grow_ch': 3, 'num_dense': 2, 'num_tail_dense': 1, **options})


def parameters(**options) -> int:
    with torch.device('meta'):
        return sum(p.numel() for p in SICNN(**options).parameters())


def constant_tail(value: float) -> SICNN:
    """A network whose last convolution gives one value everywhere."""
    network = small()
    nn.init.zeros_(network.tail[1].weight)
    nn.init.constant_(network.tail[1].bias, value)
    return network


@pytest.mark.parametrize(('scale', 'count'), [(2, 913_731), (4, 2_818_371), (8, 4_723_011)])
def test_it_has_the_parameters_of_the_file_with_both_networks(scale, count):
    assert parameters(scale=scale) == count


@pytest.mark.parametrize(('scale', 'count'), [(2, 1_044_803), (4, 3_080_515), (8, 5_116_227)])
def test_with_mappings_of_3x3_it_has_those_of_the_file_with_only_cnn_h(scale, count):
    assert parameters(scale=scale, mapping_kernel=3) == count


@SCALES
@pytest.mark.parametrize('mapping_kernel', [1, 3])
def test_images_come_out_scale_times_as_large(scale, mapping_kernel):
    network = small(scale, mapping_kernel=mapping_kernel)
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


def test_channels_in_and_out_can_differ():
    assert small(num_in_ch=1, num_out_ch=2)(torch.rand(1, 1, 6, 6)).shape == (1, 2, 12, 12)


@SCALES
def test_every_parameter_gets_a_gradient(scale):
    network = small(scale)
    network(torch.rand(2, 3, 6, 6)).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_black_and_white_are_as_a_recognizer_takes_them():
    inside = small().range.inside(torch.tensor([0.0, 127.5 / 255, 1.0]).view(3, 1, 1, 1))
    assert inside.flatten().tolist() == [-127.5 / 128, 0, 127.5 / 128]


@pytest.mark.parametrize(('value', 'pixel'), [(-100.0, -0.5), (0.0, 127.5), (0.5, 127.5 + 128 * 0.46211716),
                                              (100.0, 255.5)])
def test_the_output_is_a_tanh_mapped_back_to_pixels(value, pixel):
    y = constant_tail(value)(torch.rand(1, 3, 4, 4))
    torch.testing.assert_close(255 * y, torch.full((1, 3, 8, 8), pixel), atol=1e-4, rtol=0)


def test_black_and_white_can_be_reached():
    for bound, color in ((-127.5, 0.0), (127.5, 1.0)):
        y = constant_tail(torch.tensor(bound / 128).atanh().item())(torch.rand(1, 3, 4, 4))
        torch.testing.assert_close(y, torch.full((1, 3, 8, 8), color))


def test_the_first_stage_enlarges_by_kernels_of_3_and_the_others_of_5():
    kernels = [m.kernel_size[0] for m in small(8).modules() if isinstance(m, nn.ConvTranspose2d)]
    assert kernels == [3, 5, 5]


def test_the_smaller_scales_are_the_first_stages_of_the_published_network():
    shapes = {scale: [p.shape for p in small(scale).stages.parameters()] for scale in (2, 4, 8)}
    assert shapes[8][:len(shapes[4])] == shapes[4] and shapes[4][:len(shapes[2])] == shapes[2]


def test_an_impulse_is_enlarged_by_the_transposed_convolution_of_caffe():
    double, x = small(num_dense=0).stages[0][1], torch.zeros(1, 4, 3, 3)
    x[0, 1, 1, 2] = 1  # padding 1 moves its 3x3 kernel to rows 1..3, columns 3..5 of the enlarged image
    y = double[0](x)
    torch.testing.assert_close(y[0, :, 1:4, 3:6], double[0].weight[1])
    y[0, :, 1:4, 3:6] = 0
    assert y.shape == (1, 4, 6, 6) and (y == 0).all()


def test_every_prelu_has_one_slope_per_channel_that_starts_at_a_quarter():
    slopes = [m for m in small(4).modules() if isinstance(m, nn.PReLU)]
    assert [m.num_parameters for m in slopes] == [4, 3, 3, 10, 4, 3, 3, 10, 4, 3]  # two stages, then the tail
    assert all((m.weight == 0.25).all() for m in slopes)


def test_weights_start_by_caffes_xavier_and_biases_at_zero():
    network = SICNN(scale=2)
    last, enlarging = network.tail[1], network.stages[0][1][0]
    for layer, fan_in in ((last, 128 * 25), (enlarging, 256 * 9)):
        assert layer.weight.abs().max().item() <= (3 / fan_in) ** 0.5
        assert layer.weight.std().item() == pytest.approx(fan_in ** -0.5, rel=0.05)
        assert (layer.bias == 0).all()


@pytest.mark.parametrize('scale', [3, 1, 16, '4', [4]])
def test_another_scale_is_refused_with_the_valid_ones(scale):
    with pytest.raises(UserError, match='SICNN: scale: expected 2, 4 or 8, got'):
        SICNN(scale=scale)


@pytest.mark.parametrize('kernel', [2, 5, '1'])
def test_another_mapping_kernel_is_refused(kernel):
    with pytest.raises(UserError, match='SICNN: mapping_kernel: expected 1 or 3, got'):
        SICNN(mapping_kernel=kernel)

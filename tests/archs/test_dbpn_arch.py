import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr.archs.dbpn_arch import DBPN, Projection
from cface_basicsr.errors import UserError

SMALL = {'num_feat': 4, 'num_shallow_feat': 6, 'num_stage': 4}


@pytest.mark.parametrize(('scale', 'count'), [(2, 5_953_526), (4, 10_426_358), (8, 23_205_878)])
def test_it_has_the_published_number_of_parameters(scale, count):
    with torch.device('meta'):
        network = DBPN(scale=scale)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(('scale', 'count'), [(2, 8_811_086), (4, 15_348_302), (8, 34_026_062)])
def test_with_ten_stages_it_has_those_of_the_authors_large_variant(scale, count):
    with torch.device('meta'):
        network = DBPN(scale=scale, num_stage=10)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_images_come_out_scale_times_as_large_and_every_parameter_gets_a_gradient(scale):
    network = DBPN(scale=scale, **SMALL)
    output = network(torch.rand(2, 3, 5, 7))
    assert output.shape == (2, 3, 5 * scale, 7 * scale)
    output.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, slope * x)


@pytest.mark.parametrize(('scale', 'kernel'), [(2, 6), (4, 8), (8, 12)])
def test_an_up_projection_adds_what_going_down_again_has_lost(scale, kernel):
    unit = Projection(3, scale, True, 1)
    w0, b0, s0, w1, b1, s1, w2, b2, s2 = unit.parameters()
    assert w0.shape == w1.shape == w2.shape == (3, 3, kernel, kernel)
    low = torch.randn(2, 3, 5, 4)
    high = prelu(functional.conv_transpose2d(low, w0, b0, stride=scale, padding=2), s0)
    again = prelu(functional.conv2d(high, w1, b1, stride=scale, padding=2), s1)
    expected = high + prelu(functional.conv_transpose2d(again - low, w2, b2, stride=scale, padding=2), s2)
    assert expected.shape == (2, 3, 5 * scale, 4 * scale)
    torch.testing.assert_close(unit(low), expected)


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_a_down_projection_is_the_same_the_other_way_after_reducing_its_inputs(scale):
    unit = Projection(2, scale, False, 3)
    weight, bias, slope, w0, b0, s0, w1, b1, s1, w2, b2, s2 = unit.parameters()
    x = torch.randn(2, 6, 2 * scale, 3 * scale)
    high = prelu(functional.conv2d(x, weight, bias), slope)
    low = prelu(functional.conv2d(high, w0, b0, stride=scale, padding=2), s0)
    again = prelu(functional.conv_transpose2d(low, w1, b1, stride=scale, padding=2), s1)
    expected = low + prelu(functional.conv2d(again - high, w2, b2, stride=scale, padding=2), s2)
    assert expected.shape == (2, 2, 2, 3)
    torch.testing.assert_close(unit(x), expected)


def test_the_units_are_chained_densely_with_the_newest_features_first():
    network = DBPN(scale=2, **SMALL)
    up, down = network.up, network.down
    x = torch.rand(1, 3, 4, 4)
    h1 = up[0](network.head(x))
    l1 = down[0](h1)
    h2 = up[1](l1)  # neither the head's features nor a 1x1 convolution
    l2 = down[1](torch.cat((h2, h1), 1))
    h3 = up[2](torch.cat((l2, l1), 1))
    l3 = down[2](torch.cat((h3, h2, h1), 1))
    h4 = up[3](torch.cat((l3, l2, l1), 1))
    torch.testing.assert_close(network(x), network.tail(torch.cat((h4, h3, h2, h1), 1)))


def test_the_output_is_linear():
    network = DBPN(scale=2, **SMALL)
    assert isinstance(network.tail, nn.Conv2d)
    nn.init.constant_(network.tail.bias, -100.0)
    assert network(torch.rand(1, 3, 4, 4)).max() < -1


def test_weights_start_by_he_biases_at_zero_and_slopes_at_a_quarter_one_per_layer():
    network = DBPN(scale=4, num_stage=2)
    for conv in (network.up[0].there[0], network.up[0].back[0]):
        assert conv.weight.std().item() == pytest.approx((2 / (64 * 64)) ** 0.5, rel=0.03)
    assert network.head[0][0].weight.std().item() == pytest.approx((2 / 27) ** 0.5, rel=0.03)
    slopes = [m.weight for m in network.modules() if isinstance(m, nn.PReLU)]
    assert all(slope.tolist() == [0.25] for slope in slopes)
    assert all((m.bias == 0).all() for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)))


def test_one_stage_goes_up_only_and_channels_may_differ():
    network = DBPN(scale=8, num_in_ch=1, num_out_ch=2, num_feat=2, num_shallow_feat=2, num_stage=1)
    assert network(torch.rand(1, 1, 3, 2)).shape == (1, 2, 24, 16)


def test_another_scale_is_refused():
    with pytest.raises(UserError, match='DBPN: scale: expected 2, 4 or 8, got 3'):
        DBPN(scale=3)

import math

import pytest
import torch
from torch import nn

from cface_basicsr.archs.sphereface20_arch import ResidualUnit, SphereFace20, caffe_xavier_
from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import RecognizerInput, recognizer_features
from tests.references import literal_sphereface20


@pytest.fixture(scope='module')
def small() -> SphereFace20:
    torch.manual_seed(0)
    return SphereFace20(num_feat=4, feature_length=10)


@pytest.mark.parametrize(('size', 'count', 'dense'), [((112, 96), 22_670_656, 11_010_560),
                                                      ((128, 128), 28_437_824, 16_777_728)])
def test_it_has_the_published_number_of_parameters(size, count, dense):
    with torch.device('meta'):
        network = SphereFace20(input_size=size)
    assert sum(p.numel() for p in network.parameters()) == count
    assert sum(p.numel() for p in network.fc5.parameters()) == dense


def test_twenty_convolutions_are_in_the_published_order():
    with torch.device('meta'):
        convs = [m for m in SphereFace20().modules() if isinstance(m, nn.Conv2d)]
    expected = []
    for width, units in ((64, 1), (128, 2), (256, 4), (512, 1)):
        expected += [(width, 2), *[(width, 1)] * (2 * units)]
    assert [(c.out_channels, c.stride[0]) for c in convs] == expected and len(convs) == 20


def test_every_layer_before_the_feature_has_one_slope_per_channel():
    with torch.device('meta'):
        layers = [m for m in SphereFace20().modules() if isinstance(m, (nn.Conv2d, nn.PReLU))]
    for conv, slope in zip(layers[::2], layers[1::2], strict=True):
        assert isinstance(conv, nn.Conv2d) and slope.num_parameters == conv.out_channels


def test_the_forward_pass_equals_the_layer_table_written_out(small):
    generator = torch.Generator().manual_seed(1)
    for parameter in small.parameters():  # the initial weights of the units are almost nothing
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    x = torch.randn(2, 3, 112, 96, generator=generator)
    torch.testing.assert_close(small(x), literal_sphereface20.forward(iter(small.parameters()), x))


def test_weights_start_as_in_the_caffe_original():
    torch.manual_seed(0)
    network = SphereFace20(num_feat=16, feature_length=64)
    unit = next(m for m in network.modules() if isinstance(m, ResidualUnit))
    assert unit.body[0].weight.std().item() == pytest.approx(0.01, rel=0.1)
    bound = math.sqrt(3 / network.fc5.in_features)
    assert 0.99 * bound < network.fc5.weight.abs().max() <= bound
    assert all((m.bias == 0).all() for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    assert all((m.weight == 0.25).all() for m in network.modules() if isinstance(m, nn.PReLU))


def test_caffes_xavier_depends_on_the_inputs_only():
    weight = caffe_xavier_(torch.empty(1000, 3, 2, 2))
    assert weight.std().item() == pytest.approx(math.sqrt(1 / 12), rel=0.03)


def test_it_says_which_input_it_takes_and_how_long_its_feature_is():
    network = SphereFace20(input_size=[128, 128], num_feat=2, feature_length=7, channels='bgr')
    assert network.input_spec == RecognizerInput(128, 128, 'bgr', 127.5, 128.0, 'center')
    assert network.feature_length == 7
    assert recognizer_features(network, torch.rand(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize('size', [(128, 128), (112, 96), (50, 33)])
def test_any_size_gives_features_of_the_asked_length(size):
    network = SphereFace20(input_size=size, num_feat=2, feature_length=5, blocks=(1, 1, 1, 1))
    assert network(torch.rand(2, 3, *size)).shape == (2, 5)


def test_the_gradient_reaches_the_face():
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    SphereFace20(input_size=(32, 32), num_feat=2, feature_length=5)(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_faces_of_another_size_are_refused_with_both_sizes(small):
    with pytest.raises(UserError, match=r'SphereFace20 was built for 112x96 images \(height x width\), got 96x112'):
        small(torch.rand(1, 3, 96, 112))


@pytest.mark.parametrize('settings', [{'input_size': 128}, {'input_size': (128,)}, {'input_size': (8, 96)},
                                      {'input_size': '128'}, {'input_size': (112.0, 96)}, {'blocks': (1, 2, 4)}])
def test_settings_that_make_no_network_are_refused(settings):
    with pytest.raises(UserError, match='input_size: expected .height, width.|blocks: expected four numbers'):
        SphereFace20(**settings)

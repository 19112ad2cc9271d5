import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from cface_basicsr.archs.vdsr_arch import VDSR
from cface_basicsr.errors import UserError
from cface_basicsr.ops.resize import bicubic_resize


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_it_has_the_published_number_of_parameters_at_every_scale(scale):
    with torch.device('meta'):
        network = VDSR(scale=scale)
        luminance = VDSR(scale=scale, num_in_ch=1, num_out_ch=1)
    assert sum(p.numel() for p in network.parameters()) == 668_227
    assert sum(p.numel() for p in luminance.parameters()) == 665_921  # the paper's own
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == 20


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_images_come_out_scale_times_as_large_and_every_parameter_gets_a_gradient(scale):
    network = VDSR(scale=scale, num_feat=4, num_block=2)
    output = network(torch.rand(2, 3, 5, 7))
    assert output.shape == (2, 3, 5 * scale, 7 * scale)
    output.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_a_network_of_zeros_gives_the_bicubic_enlargement(scale):
    network = VDSR(scale=scale, num_feat=4, num_block=2)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 6, 4)
    assert torch.equal(network(x), bicubic_resize(x, (6 * scale, 4 * scale)))


def test_it_is_a_chain_of_convolutions_whose_last_has_no_activation():
    network = VDSR(scale=2, num_feat=5, num_block=3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.rand(2, 3, 4, 4)
    enlarged = features = bicubic_resize(x, 8)
    pairs = list(zip(*[iter(network.parameters())] * 2, strict=True))
    for weight, bias in pairs[:-1]:
        features = functional.conv2d(features, weight, bias, padding=1).clamp(min=0)
    expected = enlarged + functional.conv2d(features, *pairs[-1], padding=1)
    assert len(pairs) == 5 and expected.min() < 0
    torch.testing.assert_close(network(x), expected)


def test_weights_start_by_he_and_biases_at_zero():
    network = VDSR(scale=2)
    for layer, inputs in ((network.head[0], 3), (network.body[0], 64), (network.body[-2], 64), (network.tail, 64)):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * inputs)), rel=0.06)
        assert (layer.bias == 0).all()


def test_a_wrong_scale_and_channels_that_cannot_be_added_are_refused():
    with pytest.raises(UserError, match='VDSR: scale: expected 2, 4 or 8, got 3'):
        VDSR(scale=3)
    with pytest.raises(UserError, match='num_in_ch and num_out_ch to be the same, got 1 and 3'):
        VDSR(num_in_ch=1)

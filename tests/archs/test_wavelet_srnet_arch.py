import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from cface_basicsr.archs.wavelet_srnet_arch import WaveletBlock, WaveletSRNet
from cface_basicsr.errors import UserError
from cface_basicsr.ops.haar import haar_packet

SMALL = {'num_feat': 2, 'num_block': 1}


@pytest.mark.parametrize(('scale', 'count'), [(2, 46_327_372), (4, 51_353_968), (8, 74_999_296)])
def test_it_has_the_published_number_of_parameters(scale, count):
    with torch.device('meta'):
        network = WaveletSRNet(scale=scale)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_images_come_out_scale_times_as_large_and_every_parameter_gets_a_gradient(scale):
    network = WaveletSRNet(scale=scale, num_feat=8, num_block=1)
    output = network(torch.rand(2, 3, 5, 7))
    assert output.shape == (2, 3, 5 * scale, 7 * scale)
    output.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(('scale', 'depth'), [(2, 1), (4, 2), (8, 3)])
def test_the_packet_of_the_image_gives_the_predicted_coefficients_back(scale, depth):
    network = WaveletSRNet(scale=scale, **SMALL).eval()
    x = torch.rand(2, 3, 4, 4)
    predicted = network.coefficients(x)
    assert predicted.shape == (2, 3 * 4 ** depth, 4, 4)
    torch.testing.assert_close(haar_packet(network(x), depth), predicted)


def test_channels_in_and_out_can_differ():
    assert WaveletSRNet(scale=4, num_in_ch=1, num_out_ch=2, **SMALL)(torch.rand(2, 1, 3, 3)).shape == (2, 2, 12, 12)


@pytest.mark.parametrize(('before', 'after'), [(4, 4), (4, 8)])
def test_a_block_normalizes_and_activates_after_the_addition(before, after):
    block = WaveletBlock(before, after, (2, 4)).eval()
    first, norm, _, second = block.body
    last = block.join[0]
    for each in (norm, last):
        nn.init.uniform_(each.running_mean)
        nn.init.uniform_(each.running_var, 1, 2)
    x = torch.randn(2, before, 5, 5)
    inside = functional.conv2d(x, first.weight, padding=1, groups=2)
    inside = (inside - norm.running_mean.view(-1, 1, 1)) / (norm.running_var.view(-1, 1, 1) + 1e-5).sqrt()
    inside = inside.clamp(min=0)
    skip = x if before == after else functional.conv2d(x, block.skip.weight)
    total = functional.conv2d(inside, second.weight, padding=1, groups=4) + skip
    expected = (total - last.running_mean.view(-1, 1, 1)) / (last.running_var.view(-1, 1, 1) + 1e-5).sqrt()
    torch.testing.assert_close(block(x), expected.clamp(min=0))


def test_the_branches_hold_the_low_pass_then_the_details_from_coarse_to_fine():
    network = WaveletSRNet(scale=8, **SMALL)
    assert [branch[-1].groups for branch in network.branches] == [1, 3, 12, 48]
    assert [branch[-1].out_channels for branch in network.branches] == [3, 9, 36, 144]


def test_only_the_first_convolution_and_the_skips_mix_sub_bands():
    branch = WaveletSRNet(scale=4, num_feat=4, num_block=1).branches[1].eval()  # three sub-bands of three colours
    branch(torch.randn(1, 64, 4, 4))[:, 3:6].square().sum().backward()  # the second one
    for conv in (branch[1].body[0], branch[1].body[-1], branch[2]):
        first, second, third = conv.weight.grad.chunk(3)
        assert second.abs().sum() > 0 and first.abs().sum() == 0 and third.abs().sum() == 0
    assert branch[0].body[-1].groups == 3
    assert (branch[0].body[0].groups, branch[0].skip.groups, branch[1].skip.groups) == (1, 1, 1)


def test_convolutions_have_no_bias_but_for_the_last_ones():
    network = WaveletSRNet(scale=8, **SMALL)
    last = [branch[-1] for branch in network.branches]
    assert all((conv.bias is not None) == (conv in last) for conv in network.modules() if isinstance(conv, nn.Conv2d))


def test_weights_start_by_their_outputs():
    network = WaveletSRNet(scale=4, num_feat=32)
    for conv in (network.head[0], network.body[3].body[0], network.branches[2][0].skip, network.branches[2][-1]):
        expected = math.sqrt(2 / (conv.kernel_size[0] ** 2 * conv.out_channels))
        assert conv.weight.std().item() == pytest.approx(expected, rel=0.06)
    assert (network.branches[0][-1].bias == 0).all()


def test_another_scale_is_refused():
    with pytest.raises(UserError, match='WaveletSRNet: scale: expected 2, 4 or 8, got 16'):
        WaveletSRNet(scale=16)

"""Parameters and multiply-accumulates are those counted by hand; measuring leaves a network as it was."""

import torch
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.benchmark.costs import count_macs, count_parameters, measure_costs


def test_a_convolution_costs_its_kernel_at_every_pixel_it_makes() -> None:
    network = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert count_macs(network, torch.zeros(1, 3, 16, 12)) == 8 * 6 * 8 * 3 * 3 * 3
    assert count_macs(network, torch.zeros(2, 3, 16, 12)) == 2 * 8 * 6 * 8 * 3 * 3 * 3


def test_a_transposed_convolution_costs_its_kernel_at_every_pixel_it_reads() -> None:
    network = nn.ConvTranspose2d(4, 5, 6, stride=2, padding=2)
    assert count_macs(network, torch.zeros(1, 4, 7, 9)) == 7 * 9 * 4 * 5 * 6 * 6


def test_a_grouped_convolution_and_a_linear_layer_cost_their_weights() -> None:
    assert count_macs(nn.Conv2d(6, 6, 3, padding=1, groups=3), torch.zeros(1, 6, 5, 5)) == 5 * 5 * 6 * 2 * 9
    assert count_macs(nn.Linear(7, 11), torch.zeros(3, 7)) == 3 * 7 * 11


def test_the_costs_of_srresnet_are_those_summed_over_its_layers() -> None:
    network = SRResNet(scale=4, num_feat=8, num_block=2)
    sizes = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, _, y: sizes.append(
                y.shape[2] * y.shape[3] * m.weight.numel()))
    costs = measure_costs(network, 4, size=(32, 48), warm_up=0, repeats=1)
    first_forward = len([m for m in network.modules() if isinstance(m, nn.Conv2d)])
    assert costs.macs == sum(sizes[:first_forward])
    assert costs.parameters == sum(p.numel() for p in network.parameters())
    assert costs.ms_a_face > 0 and costs.device.startswith('CPU') and costs.images_a_second is None


def test_bicubic_has_nothing_to_train() -> None:
    costs = measure_costs(BicubicUpsampler(scale=8), 8, warm_up=0, repeats=1)
    assert costs.parameters == 0


def test_frozen_parameters_and_buffers_do_not_count() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    network[0].requires_grad_(False)
    assert count_parameters(network) == 6


def test_a_network_comes_back_in_its_own_mode_with_its_statistics() -> None:
    network = SRResNet(scale=8, num_feat=4, num_block=1).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measure_costs(network, 8, warm_up=1, repeats=1)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

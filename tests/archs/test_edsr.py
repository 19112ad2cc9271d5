"""EDSR is BasicSR's own network; the option files make it the paper's (Lim et al., CVPRW 2017)."""

from typing import Any

import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr.options import read_option_file
from cface_basicsr.training.scale import at_scale
from tests.tiny_stages import REPOSITORY

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Of the DIV2K training images, RGB: as published."""
DOUBLINGS = {2: 1, 4: 2, 8: 3}
BLOCKS = 2


def section(scale: int) -> dict[str, Any]:
    return at_scale(read_option_file(REPOSITORY / 'options/baselines/edsr_x8.yml'), scale)['network_g']


def narrow(scale: int, num_feat: int = 4) -> nn.Module:
    """The option file's network with few and narrow blocks."""
    return build_network({**section(scale), 'num_feat': num_feat, 'num_block': BLOCKS})


def literal(weights: dict[str, Tensor], x: Tensor, scale: int) -> Tensor:
    """The paper's network: no normalization, residuals times 0.1, no activation after the head or the shuffles."""
    def conv(name: str, features: Tensor) -> Tensor:
        return functional.conv2d(features, weights[f'{name}.weight'], weights[f'{name}.bias'], padding=1)

    mean = torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1)
    head = features = conv('conv_first', (x - mean) * 255)
    for block in range(BLOCKS):
        residual = conv(f'body.{block}.conv2', conv(f'body.{block}.conv1', features).relu())
        features = features + 0.1 * residual
    features = head + conv('conv_after_body', features)
    for stage in range(DOUBLINGS[scale]):
        features = functional.pixel_shuffle(conv(f'upsample.{2 * stage}', features), 2)
    return conv('conv_last', features) / 255 + mean


@pytest.mark.parametrize('scale', DOUBLINGS)
def test_the_option_file_asks_for_the_papers_full_network(scale: int) -> None:
    assert section(scale) == {
        'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'upscale': scale,
        'num_block': 32, 'num_feat': 256, 'res_scale': 0.1, 'img_range': 255, 'rgb_mean': list(DIV2K_MEAN)}


@pytest.mark.parametrize(('scale', 'weights'), [(2, 40_729_603), (4, 43_089_923), (8, 45_450_243)])
def test_it_has_the_published_number_of_weights(scale: int, weights: int) -> None:
    with torch.device('meta'):
        assert sum(p.numel() for p in build_network(section(scale)).parameters()) == weights


@pytest.mark.parametrize('scale', DOUBLINGS)
def test_it_equals_the_paper_written_out_layer_by_layer(scale: int) -> None:
    network, x = narrow(scale), torch.rand(2, 3, 5, 6)
    with torch.no_grad():
        output = network(x)
        torch.testing.assert_close(output, literal(network.state_dict(), x, scale))
    assert output.shape == (2, 3, 5 * scale, 6 * scale)


@pytest.mark.parametrize('scale', DOUBLINGS)
def test_with_a_last_layer_of_zeros_every_pixel_is_the_mean_of_div2k(scale: int) -> None:
    network = narrow(scale)
    nn.init.zeros_(network.conv_last.weight)
    nn.init.zeros_(network.conv_last.bias)
    output = network(torch.rand(2, 3, 4, 3))
    for color, mean in enumerate(DIV2K_MEAN):
        assert torch.equal(output[:, color], torch.full((2, 4 * scale, 3 * scale), mean))


def test_inside_pixels_are_grey_levels_less_the_mean() -> None:
    """(0.5 - mean) 255 goes in for mid-grey; 25.5 grey levels that come out are 0.1 above the mean."""
    network, fed = narrow(4), []
    network.conv_first.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    nn.init.zeros_(network.conv_last.weight)
    nn.init.constant_(network.conv_last.bias, 25.5)
    output = network(torch.full((1, 3, 2, 2), 0.5))
    assert fed[0][0, :, 1, 1].tolist() == pytest.approx([13.056, 16.0395, 24.48], rel=1e-5)
    assert output[0, :, 3, 5].tolist() == pytest.approx([0.5488, 0.5371, 0.5040], rel=1e-6)


def test_a_residual_block_adds_a_tenth_of_its_two_convolutions_by_hand() -> None:
    """One channel, one row: every number can be checked by hand."""
    block = narrow(8, num_feat=1).body[0]
    for conv in (block.conv1, block.conv2):
        nn.init.zeros_(conv.weight)
    with torch.no_grad():
        block.conv1.weight[0, 0, 1, 1] = 2.0
        block.conv1.bias.fill_(-1.0)
        block.conv2.weight[0, 0, 1] = torch.tensor([10.0, 0.0, 1.0])  # ten of the left neighbour, one of the right
        block.conv2.bias.fill_(-2.0)
        output = block(torch.tensor([[[[0.0, 1.0, 2.0]]]]))
    # 2 x - 1 is (-1, 1, 3), without what is negative (0, 1, 3); 10 left + right - 2 is (-1, 1, 8)
    assert output.flatten().tolist() == pytest.approx([0.0 - 0.1, 1.0 + 0.1, 2.0 + 0.8])


@pytest.mark.parametrize('scale', DOUBLINGS)
def test_every_parameter_gets_a_gradient(scale: int) -> None:
    network = narrow(scale)
    network(torch.rand(2, 3, 4, 4)).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []

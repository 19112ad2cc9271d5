import pytest
import torch
from torch import nn

from cface_basicsr.archs.layers import DIV2K_MEAN
from cface_basicsr.archs.rdn_arch import RDN, ResidualDenseBlock
from cface_basicsr.errors import UserError

SCALES = pytest.mark.parametrize('scale', [2, 4, 8])


def small(scale: int = 2, **options) -> RDN:
    return RDN(scale=scale, **{'num_feat': 4, 'num_block': 2, 'num_layer': 3, 'num_grow_ch': 5, **options})


@pytest.mark.parametrize(('scale', 'count'), [(2, 22_123_395), (4, 22_271_107), (8, 22_418_819)])
def test_it_has_the_published_number_of_parameters(scale, count):
    with torch.device('meta'):
        network = RDN(scale=scale)
    assert sum(p.numel() for p in network.parameters()) == count


@SCALES
def test_images_come_out_scale_times_as_large(scale):
    assert small(scale)(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@SCALES
def test_every_parameter_gets_a_gradient(scale):
    network = small(scale)
    network(torch.rand(2, 3, 6, 6)).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_block_adds_its_fused_layers_to_its_input_unscaled():
    block, x = ResidualDenseBlock(2, 3, 2), torch.rand(1, 2, 5, 6)
    first = block.dense[0].conv(x).relu()
    second = block.dense[1].conv(torch.cat([x, first], 1)).relu()
    torch.testing.assert_close(block(x), x + block.fusion(torch.cat([x, first, second], 1)))


def test_without_local_fusion_every_block_passes_the_shallow_features_on():
    network, x = small(), torch.rand(1, 3, 6, 6)
    for block in network.blocks:
        nn.init.zeros_(block.fusion.weight)
        nn.init.zeros_(block.fusion.bias)
    shallow = network.shallow[0](255 * (x - torch.tensor(DIV2K_MEAN).view(3, 1, 1)))
    deeper = network.shallow[1](shallow)
    features = shallow + network.fusion(torch.cat([deeper, deeper], 1))
    expected = network.tail(network.upsample(features)) / 255 + torch.tensor(DIV2K_MEAN).view(3, 1, 1)
    torch.testing.assert_close(network(x), expected)


def test_the_long_skip_starts_at_the_first_convolution():
    network, x = small(), torch.rand(1, 3, 6, 6)
    nn.init.zeros_(network.fusion[1].weight)
    nn.init.zeros_(network.fusion[1].bias)
    shallow = network.shallow[0](network.range.inside(x))
    torch.testing.assert_close(network(x), network.range.outside(network.tail(network.upsample(shallow))))


def test_local_features_of_all_blocks_are_fused_the_first_block_first():
    network, x = small(), torch.rand(1, 4, 6, 6)
    first = network.blocks[0](x)
    torch.testing.assert_close(network._local_features(x), [first, network.blocks[1](first)])


def test_the_only_activations_are_those_of_the_dense_layers():
    names = [type(m).__name__ for m in small(8).modules() if not list(m.children())]
    assert names.count('ReLU') == 2 * 3
    assert set(names) == {'PixelRange', 'Conv2d', 'ReLU', 'PixelShuffle'}


def test_a_network_without_a_tail_gives_the_mean_color():
    network = small()
    nn.init.zeros_(network.tail.weight)
    nn.init.zeros_(network.tail.bias)
    torch.testing.assert_close(network(torch.rand(1, 3, 4, 4)),
                               torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1).expand(1, 3, 8, 8))


def test_weights_start_uniform_within_one_over_the_root_of_the_fan_in():
    network = small(num_feat=32)
    bound = (32 * 9) ** -0.5
    for parameter in (network.shallow[1].weight, network.shallow[1].bias):
        assert parameter.abs().max() <= bound
    assert network.shallow[1].weight.std().item() == pytest.approx(bound / 3 ** 0.5, rel=0.05)


def test_other_channels_need_their_own_mean():
    assert small(num_in_ch=1, num_out_ch=1, rgb_mean=[0.5])(torch.rand(1, 1, 4, 4)).shape == (1, 1, 8, 8)
    with pytest.raises(UserError, match='RDN: rgb_mean'):
        small(num_in_ch=1)


@pytest.mark.parametrize('scale', [3, 1, 16, '4', [4]])
def test_another_scale_is_refused_with_the_valid_ones(scale):
    with pytest.raises(UserError, match='RDN: scale: expected 2, 4 or 8, got'):
        RDN(scale=scale)

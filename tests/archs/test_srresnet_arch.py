import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.errors import UserError


@pytest.mark.parametrize(('scale', 'count'), [(2, 1_399_637), (4, 1_547_350), (8, 1_695_063)])
def test_it_has_the_published_number_of_parameters(scale, count):
    with torch.device('meta'):
        network = SRResNet(scale=scale)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_images_come_out_scale_times_as_large(scale):
    assert SRResNet(scale=scale, num_feat=4, num_block=1)(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


def test_channels_in_and_out_can_differ():
    network = SRResNet(scale=2, num_in_ch=1, num_out_ch=2, num_feat=4, num_block=1)
    assert network(torch.rand(1, 1, 6, 6)).shape == (1, 2, 12, 12)


def test_convolutions_before_a_normalization_have_no_bias_and_all_others_have_one():
    layers = [m for m in SRResNet(num_feat=4, num_block=2).modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d):
            assert (layer.bias is None) == isinstance(after, nn.BatchNorm2d)


def test_every_prelu_has_one_slope():
    slopes = [m.num_parameters for m in SRResNet(num_feat=4, num_block=2).modules() if isinstance(m, nn.PReLU)]
    assert slopes == [1] * (1 + 2 + 2)  # head, blocks, two shuffle stages


def test_the_output_is_linear():
    network = SRResNet(scale=2, num_feat=4, num_block=1).eval()
    nn.init.constant_(network.tail.bias, -3.0)
    low = network(torch.rand(1, 3, 8, 8))
    nn.init.constant_(network.tail.bias, 3.0)
    assert low.min() < -1 and network(torch.rand(1, 3, 8, 8)).max() > 1


def test_the_long_skip_adds_the_head_to_the_body():
    network = SRResNet(scale=2, num_feat=4, num_block=1).eval()
    nn.init.zeros_(network.body[-1].weight)  # the last normalization: the body now gives zero
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(network(x), network.tail(network.upsample(network.head(x))))


def test_weights_start_by_he_and_the_last_layer_ten_times_smaller():
    network = SRResNet()
    he = (2 / (1 + 0.25 ** 2)) ** 0.5
    assert network.head[0].weight.std().item() == pytest.approx(he / (3 * 81) ** 0.5, rel=0.05)
    assert network.tail.weight.std().item() == pytest.approx(0.1 * he / (64 * 81) ** 0.5, rel=0.05)
    assert (network.tail.bias == 0).all()


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_every_parameter_gets_a_gradient(scale: int) -> None:
    network = SRResNet(scale=scale, num_feat=4, num_block=2)
    network(torch.rand(2, 3, 4, 4)).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def scatter(network: nn.Module) -> None:
    """Give every layer values of its own, so that no two orders of layers agree; biases and statistics start equal."""
    for layer in network.modules():
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -0.5, 0.5)
        elif isinstance(layer, nn.BatchNorm2d):
            for scale in (layer.weight, layer.running_var):
                nn.init.uniform_(scale, 0.5, 1.5)
            for shift in (layer.bias, layer.running_mean):
                nn.init.normal_(shift)
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.normal_(layer.bias)


def literal_forward(weights: dict[str, Tensor], x: Tensor, blocks: int, stages: int) -> Tensor:
    """Ledig et al., figure 4, with trained statistics."""
    def conv(name: str, features: Tensor) -> Tensor:
        kernel = weights[f'{name}.weight']
        return functional.conv2d(features, kernel, weights.get(f'{name}.bias'), padding=kernel.shape[-1] // 2)

    def norm(name: str, features: Tensor) -> Tensor:
        return functional.batch_norm(features, *(weights[f'{name}.{each}'] for each in (
            'running_mean', 'running_var', 'weight', 'bias')))

    def prelu(name: str, features: Tensor) -> Tensor:
        return functional.prelu(features, weights[f'{name}.weight'])

    head = features = prelu('head.1', conv('head.0', x))
    for block in range(blocks):
        conv1, norm1, slope, conv2, norm2 = (f'body.{block}.body.{layer}' for layer in range(5))
        residual = prelu(slope, norm(norm1, conv(conv1, features)))
        features = features + norm(norm2, conv(conv2, residual))
    features = head + norm(f'body.{blocks + 1}', conv(f'body.{blocks}', features))
    for stage in range(stages):
        features = prelu(f'upsample.{stage}.2', functional.pixel_shuffle(conv(f'upsample.{stage}.0', features), 2))
    return conv('tail', features)


@pytest.mark.parametrize(('scale', 'stages'), [(2, 1), (4, 2), (8, 3)])
def test_it_equals_the_paper_written_out_layer_by_layer(scale: int, stages: int) -> None:
    network, x = SRResNet(scale=scale, num_feat=4, num_block=2).eval(), torch.rand(2, 3, 5, 6)
    scatter(network)
    with torch.no_grad():
        torch.testing.assert_close(network(x), literal_forward(network.state_dict(), x, blocks=2, stages=stages))


@pytest.mark.parametrize('scale', [3, 1, 16, '4', [4]])
def test_another_scale_is_refused_with_the_valid_ones(scale):
    with pytest.raises(UserError, match='scale: expected 2, 4 or 8, got'):
        SRResNet(scale=scale)


def test_with_zero_init_residual_the_body_is_the_identity_at_first_and_learns() -> None:
    x = torch.rand(2, 3, 8, 8)
    for zero in (True, False):
        network = SRResNet(scale=8, num_feat=4, num_block=2, zero_init_residual=zero)
        features = network.head(x)
        assert torch.equal(features + network.body(features), features) == zero
        assert all(torch.equal(block(features), features) == zero for block in network.body[:2])
        network(x).square().sum().backward()
        assert network.body[-1].weight.grad.abs().sum() > 0  # so it leaves the identity


def test_icnr_starts_with_nearest_neighbours() -> None:
    x = torch.rand(2, 4, 5, 6)
    for icnr in (True, False):
        stages = SRResNet(scale=8, num_feat=4, num_block=1, icnr=icnr).upsample
        enlarged = stages[0](x)
        corners = enlarged[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2)
        assert torch.equal(enlarged, corners) == icnr

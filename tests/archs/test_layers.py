import pytest
import torch
from torch import nn

from cface_basicsr.archs.layers import ConvToFew, LeanPReLU, dense_layers


def test_each_layer_sees_the_input_and_all_layers_before_it():
    layers, x = dense_layers(2, 3, 2, nn.ReLU), torch.rand(1, 2, 5, 6)
    first = layers[0].conv(x).relu()
    second = layers[1].conv(torch.cat([x, first], 1)).relu()
    torch.testing.assert_close(layers(x), torch.cat([x, first, second], 1))


def test_each_layer_has_an_activation_of_its_own():
    layers = dense_layers(2, 3, 2, lambda: nn.PReLU(3))
    assert layers[0].activation is not layers[1].activation


def test_no_layers_pass_the_input_on():
    x = torch.rand(1, 2, 5, 6)
    assert dense_layers(2, 3, 0, nn.ReLU)(x) is x


@pytest.mark.parametrize(('channels', 'kernel', 'bias'), [(3, 9, True), (3, 9, False), (1, 5, True), (2, 3, True)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_a_convolution_to_few_channels_has_the_values_and_gradients_of_the_plain_one(
        channels: int, kernel: int, bias: bool, layout: torch.memory_format) -> None:
    conv = nn.Conv2d(5, channels, kernel, padding=kernel // 2, bias=bias).double()
    few = ConvToFew(5, channels, kernel, bias).double()
    few.load_state_dict(conv.state_dict())
    x = torch.randn(2, 5, 12, 7, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    given = torch.randn(2, channels, 12, 7, dtype=torch.float64)
    ours, plain = few(x), conv(x)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    for one, other in zip(torch.autograd.grad(ours, [x, *few.parameters()], given),
                          torch.autograd.grad(plain, [x, *conv.parameters()], given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_at_the_size_of_srresnet_it_differs_from_the_plain_one_by_rounding_and_is_the_same_each_time() -> None:
    few, x = ConvToFew(64, 3, 9), torch.randn(1, 64, 32, 32)
    ours, plain = few(x), nn.Conv2d.forward(few, x)
    exact = nn.Conv2d.forward(few.double(), x.double())
    assert (ours - exact).abs().max() < 1e-5 and (ours - exact).abs().max() < 3 * (plain - exact).abs().max()
    assert torch.equal(few.float()(x), ours)


def test_where_a_graph_is_made_or_precision_lowered_the_plain_convolution_is_called(
        monkeypatch: pytest.MonkeyPatch) -> None:
    few, called, plain = ConvToFew(4, 3, 9), [], nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, 'forward', lambda self, x: (called.append(True), plain(self, x))[1])
    x = torch.randn(1, 4, 8, 8)
    few(x)
    assert not called
    with torch.autocast('cpu', torch.bfloat16):
        assert few(x).dtype == torch.bfloat16
    for name in ('torch.jit.is_tracing', 'torch.compiler.is_compiling', 'torch.compiler.is_exporting'):
        with monkeypatch.context() as inside:
            inside.setattr(name, lambda: True)
            few(x)
    few.to('meta')(x.to('meta'))
    assert len(called) == 5


@pytest.mark.parametrize(('shape', 'slopes'), [((2, 6, 5, 4), 1), ((2, 6, 5, 4), 6), ((3, 6), 6), ((7,), 1)])
@pytest.mark.parametrize('learns', [True, False])
def test_the_lean_prelu_has_torchs_values_and_gradients(shape: tuple[int, ...], slopes: int, learns: bool) -> None:
    lean, plain = LeanPReLU(slopes), nn.PReLU(slopes)
    with torch.no_grad():
        lean.weight.copy_(torch.linspace(-0.3, 0.4, slopes))
    plain.load_state_dict(lean.state_dict())
    x, given = torch.randn(shape), torch.randn(shape)
    x.flatten()[0] = 0
    found = []
    for each in (lean.requires_grad_(learns), plain.requires_grad_(learns)):
        inside = x.clone().requires_grad_()
        result = each(inside)
        result.backward(given)
        found.append((result, inside.grad, each.weight.grad))
    (ours, ours_x, ours_slope), (torchs, torchs_x, torchs_slope) = found
    assert torch.equal(ours, torchs) and torch.equal(ours_x, torchs_x)
    assert (ours_slope is None) == (torchs_slope is None) == (not learns)
    if learns:
        torch.testing.assert_close(ours_slope, torchs_slope, rtol=1e-5, atol=1e-6)

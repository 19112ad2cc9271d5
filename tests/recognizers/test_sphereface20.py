"""Weights of other people's SphereFace-20 compute the same in ours as in theirs, layer by layer."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cface_basicsr.archs.sphereface20_arch import ResidualUnit, SphereFace20
from cface_basicsr.errors import UserError
from cface_basicsr.recognizers.sphereface20 import from_caffe, is_sphereface20, read_caffe_blobs, to_sphereface20
from tests.caffe_file import write_caffemodel
from tests.references.published_sphereface20 import layer_outputs, list_of_layers, made_up_weights


def ours(state: dict[str, Tensor]) -> SphereFace20:
    options, renamed = to_sphereface20(state, 'the file')
    assert options.pop('type') == 'SphereFace20'
    network = SphereFace20(**options)
    network.load_state_dict(renamed)
    return network.double()


def outputs_in_order(network: SphereFace20, x: Tensor) -> list[Tensor]:
    """Of each convolution, PReLU, residual sum and the dense layer, as they compute."""
    outputs: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.PReLU, ResidualUnit, nn.Linear)):
            module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    network(x)
    return outputs


def as_caffe(weights: dict[str, Tensor], *, biases: bool = True) -> dict[str, list]:
    """{layer: [weight, bias]}; without biases: those of the units are left out of the file."""
    layers: dict[str, list] = {}
    for name, value in weights.items():
        layer, part = name.split('.')
        if biases or part == 'weight' or layer.endswith('_1') or layer == 'fc5':
            layers.setdefault(layer, []).append(value.numpy())
    return layers


@pytest.mark.parametrize('unit_biases', [True, False], ids=['clcarwin', 'wy1iu'])
def test_every_layer_gives_what_theirs_gives(unit_biases: bool) -> None:
    weights = made_up_weights(unit_biases=unit_biases)
    x = torch.randn(2, 3, 112, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = layer_outputs({name: value.double() for name, value in weights.items()}, x)
    found = outputs_in_order(ours(weights), x)
    assert len(theirs) == 20 + 20 + 8 + 1
    for (name, their), our in zip(theirs.items(), found, strict=True):
        assert (our - their).abs().max() < 1e-10 * max(1, their.abs().max()), name


def test_weights_named_by_their_position_in_a_list_are_the_same_network() -> None:
    torch.manual_seed(0)
    theirs = list_of_layers()
    x = torch.randn(2, 3, 112, 96, dtype=torch.float64)
    assert is_sphereface20(theirs.state_dict())
    torch.testing.assert_close(ours(theirs.state_dict())(x), theirs.double()(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(('blob', 'biases'), [('new', True), ('old', True), ('new', False)])
def test_a_caffe_file_gives_the_same_network(tmp_path: Path, blob: str, biases: bool) -> None:
    weights = made_up_weights(width=2, unit_biases=False)
    path = write_caffemodel(tmp_path / 'sphereface_model.caffemodel', as_caffe(weights, biases=biases), blob)
    options, state = to_sphereface20(from_caffe(read_caffe_blobs(path)), str(path))
    expected_options, expected = to_sphereface20(weights, 'the same')
    assert options == expected_options and state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_full_sized_weights_become_the_published_network_that_takes_aligned_bgr_faces() -> None:
    with torch.device('meta'):
        options, state = to_sphereface20({name: torch.empty_like(value) for name, value in made_up_weights(
            width=64, features=512, people=10574).items()}, 'the file')
    assert options == {'type': 'SphereFace20', 'input_size': [112, 96], 'num_feat': 64, 'feature_length': 512,
                       'channels': 'bgr', 'template': 'sphereface'}
    assert sum(value.numel() for value in state.values()) == 22_670_656


@pytest.mark.parametrize(('change', 'message'), [
    ({'conv3_9.weight': None}, "layer 'conv3_9' is missing"),
    ({'relu4_3.weight': None}, "layer 'relu4_3' is missing"),
    ({'conv3_10.weight': torch.zeros(1)}, "'conv3_10.weight' is not one of its layers"),
    ({'fc5.bias': None}, "'fc5.bias' is missing"),
    ({'conv2_1.bias': None}, "'conv2_1.bias' is missing"),
    ({'relu1_1.weight': torch.zeros(1)}, "'relu1_1.weight' is 1, a SphereFace-20 for 112x96 faces has 4 there"),
    ({'fc5.weight': torch.zeros(6, 32 * 64)}, "'fc5.weight' is 6x2048, .* has 6x1344 there")])
def test_another_network_is_refused_by_the_first_layer_that_differs(change: dict, message: str) -> None:
    state = {name: value for name, value in (made_up_weights() | change).items() if value is not None}
    assert is_sphereface20(state)
    with pytest.raises(UserError, match=message):
        to_sphereface20(state, 'the file')


@pytest.mark.parametrize('names', [['conv1_1.weight', 'conv1_1.bias'], ['stages.0.0.weight'], ['0.weight', '2.bias']])
def test_other_names_are_not_taken_for_a_sphereface(names: list[str]) -> None:
    assert not is_sphereface20(names)

import torch
from torch import nn

from cface_basicsr.archs.layers import dense_layers


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

import pytest
import torch
from torch import nn

from cface_basicsr.archs.srgan_discriminator_arch import SRGANDiscriminator
from cface_basicsr.errors import UserError


def small(**settings) -> SRGANDiscriminator:
    return SRGANDiscriminator(**{'num_feat': 4, 'input_size': 32, 'num_dense': 8, **settings})


def test_it_has_the_published_number_of_parameters():
    with torch.device('meta'):
        network = SRGANDiscriminator()
    assert sum(p.numel() for p in network.parameters()) == 38_243_713


def test_an_image_gives_one_logit():
    assert small()(torch.rand(3, 3, 32, 32)).shape == (3, 1)


def test_widths_and_strides_are_those_of_the_paper():
    with torch.device('meta'):
        convs = [m for m in SRGANDiscriminator().modules() if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.stride[0]) for c in convs] == [
        (64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)]
    assert [c.bias is not None for c in convs] == [True] + 7 * [False]


def test_every_convolution_but_the_first_is_normalized():
    kinds = [type(m).__name__ for m in small().features]
    assert kinds == ['Conv2d', 'LeakyReLU'] + 7 * ['Conv2d', 'BatchNorm2d', 'LeakyReLU']


def test_channels_last_gives_the_same_logits():
    network = small().eval()
    x = torch.rand(2, 3, 32, 32)
    expected = network(x)
    got = network.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected)


def test_the_gradient_reaches_the_image():
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    small()(x).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize('size', [100, 8, 0, -16, '128', 128.0])
def test_an_input_size_that_is_not_a_multiple_of_16_is_refused(size):
    with pytest.raises(UserError, match='input_size: expected a multiple of 16, got'):
        SRGANDiscriminator(input_size=size)


def test_images_of_another_size_are_refused_with_both_sizes():
    with pytest.raises(UserError, match=r'built for 32x32 images \(height x width\), got 64x48'):
        small()(torch.rand(1, 3, 64, 48))

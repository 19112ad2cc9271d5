import pytest
import torch
from torch.nn import functional

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.errors import UserError


@pytest.mark.parametrize('scale', [1, 2, 4, 8])
def test_it_enlarges_like_torchs_antialiased_bicubic(scale):
    x = torch.rand(2, 3, 16, 12)
    expected = functional.interpolate(x, scale_factor=scale, mode='bicubic', antialias=True) if scale > 1 else x
    torch.testing.assert_close(BicubicUpsampler(scale=scale)(x), expected, atol=1e-5, rtol=0)


def test_it_has_no_parameters_and_an_empty_file():
    network = BicubicUpsampler(scale=4)
    assert not list(network.parameters()) and not network.state_dict()


@pytest.mark.parametrize('scale', [0, -2, 1.5, True])
def test_another_scale_is_refused(scale):
    with pytest.raises(UserError, match='scale: expected a whole number from 1 up'):
        BicubicUpsampler(scale=scale)

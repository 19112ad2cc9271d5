import pytest
import torch

from cface_basicsr.archs.layers import DIV2K_MEAN, PixelRange, check_rgb_mean
from cface_basicsr.errors import UserError


def test_the_mean_is_zero_inside_and_white_is_what_is_left_of_255():
    pixels = PixelRange(255.0, DIV2K_MEAN)
    grey = torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1)
    assert (pixels.inside(grey) == 0).all()
    torch.testing.assert_close(pixels.inside(torch.ones(1, 3, 1, 1)).flatten(),
                               torch.tensor([140.556, 143.5395, 151.98]))


def test_what_went_inside_comes_out_as_it_was():
    pixels, x = PixelRange(255.0, DIV2K_MEAN), torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(pixels.outside(pixels.inside(x)), x)


def test_the_mean_is_neither_learned_nor_saved():
    pixels = PixelRange(255.0, DIV2K_MEAN)
    assert not list(pixels.parameters()) and not pixels.state_dict()
    assert pixels.to(torch.float64).mean.dtype == torch.float64  # but it moves with its network


@pytest.mark.parametrize(('num_in_ch', 'num_out_ch'), [(1, 3), (3, 1), (1, 1)])
def test_a_mean_for_other_channels_is_refused(num_in_ch, num_out_ch):
    with pytest.raises(UserError, match='RDN: rgb_mean: expected one value per channel in and out .* got 3'):
        check_rgb_mean(DIV2K_MEAN, num_in_ch, num_out_ch, 'RDN')

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import scale_of, super_resolve


def test_bicubic_faces_equal_pillows():
    # no values near 0 and 255: Pillow clips and rounds between its two passes
    lr = np.random.default_rng(0).integers(80, 170, (5, 16, 16, 3), dtype=np.uint8)
    expected = [np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC)) for face in lr]
    found = super_resolve(BicubicUpsampler(scale=8), lr, batch_size=2)
    assert np.abs(found.astype(int) - np.stack(expected)).max() <= 1
    assert (found == np.stack(expected)).mean() > .7


def test_the_network_runs_in_eval_mode_and_is_left_as_it_was():
    network = nn.Sequential(nn.BatchNorm2d(3), BicubicUpsampler(scale=2)).train()
    lr = np.full((2, 16, 16, 3), 100, dtype=np.uint8)
    np.testing.assert_array_equal(super_resolve(network, lr), 100)
    assert network.training and network[0].num_batches_tracked == 0


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_network_that_diverged_is_refused_by_the_image_at_which_it_shows(value):
    def network(images):
        return torch.where(images < .1, torch.tensor(value), images)
    lr = np.full((5, 4, 4, 3), 100, dtype=np.uint8)
    lr[3, 2, 1] = 0
    with pytest.raises(UserError, match='the network function gives NaN or infinity for image 3. .*earlier checkpoint'):
        super_resolve(network, lr, batch_size=2)
    with pytest.raises(UserError, match='infinity for Dee\\.'):
        super_resolve(network, lr, names=['Ann', 'Bob', 'Cid', 'Dee', 'Eve'])
    assert (super_resolve(network, lr[:3]) == 100).all()


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_the_scale_is_found(scale):
    assert scale_of(BicubicUpsampler(scale=scale)) == scale


def test_other_networks_are_refused():
    with pytest.raises(UserError, match='Linear, which takes no 16x16 image'):
        scale_of(nn.Linear(3, 4))
    with pytest.raises(UserError, match='into shape'):
        scale_of(nn.Flatten())

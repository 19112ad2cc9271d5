import pytest
import torch
from basicsr.archs.rrdbnet_arch import RRDBNet
from torch.nn import functional

from cface_basicsr.archs.face_rrdbnet_arch import FaceRRDBNet
from cface_basicsr.errors import UserError

SMALL = {'num_feat': 6, 'num_block': 2, 'num_grow_ch': 3}


@pytest.mark.parametrize(('scale', 'count'), [(2, 16_661_059), (4, 16_697_987), (8, 16_734_915)])
def test_it_has_the_published_number_of_parameters_and_one_more_stage_per_doubling(scale, count):
    with torch.device('meta'):
        network = FaceRRDBNet(scale=scale)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_images_come_out_scale_times_as_large_and_every_parameter_gets_a_gradient(scale):
    network = FaceRRDBNet(scale=scale, **SMALL)
    output = network(torch.rand(2, 3, 5, 7))
    assert output.shape == (2, 3, 5 * scale, 7 * scale)
    output.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_at_x4_one_seed_starts_it_with_the_weights_of_basicsrs_network():
    torch.manual_seed(0)
    theirs = RRDBNet(num_in_ch=3, num_out_ch=3, scale=4, **SMALL).state_dict()
    torch.manual_seed(0)
    ours = FaceRRDBNet(scale=4, **SMALL).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_at_x4_it_is_basicsrs_network_and_takes_its_weights():
    theirs, ours = RRDBNet(num_in_ch=3, num_out_ch=3, scale=4, **SMALL), FaceRRDBNet(scale=4, **SMALL)
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 7, 5)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(('scale', 'stages'), [(2, ['conv_up1']), (8, ['conv_up1', 'conv_up2', 'conv_up3'])])
def test_other_scales_differ_from_x4_in_the_number_of_nearest_neighbour_stages(scale, stages):
    network = FaceRRDBNet(scale=scale, **SMALL)
    x = torch.rand(1, 3, 4, 4)
    features = network.conv_first(x)
    features = features + network.conv_body(network.body(features))
    for name in stages:
        doubled = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
        features = functional.leaky_relu(getattr(network, name)(doubled), 0.2)
    expected = network.conv_last(functional.leaky_relu(network.conv_hr(features), 0.2))
    torch.testing.assert_close(network(x), expected)


def test_convolutions_of_the_dense_blocks_start_ten_times_smaller_than_by_he():
    conv = FaceRRDBNet(num_block=1).body[0].rdb2.conv3
    assert conv.weight.std().item() == pytest.approx(0.1 * (2 / (128 * 9)) ** 0.5, rel=0.05)
    assert (conv.bias == 0).all()


def test_another_scale_is_refused():
    with pytest.raises(UserError, match='FaceRRDBNet: scale: expected 2, 4 or 8, got 1'):
        FaceRRDBNet(scale=1)

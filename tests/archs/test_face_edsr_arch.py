import pytest
import torch
from basicsr.archs.edsr_arch import EDSR

from cface_basicsr.archs.face_edsr_arch import FaceEDSR
from cface_basicsr.errors import UserError

SMALL = {'num_feat': 6, 'num_block': 2, 'res_scale': 0.1}


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_one_seed_starts_it_with_the_weights_of_basicsrs_network_and_images_are_equal_bit_for_bit(scale: int) -> None:
    torch.manual_seed(0)
    theirs = EDSR(num_in_ch=3, num_out_ch=3, upscale=scale, **SMALL)
    torch.manual_seed(0)
    ours = FaceEDSR(scale=scale, **SMALL)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(weight, theirs.state_dict()[name]) for name, weight in ours.state_dict().items())
    x = torch.rand(2, 3, 7, 5)
    assert torch.equal(ours(x), theirs(x))


def test_gradients_are_those_of_basicsrs_network() -> None:
    theirs, ours = EDSR(num_in_ch=3, num_out_ch=3, upscale=4, **SMALL), FaceEDSR(scale=4, **SMALL)
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 7, 5)
    for network in (ours, theirs):
        network(x).square().mean().backward()
    expected = dict(theirs.named_parameters())
    assert all(torch.equal(weight.grad, expected[name].grad) for name, weight in ours.named_parameters())


def test_a_scale_that_is_no_scale_of_faces_is_refused() -> None:
    with pytest.raises(UserError, match='FaceEDSR: scale: expected 2, 4 or 8, got 3'):
        FaceEDSR(scale=3)

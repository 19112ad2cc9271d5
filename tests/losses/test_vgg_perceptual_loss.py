from pathlib import Path

import pytest
import torch
from torch.nn import functional

from cface_basicsr.errors import UserError
from cface_basicsr.losses.vgg_content_loss import VGGContentLoss
from cface_basicsr.losses.vgg_perceptual_loss import VGGPerceptualLoss
from tests.vgg_file import write_seeded_vgg19


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> Path:
    return write_seeded_vgg19(tmp_path_factory.mktemp('vgg') / 'features.pth', layer='relu3_1')


@pytest.fixture
def basicsr_finds(weights, monkeypatch) -> None:
    """torchvision's VGG19 for BasicSR, cut off after relu3_1, with the weights of the file instead of a download."""
    from basicsr.archs import vgg_arch
    from torchvision.models.vgg import cfgs, make_layers

    def vgg19(pretrained: bool) -> torch.nn.Module:
        network = torch.nn.Module()
        network.features = make_layers(cfgs['E'])[:12]
        network.load_state_dict(torch.load(weights))
        return network

    monkeypatch.setattr(vgg_arch.vgg, 'vgg19', vgg19)


@pytest.mark.parametrize('layer', ['conv3_1', 'relu2_2'])
def test_equals_basicsrs_perceptual_loss_which_its_models_expect(weights, basicsr_finds, layer):
    from basicsr.losses.basic_loss import PerceptualLoss
    sr, hr = torch.rand(2, 2, 3, 32, 32)
    theirs, style = PerceptualLoss(layer_weights={layer: 1.0}, perceptual_weight=0.5)(sr, hr)
    mine, none = VGGPerceptualLoss(layer=layer, perceptual_weight=0.5, weights=str(weights))(sr, hr)
    torch.testing.assert_close(mine, theirs)
    assert none is None and style is None


def test_l2_is_the_mean_squared_distance_of_features(weights):
    sr, hr = torch.rand(2, 2, 3, 16, 16)
    features = VGGContentLoss(layer='relu2_1', weights=str(weights)).features
    loss, _ = VGGPerceptualLoss(layer='relu2_1', criterion='l2', perceptual_weight=0.006, weights=str(weights))(sr, hr)
    torch.testing.assert_close(loss, 0.006 * functional.mse_loss(features(sr), features(hr)))


@pytest.mark.parametrize('criterion', ['l1', 'l2'])
def test_the_gradient_reaches_the_super_resolved_image_only(weights, criterion):
    sr, hr = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    VGGPerceptualLoss(layer='conv2_1', criterion=criterion, weights=str(weights))(sr, hr)[0].backward()
    assert sr.grad.abs().sum() > 0 and hr.grad is None


def test_an_unknown_criterion_is_refused_and_so_is_an_unknown_layer(weights):
    with pytest.raises(UserError, match="VGGPerceptualLoss: criterion: expected l1 or l2, got 'fro'"):
        VGGPerceptualLoss(criterion='fro', weights=str(weights))
    with pytest.raises(UserError, match='expected reluI_J or convI_J'):
        VGGPerceptualLoss(layer='conv6_1', weights=str(weights))

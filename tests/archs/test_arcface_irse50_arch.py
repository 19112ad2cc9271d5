"""facexlib's recognizer: its weights, its network, its features up to their length."""

import pytest
import torch
from facexlib.recognition.arcface_arch import Backbone
from torch import nn

from cface_basicsr.archs.arcface_irse50_arch import ArcFaceIRSE50, from_facexlib, is_facexlib_arcface
from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import RecognizerInput, unit


@pytest.fixture(scope='module')
def theirs() -> Backbone:
    """facexlib's network with weights and statistics that all matter, as its own loader builds it."""
    torch.manual_seed(0)
    network = Backbone(num_layers=50, drop_ratio=0.6, mode='ir_se')
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope='module')
def ours(theirs: Backbone) -> ArcFaceIRSE50:
    assert is_facexlib_arcface(theirs.state_dict())
    options, state = from_facexlib(theirs.state_dict(), 'the file')
    assert options.pop('type') == 'ArcFaceIRSE50'
    network = ArcFaceIRSE50(**options)
    network.load_state_dict(state)
    return network.eval()


@torch.no_grad()
def test_its_feature_has_the_direction_of_facexlibs(theirs: Backbone, ours: ArcFaceIRSE50) -> None:
    x = torch.rand(2, 3, 112, 112) * 2 - 1
    feature = ours(x)
    torch.testing.assert_close(unit(feature), theirs(x))
    assert feature.shape == (2, ours.feature_length) and not torch.allclose(feature, unit(feature))


def test_it_takes_aligned_faces_in_the_colour_order_of_opencv(ours: ArcFaceIRSE50) -> None:
    assert ours.input_spec == RecognizerInput(112, 112, 'bgr', 127.5, 127.5, 'arcface')


def test_it_has_the_parameters_of_facexlibs(ours: ArcFaceIRSE50) -> None:
    assert sum(p.numel() for p in ours.parameters()) == 43_797_696


def test_in_training_only_dropout_changes(ours: ArcFaceIRSE50) -> None:
    ours.train()
    norms = [m for m in ours.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) > 50 and not any(m.training for m in norms)
    assert ours.backbone.output_layer[1].training
    ours.eval()


def test_old_files_that_count_no_batches_are_taken(theirs: Backbone) -> None:
    state = {name: value for name, value in theirs.state_dict().items() if 'num_batches' not in name}
    _, renamed = from_facexlib(state, 'the file')
    with torch.device('meta'):
        assert renamed.keys() == ArcFaceIRSE50().state_dict().keys()


def test_other_weights_are_refused_by_one_of_their_names(theirs: Backbone) -> None:
    state = dict(theirs.state_dict())
    del state['body.3.res_layer.1.weight']
    with pytest.raises(UserError, match="the file is not an IR-SE-50 .* for example 'body.3.res_layer.1.weight'"):
        from_facexlib(state, 'the file')
    assert not is_facexlib_arcface(['stages.0.0.weight', 'input_layer.0.weight'])


def test_faces_of_another_size_are_refused(ours: ArcFaceIRSE50) -> None:
    with pytest.raises(UserError, match='ArcFaceIRSE50 was built for 112x112 images'):
        ours(torch.rand(1, 3, 128, 128))


def test_the_gradient_reaches_the_face(ours: ArcFaceIRSE50) -> None:
    x = torch.rand(1, 3, 112, 112, requires_grad=True)
    ours(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
    ours.zero_grad()

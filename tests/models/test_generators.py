"""L_CF by options only: on every network that takes a scale, relativistic, by several recognizers, of random views."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from cface_basicsr.data.images.image_tensor import batch_on
from cface_basicsr.errors import UserError
from cface_basicsr.losses.cface_loss import cface_loss
from cface_basicsr.ops.recognizer_input import recognizer_features
from cface_basicsr.ops.views import view, view_draws
from cface_basicsr.options import check_training_options, merge, read_option_file
from cface_basicsr.recognizers.load import load_recognizer
from tests.tiny_stages import (
    REPOSITORY,
    batch_of,
    build,
    parameters,
    placed,
    same,
    stage_options,
    write_recognizer,
)
from tests.vgg_file import write_seeded_vgg19

SPECIAL: dict[str, dict[str, Any]] = {
    'SwinIR': {'img_size': 16, 'embed_dim': 4, 'depths': [1], 'num_heads': [2], 'window_size': 8,
               'upsampler': 'pixelshuffle'},
    'ECBSR': {'num_channel': 4, 'with_idt': False, 'act_type': 'prelu'}, 'RCAN': {'squeeze_factor': 1},
    'DUF': {'num_layer': 16}}
"""What `narrow` does not say."""
CANNOT = {
    'BicubicUpsampler': 'has no weights, so there is nothing to train',
    'DUF': 'takes no 16x16 image',  # videos of seven frames
    'MSRResNet': "MSRResNet refuses this: AttributeError.*upconv1",  # BasicSR's: x2, x3, x4
    'RRDBNet': 'enlarges 4 times, and .scale. is 8',  # BasicSR's: x1, x2, x4
}
"""Registered network -> why it cannot be the generator of CFaceModel at x8."""


def networks_that_take_a_scale() -> dict[str, str]:
    """Registered network -> what it calls its scale."""
    import cface_basicsr.register  # noqa: F401
    from cface_basicsr.options.signatures import registered
    found = {}
    for name, kind in registered('archs').items():
        names = inspect.signature(kind).parameters
        found |= {key: each for key, each in ((name, 'upscale'), (name, 'scale')) if each in names}
    return found


def section_of(name: str, argument: str) -> dict[str, Any]:
    from basicsr.utils.registry import ARCH_REGISTRY
    parameters = inspect.signature(ARCH_REGISTRY.get(name)).parameters
    channels = {key: 3 for key in ('num_in_ch', 'num_out_ch') if key in parameters}
    counted = {key: 2 for key in parameters if key.startswith('num_') and key not in channels}
    return {'type': name, argument: 8, **channels, **counted, **SPECIAL.get(name, {})}


@pytest.mark.parametrize(('name', 'argument'), sorted(networks_that_take_a_scale().items()))
def test_it_leads_every_registered_network_that_takes_a_scale(data: Path, tmp_path: Path, name: str,
                                                               argument: str) -> None:
    opt = stage_options(1, data, {'network_g': section_of(name, argument)})
    opt['network_g'] = section_of(name, argument)
    if name in CANNOT:
        with pytest.raises(UserError, match=CANNOT[name]):
            model = build(opt, tmp_path)
            model.feed_data(batch_of(model))
            model.optimize_parameters(1)
        return
    model = build(opt, tmp_path)
    model.feed_data(batch_of(model))
    before = parameters(model, 'g')
    model.optimize_parameters(1)
    assert model.output.shape == model.gt.shape
    assert not same(before, parameters(model, 'g'))


def test_the_images_of_all_steps_of_a_feedback_network_are_compared_with_the_original(data: Path,
                                                                                      tmp_path: Path) -> None:
    changes = {'train': {'content_opt': None, 'gan_opt': None, 'optim_d': None,
                         'pixel_opt': {'type': 'MultiStepL1Loss', 'loss_weight': 1.0}}}
    opt = stage_options(1, data, changes)
    opt['network_g'] = section_of('SRFBN', 'scale')
    model = build(opt, tmp_path)
    model.feed_data(batch_of(model))
    outputs = model.net_g(model.lq)
    with torch.no_grad():
        phi_hr, phi_c = (recognizer_features(model.net_r, images) for images in (model.gt, model.compare))
    expected = sum((each - model.gt).abs().mean() for each in outputs) / 2 + cface_loss(
        recognizer_features(model.net_r, outputs[-1]), phi_hr, phi_c, gamma1=0.05, gamma2=0.1)
    wanted = torch.autograd.grad(expected, list(model.net_g.parameters()))
    losses = model.update_generator(model.net_g(model.lq))
    torch.testing.assert_close(sum(losses.values()), expected.detach())
    for parameter, gradient in zip(model.net_g.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-7)


def test_a_step_with_a_relativistic_loss_is_that_of_basicsrs_esrgan(data: Path, tmp_path: Path) -> None:
    """The same networks, batch and rates; L1, VGG19's features and the relativistic average GAN loss."""
    vgg = str(write_seeded_vgg19(tmp_path / 'vgg19.pth'))
    gan = {'type': 'GANLoss', 'gan_type': 'vanilla', 'real_label_val': 1.0, 'fake_label_val': 0.0, 'loss_weight': 0.1}
    pixel, perceptual = {'type': 'L1Loss', 'loss_weight': 0.5}, {'type': 'VGGPerceptualLoss', 'weights': vgg}
    ours = stage_options(1, data, {'network_r': None, 'datasets': {'train': {'compare_mode': 'none'}}, 'train': {
        'cface_opt': None, 'gan_opt': gan, 'pixel_opt': pixel, 'relativistic': True,
        'optim_g': {'lr': 1e-3, 'schedule': None}, 'optim_d': {'lr': 1e-3, 'schedule': None}}})
    ours['train']['content_opt'] = perceptual
    theirs = {**ours, 'model_type': 'ESRGANModel', 'train': {
        'total_iter': 6, 'optim_g': {'type': 'Adam', 'lr': 1e-3}, 'optim_d': {'type': 'Adam', 'lr': 1e-3},
        'scheduler': {'type': 'MultiStepLR', 'milestones': [100], 'gamma': 0.5},
        'pixel_opt': pixel, 'perceptual_opt': perceptual, 'gan_opt': gan}}
    models = [build(opt, tmp_path / name) for name, opt in (('ours', ours), ('theirs', theirs))]
    batch = batch_on(torch.device('cpu'), batch_of(models[0]), 8)
    for label in 'gd':
        getattr(models[1], f'net_{label}').load_state_dict(getattr(models[0], f'net_{label}').state_dict())
    for model in models:
        model.feed_data(batch)
        for step in (1, 2):
            model.optimize_parameters(step)
    for label in 'gd':
        for (name, one), other in zip(models[0].__dict__[f'net_{label}'].named_parameters(),
                                      models[1].__dict__[f'net_{label}'].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5, msg=lambda text, name=name: f'{name}: {text}')


def test_esrgan_with_l_cf_is_an_option_file(data: Path, tmp_path: Path) -> None:
    vgg = str(write_seeded_vgg19(tmp_path / 'vgg19.pth'))
    opt = merge(read_option_file(REPOSITORY / 'options/cface_esrgan_x8.yml'), {
        'num_gpu': 0, 'network_g': {'num_feat': 4, 'num_block': 1, 'num_grow_ch': 2}, 'network_d': {'num_feat': 2},
        'network_r': {'num_feat': 2, 'feature_length': 8}, 'train': {'total_iter': 6, 'content_opt': {'weights': vgg}},
        'datasets': {'train': {'batch_size': 4, 'num_worker_per_gpu': 0, 'persistent_workers': False}},
        'path': {'pretrain_network_g': None, 'pretrain_network_r': str(data / 'net_r.pth')}})
    for section in opt['datasets'].values():
        section |= {key: placed(section[key], data) for key in ('dataroot_gt', 'dataroot_lq', 'compare_index')
                    if key in section}
    model = build(opt, tmp_path)
    model.feed_data(batch_of(model))
    model.optimize_parameters(1)
    model.optimize_parameters(2)
    assert {'l_g_pix', 'l_g_content', 'l_g_gan', 'l_cf_self', 'l_cf_compare', 'l_d_real', 'l_d_fake'} <= set(
        model.get_current_log())


def test_basicsrs_own_perceptual_loss_is_the_content_loss(data: Path, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Its VGG11 with seeded weights, of which it needs no file."""
    from basicsr.archs import vgg_arch
    torch.manual_seed(0)
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs['A'])
    monkeypatch.setattr(vgg_arch.vgg, 'vgg11', lambda **_: SimpleNamespace(features=layers))
    opt = stage_options(1, data)
    opt['train']['content_opt'] = {'type': 'PerceptualLoss', 'vgg_type': 'vgg11', 'layer_weights': {'conv2_1': 1.0},
                                   'perceptual_weight': 0.5, 'style_weight': 2.0}
    model = build(opt, tmp_path)
    model.feed_data(batch_of(model))
    model.optimize_parameters(1)
    sr = model.output.detach()
    losses, (perceptual, style) = model.generator_losses(sr), model.cri_content(sr, model.gt)
    assert torch.equal(losses['l_g_content'], perceptual) and torch.equal(losses['l_g_style'], style)
    assert perceptual > 0 and style > 0 and {'l_g_content', 'l_g_style'} <= set(model.get_current_log())


class TwoTerms(nn.Module):
    """As BasicSR's PerceptualLoss: a perceptual and a style term, of which either may be missing."""

    def __init__(self, style: float | None) -> None:
        super().__init__()
        self.style = style

    def forward(self, sr: torch.Tensor, hr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return (sr - hr).square().mean(), None if self.style is None else self.style * sr.mean()


@pytest.mark.parametrize('style', [None, 2.0])
def test_both_terms_of_basicsrs_perceptual_loss_count(data: Path, tmp_path: Path, style: float | None) -> None:
    model = build(stage_options(1, data), tmp_path)
    model.feed_data(batch_of(model))
    model.cri_content = TwoTerms(style)
    sr = model.net_g(model.lq)
    losses = model.generator_losses(sr)
    assert torch.equal(losses['l_g_content'], (sr - model.gt).square().mean())
    assert (losses.get('l_g_style') is None) == (style is None)
    assert style is None or torch.equal(losses['l_g_style'], 2 * sr.mean())


# ----------------------------------------------------------------------------- against overfitting to one recognizer

Make = Callable[..., Any]


@pytest.fixture
def make(data: Path, tmp_path: Path) -> Make:
    """make(changes to `train:`) -> the model of stage 1 with only L_CF and pixels, fed with four faces."""
    def of(**train: Any) -> Any:
        losses = {'content_opt': {'type': 'L1Loss'}, 'gan_opt': None, 'optim_d': None}
        model = build(stage_options(1, data, {'network_d': None, 'train': losses | train}), tmp_path / 'run')
        model.feed_data(batch_of(model))
        return model
    return of


def literal_terms(model: Any, recognizer: nn.Module, sr: torch.Tensor, draws: torch.Tensor | None = None,
                  **views: float) -> torch.Tensor:
    seen = [images if draws is None else view(images, draws, **views) for images in (sr, model.gt, model.compare)]
    features = [recognizer_features(recognizer, images) for images in seen]
    return cface_loss(*features, gamma1=0.05, gamma2=0.1)


def test_by_several_recognizers_the_loss_is_the_mean_of_their_terms(make: Make, tmp_path: Path) -> None:
    file = write_recognizer(tmp_path / 'second.pth', seed=3)
    model = make(more_recognizers=[str(file), 'dlib'])
    sr = model.net_g(model.lq).detach().requires_grad_()
    losses = model.generator_losses(sr)
    networks = [model.net_r, load_recognizer(file), load_recognizer('dlib')]
    expected = sum(literal_terms(model, network, sr) for network in networks) / 3
    torch.testing.assert_close(losses['l_cf_self'] + losses['l_cf_compare'], expected)
    ours, literal = (torch.autograd.grad(loss, sr, retain_graph=True)[0]
                     for loss in (losses['l_cf_self'] + losses['l_cf_compare'], expected))
    torch.testing.assert_close(ours, literal, rtol=1e-3, atol=1e-8)
    model.optimize_parameters(1)
    assert all(parameter.grad is None for network in model.more_r for parameter in network.parameters())


VIEWS = {'shift': 3.0, 'mirror': True, 'scale': 0.05, 'blur': 0.8}


def test_sr_hr_and_compare_face_are_compared_in_the_same_view(make: Make) -> None:
    model = make(views=VIEWS)
    model.optimize_parameters(4)
    draws = view_draws(5, 4, model.keys)  # 5 is the file's seed
    assert torch.equal(model.draws, draws)
    sr = model.output.detach()
    losses = model.generator_losses(sr)
    expected = literal_terms(model, model.net_r, sr, draws, **VIEWS)
    torch.testing.assert_close(losses['l_cf_self'] + losses['l_cf_compare'], expected)
    assert model.generator_losses(model.gt)['l_cf_self'] < 1e-6  # HR is HR in every view


def test_a_resumed_run_sees_the_views_that_a_whole_one_sees(make: Make) -> None:
    whole, resumed = make(views=VIEWS), make(views=VIEWS)
    for step in (1, 2):
        whole.optimize_parameters(step)
    resumed.optimize_parameters(2)
    assert torch.equal(whole.draws, resumed.draws)


def test_a_view_that_leaves_the_image_is_refused_in_one_line(make: Make) -> None:
    with pytest.raises(UserError, match="option 'train.views': a view may leave the image of 128 pixels by 16 % of its "
                                        r"side, expected at most 12.5 %. Lower 'shift' or 'scale'.") as refused:
        make(views={'shift': 20.0}).optimize_parameters(1)
    assert '\n' not in str(refused.value)


def test_a_view_that_leaves_the_image_is_refused_before_anything_is_built_where_the_store_is_there(
        data: Path, tmp_path: Path) -> None:
    opt = stage_options(1, data, {'train': {'views': {'shift': 10.0, 'scale': 0.1}}})  # 10 / 128 + 1 / 18
    with pytest.raises(UserError, match="option 'train.views': a view may leave the image of 128 pixels by 13 % of "):
        check_training_options(opt)
    opt['datasets']['train']['dataroot_gt'] = str(tmp_path / 'not_there_yet.lmdb')
    check_training_options(opt)


@pytest.mark.parametrize(('train', 'message'), [
    ({'views': {'shift': 1.0}}, 'features of whole faces; train.views compares other views. Take compute.'),
    ({'more_recognizers': ['dlib']}, 'features of one recognizer; train.more_recognizers has no index. Take compute.')])
def test_features_of_a_file_know_neither_views_nor_other_recognizers(data: Path, tmp_path: Path, train: dict[str, Any],
                                                                     message: str) -> None:
    opt = stage_options(1, data, {'datasets': {'train': {'reference_features': 'file'}}, 'train': train})
    with pytest.raises(UserError, match=message) as refused:
        build(opt, tmp_path)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(('train', 'message'), [
    ({'cface_opt': None, 'views': {'shift': 1.0}}, "train.views': it changes 'train.cface_opt', which is missing"),
    ({'gan_opt': None, 'relativistic': True}, "train.relativistic': it changes 'train.gan_opt', which is missing"),
    ({'views': {'shift': -1.0}}, 'greater than or equal to 0'),
    ({'views': {'turn': 1.0}}, "'train.views.turn' is unknown")])
def test_options_that_change_nothing_or_make_no_sense_are_refused(data: Path, tmp_path: Path, train: dict[str, Any],
                                                                  message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(stage_options(1, data, {'train': train}), tmp_path)


def test_a_backbone_without_such_a_scale_is_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    opt = stage_options(1, data)
    opt['network_g'] = {'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 3, 'scale': 8, 'num_feat': 4, 'num_block': 1}
    with pytest.raises(UserError, match="option 'network_g': RRDBNet with these arguments enlarges 4 times, and "
                                        "'scale' is 8. Take a network that has this scale.") as refused:
        build(opt, tmp_path)
    assert '\n' not in str(refused.value)

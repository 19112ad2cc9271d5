"""A step of stage 1, L_CF from images, against a step of BasicSR's SRGANModel.

Both have the same SRResNet, the same SRGANDiscriminator, VGG19 up to relu3_1 as content term, the same batch at x8.
Ours has SphereFace20 on top, for three faces each (SR, HR, compare). Weights are random: no step is faster or slower
for them.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from performance.measure import Finding, Times, ratio, take_turns

WIDTHS: dict[str, dict[str, dict[str, Any]]] = {
    'tiny': {'g': {'num_feat': 4, 'num_block': 1}, 'd': {'num_feat': 4, 'num_dense': 8},
             'r': {'num_feat': 4, 'feature_length': 16}},
    'small': {'g': {'num_feat': 32, 'num_block': 4}, 'd': {'num_feat': 16, 'num_dense': 128},
              'r': {'num_feat': 16, 'feature_length': 128}},
    'paper': {'g': {}, 'd': {}, 'r': {'feature_length': 512}}}
"""Widths of the networks: the demo's, and the paper's."""

SCALE, SIZE, LAYER = 8, 128, 'relu3_1'
FAST = 'reference_features: file, use_channels_last, fused'


def run(*, width: str = 'paper', batch: int = 16, rounds: int = 3, layer: str = LAYER) -> list[Finding]:
    """Measure both steps.

    Args:
        width: a key of WIDTHS.
        batch: faces per step.
        rounds: how many steps of each are measured, after one that is not.
        layer: of VGG19 (a test takes a shallow one).
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    models = {'ours': cface_model(width, layer), 'fast': cface_model(width, layer, fast=True),
              'stock': srgan_model(width, layer)}
    faces = a_batch(batch, device, WIDTHS[width]['r']['feature_length'])
    times = take_turns({name: stepper(model, faces) for name, model in models.items()}, rounds)
    sizes = f'{width} widths, batch {batch}, VGG {layer}, x8'
    return [line for name, key, what, target in (
        ('ours', 'step', f'stage-1 step with L_CF from images; {sizes}', 1.5),
        ('fast', 'step_fast', f'the same with {FAST}; {sizes}', None))
        for line in _lines(key, what, target, times[name], times['stock'], batch, device)]


def _lines(key: str, what: str, target: float | None, ours: Times, stock: Times, batch: int,
           device: torch.device) -> Iterator[Finding]:
    yield Finding(key, f'{what}; {batch / ours.median:.3g} faces/s', f'{ours.spread()} s',
                  f'SRGANModel, no recognizer: {stock.spread()} s', ratio(ours.seconds, stock.seconds), target=target)
    if device.type == 'cpu':
        yield Finding(f'{key}_cpu', 'the same, by CPU time', f'{ours.median_cpu:.3g} s', f'{stock.median_cpu:.3g} s',
                      ratio(ours.cpu, stock.cpu), target=target)


def stepper(model: Any, faces: dict[str, Any]) -> Callable[[], None]:
    """One training step as a call that waits until it is done."""
    count = iter(range(1, 10 ** 9))

    def step() -> None:
        model.feed_data(faces)
        model.optimize_parameters(next(count))
        if model.device.type == 'cuda':
            torch.cuda.synchronize()
    return step


def a_batch(batch: int, device: torch.device, feature_length: int = 512) -> dict[str, Any]:
    """What CFaceTripletDataset would give: images in [0, 1], all of them with a compare image."""
    generator = torch.Generator().manual_seed(0)

    def images(size: int) -> Tensor:
        return torch.rand(batch, 3, size, size, generator=generator).to(device)
    return {'lq': images(SIZE // SCALE), 'gt': images(SIZE), 'compare': images(SIZE),
            'has_compare': torch.ones(batch, dtype=torch.bool, device=device),
            'label': torch.arange(batch, device=device), 'gt_path': [str(row) for row in range(batch)],
            'phi_gt': torch.rand(batch, feature_length, generator=generator).to(device),
            'phi_compare': torch.rand(batch, feature_length, generator=generator).to(device)}


def _options(model_type: str, width: str, train: dict[str, Any]) -> dict[str, Any]:
    widths = WIDTHS[width]
    return {'model_type': model_type, 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1, 'path': {},
            'num_gpu': 1 if torch.cuda.is_available() else 0, 'scale': SCALE,
            'network_g': {'type': 'SRResNet', 'scale': SCALE, **widths['g']},
            'network_d': {'type': 'SRGANDiscriminator', 'input_size': SIZE, **widths['d']}, 'train': train}


def _adam() -> dict[str, Any]:
    return {'type': 'Adam', 'lr': 2e-4}


_GAN = {'type': 'GANLoss', 'gan_type': 'vanilla', 'real_label_val': 1.0, 'fake_label_val': 0.0, 'loss_weight': 0.1}


def cface_model(width: str, layer: str = LAYER, *, fast: bool = False) -> Any:
    """A CFaceModel of stage 1; `fast`: with all options that make its step faster."""
    build = _builder()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, 'vgg19.pth')
        torch.save({f'features.{key}': value for key, value in random_vgg19(layer).state_dict().items()}, weights)
        train = {'optim_g': _adam(), 'optim_d': _adam(), 'total_iter': 1000, 'gan_opt': dict(_GAN),
                 'content_opt': {'type': 'VGGContentLoss', 'layer': layer, 'weights': str(weights)},
                 'cface_opt': {'type': 'CFaceLoss', 'gamma1': 0.05, 'gamma2': 0.1}}
        recognizer = {'type': 'SphereFace20', 'input_size': [SIZE, SIZE], **WIDTHS[width]['r']}
        if fast:
            train |= {'use_channels_last': True} | {name: _adam() | {'fused': True} for name in ('optim_g', 'optim_d')}
        model = build(_options('CFaceModel', width, train) | {'network_r': recognizer})
        model.features_from_file = fast  # the batch has them; no index is read here
        return model


def srgan_model(width: str, layer: str = LAYER) -> Any:
    """BasicSR's own SRGANModel with its own PerceptualLoss; only the VGG's weights are not its own."""
    import basicsr.archs.vgg_arch as arch
    build = _builder()
    stand_in = mock.Mock(features=random_vgg19('relu5_4' if layer == LAYER else layer))
    train = {'optim_g': _adam(), 'optim_d': _adam(), 'total_iter': 1000, 'gan_opt': dict(_GAN),
             'scheduler': {'type': 'MultiStepLR', 'milestones': [900], 'gamma': 0.5},
             'perceptual_opt': {'type': 'PerceptualLoss', 'layer_weights': {layer: 1.0}, 'vgg_type': 'vgg19',
                                'use_input_norm': True, 'perceptual_weight': 1.0, 'style_weight': 0,
                                'range_norm': False, 'criterion': 'l1'}}
    # BasicSR would download the trained weights here; the rest of its code runs as it is.
    with mock.patch.object(arch.vgg, 'vgg19', lambda pretrained: stand_in), \
            mock.patch.object(arch, 'VGG_PRETRAIN_PATH', ''):
        return build(_options('SRGANModel', width, train))


def _builder() -> Callable[[dict[str, Any]], Any]:
    import logging

    from cface_basicsr.compat.before_import import prepare_import
    prepare_import()
    from basicsr.models import build_model
    from basicsr.utils import get_root_logger

    import cface_basicsr.register  # noqa: F401  registers the classes, patches BasicSR
    get_root_logger(log_level=logging.WARNING)
    torch.manual_seed(0)
    return build_model


def random_vgg19(layer: str) -> torch.nn.Sequential:
    """VGG19's features up to a layer with seeded random weights."""
    from cface_basicsr.losses.vgg_content_loss import build_features
    vgg = build_features(layer)
    generator = torch.Generator().manual_seed(0)
    for value in vgg.parameters():
        fan_in = value[0].numel() if value.ndim == 4 else 1e6
        value.data = torch.randn(value.shape, generator=generator) * (2 / fan_in) ** 0.5
    return vgg

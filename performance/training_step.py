"""A training step against a step of BasicSR's SRGANModel, and against the same step without what makes it faster.

Stage 1 and SRGANModel have the same SRResNet, the same SRGANDiscriminator, VGG19 up to relu3_1 as content term, the
same batch at x8. SRGANModel is measured twice: with our SRResNet as it is, and with torch's own layers in it (STOCK).
Ours has SphereFace20 on top, for three faces each (SR, HR, compare) or, with features from a file, for SR. Stage 3 has
the step of stage 0. Weights are random: no step is faster or slower for them.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from performance.limits import Limit
from performance.measure import Finding, Times, ratio
from performance.sides import Job, Side, race

WIDTHS: dict[str, dict[str, dict[str, Any]]] = {
    'tiny': {'g': {'num_feat': 4, 'num_block': 1}, 'd': {'num_feat': 4, 'num_dense': 8},
             'r': {'num_feat': 4, 'feature_length': 16}, 'c': {'num_classes': 20}},
    'small': {'g': {'num_feat': 32, 'num_block': 4}, 'd': {'num_feat': 16, 'num_dense': 128},
              'r': {'num_feat': 16, 'feature_length': 128}, 'c': {'num_classes': 1000}},
    'paper': {'g': {}, 'd': {}, 'r': {'feature_length': 512}, 'c': {'num_classes': 10575}}}
"""Widths of the networks: the demo's, and the paper's."""

SCALE, SIZE, LAYER = 8, 128, 'relu3_1'
FAST = 'use_channels_last, fused'
STOCK = 'SRGANModel, torch\'s layers'
"""The rival without our work: `ConvToFew` and `LeanPReLU` of SRResNet are nn.Conv2d and nn.PReLU, weights the same."""
RIVALS = ('SRGANModel', STOCK)
ROWS: dict[str, tuple[str, str, str, str, float | None]] = {
    'step': ('stage 1', 'SRGANModel', 'stage-1 step, L_CF from images', 'SRGANModel, no recognizer', 1.5),
    'step_fast': ('stage 1, fast', 'SRGANModel', f'the same with reference_features: file, {FAST}',
                  'SRGANModel, no recognizer', 0.8),
    'step_stock': ('stage 1', STOCK, 'stage-1 step, L_CF from images', f'{STOCK}, no recognizer', 1.5),
    'step_fast_stock': ('stage 1, fast', STOCK, f'the same with reference_features: file, {FAST}',
                        f'{STOCK}, no recognizer', 0.8),
    'step_two': ('stage 1, two recognizers', 'stage 1', 'stage-1 step, L_CF by two recognizers of one size', 'by one',
                 1.8),
    'step_identity': ('stage 1, fast', 'stage 1, fast, no L_CF', 'the latter', 'the same without L_CF', 1.3),
    'step_0': ('stage 0, fast', 'stage 0', f'step of stage 0 or 3 with {FAST}', 'without', None),
    'step_4': ('stage 4, fast', 'stage 4, nothing reused', f'stage-4 step with {FAST}', 'without, and nothing reused',
               0.75)}
"""Key of a line -> our side, the other side, both in words, and the target."""
CAMERA = 'stage 1, faces of a camera'


def run(*, width: str = 'paper', batch: int = 16, rounds: int = 3, layer: str = LAYER,
        threads: int = 1) -> list[Finding]:
    """Measure the steps.

    Args:
        width: a key of WIDTHS.
        batch: faces per step.
        rounds: how many steps of each are measured, after one that is not.
        layer: of VGG19 (a test takes a shallow one).
        threads: of torch; a rival has one or as many, whichever is faster.
    """
    settings = {'width': width, 'batch': batch, 'layer': layer}
    counts = sorted({1, threads})
    sides = {kind: Side('performance.training_step:make', settings | {'kind': kind}, threads)
             for row in ROWS.values() for kind in row[:2] if kind not in RIVALS}
    sides[CAMERA] = Side('performance.training_step:make_camera', {'batch': batch})
    rivals = {f'{kind}, {count} threads': Side('performance.training_step:make', settings | {'kind': kind}, count,
                                               ours=False) for kind in RIVALS for count in counts}
    times: dict[str, Times] = {}
    for stage in ('stage 1', 'stage 0', 'stage 4'):  # not all in memory at once
        times |= race({kind: side for kind, side in sides.items() if kind.startswith(stage)}
                      | (rivals if stage == 'stage 1' else {}), rounds)
    for kind in RIVALS:
        times[kind] = min((times[f'{kind}, {count} threads'] for count in counts), key=lambda each: each.median)
    sizes = f'{width} widths, batch {batch}, VGG {layer}, x8'
    return [*(line for key, (ours, other, what, against, target) in ROWS.items()
              for line in _lines(key, f'{what}; {sizes}', against, target, times[ours], times[other], batch, threads)),
            _camera_line(times[CAMERA], times['stage 1'], f'{batch} faces', batch)]


def _lines(key: str, what: str, against: str, target: float | None, ours: Times, other: Times, batch: int,
           threads: int) -> Iterator[Finding]:
    limit = Limit(operations=ours.results[0], threads=threads)
    yield Finding(key, f'{what}; {batch / ours.median:.3g} faces/s', f'{ours.spread()} s, {max(ours.peak):.2f} GB',
                  f'{against}: {other.spread()} s, {max(other.peak):.2f} GB', ratio(ours.seconds, other.seconds),
                  target=target, limit=limit.words(), of_limit=ours.median / limit.seconds)
    if not torch.cuda.is_available():
        yield Finding(f'{key}_cpu', 'the same, by CPU time', f'{ours.median_cpu:.3g} s', f'{other.median_cpu:.3g} s',
                      ratio(ours.cpu, other.cpu), target=target, limit=limit.words(),
                      of_limit=ours.median_cpu / threads / limit.seconds)


def _camera_line(camera: Times, step: Times, faces: str, batch: int) -> Finding:
    """By CPU time only: the faces are made while loading, in other processes than the step."""
    limit = Limit(moved=2.0 * batch * 3 * SIZE ** 2)
    return Finding('step_camera', f'`degradation: camera` of {faces}, by CPU time', f'{camera.median_cpu:.3g} s',
                   f'the stage-1 step: {step.median_cpu:.3g} s', ratio(camera.cpu, step.cpu), target=0.1,
                   limit=limit.words(), of_limit=camera.median_cpu / limit.seconds)


def make_camera(batch: int) -> Job:
    """The LR faces of a batch as `degradation: camera` makes them."""
    import numpy as np

    from cface_basicsr.data.generated_faces import render_face
    from cface_basicsr.data.images.degradations import camera_parts, degraded
    faces = [render_face(identity=row, image=0, size=SIZE) for row in range(batch)]

    def job() -> None:
        random = np.random.default_rng(0)
        for face in faces:
            degraded(face, SCALE, camera_parts(random), random)
    return job


def make(kind: str, width: str, batch: int, layer: str) -> Job:
    """A step of a kind; it returns how many floating-point operations one has in its products and convolutions."""
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    step = stepper(model_of(kind, width, layer), a_batch(batch, device, WIDTHS[width]['r']['feature_length']))
    with FlopCounterMode(display=False) as counter:
        step()
    operations = float(counter.get_total_flops())

    def job() -> float:
        step()
        return operations
    return job


def model_of(kind: str, width: str, layer: str) -> Any:
    """The model of a name in ROWS."""
    if kind in RIVALS:
        with torchs_layers() if kind == STOCK else nullcontext():
            return srgan_model(width, layer)
    stage, *words = kind.split(', ')
    changes: dict[str, Any] = {}
    if 'fast' in words:
        changes = {'use_channels_last': True} | {f'optim_{label}': {'fused': True} for label in 'gdr'}
    if 'no L_CF' in words:
        changes['cface_opt'] = None
    if 'nothing reused' in words:
        changes |= {'net_d_reuse_fake': False, 'net_r_reuse_features': False}
    with tempfile.TemporaryDirectory() as folder:
        if 'two recognizers' in words:
            changes['more_recognizers'] = [second_recognizer(width, Path(folder))]
        return cface_model(width, layer, int(stage[-1]), changes, from_file=kind == 'stage 1, fast')


def second_recognizer(width: str, folder: Path) -> str:
    """A file with another network of CNN_R's kind and size."""
    from cface_basicsr.files.network_file import build_network, save_atomically
    options = {'type': 'SphereFace20', 'input_size': [SIZE, SIZE], **WIDTHS[width]['r']}
    path = folder / 'second.pth'
    save_atomically({'params': build_network(options).state_dict(), 'network': options}, path)
    return str(path)


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


def cface_model(width: str, layer: str = LAYER, stage: int = 1, changes: dict[str, Any] | None = None, *,
                from_file: bool = False) -> Any:
    """The model of a stage (0, 1 or 4).

    Args:
        changes: of its `train:` section; what the stage does not have is left out.
        from_file: the features of HR and compare face are in the batch; no index is read here.
    """
    build = model_builder()
    with tempfile.TemporaryDirectory() as folder:
        opt = _stage_options(stage, width, layer, Path(folder, 'vgg19.pth'))
        for key, value in (changes or {}).items():
            if not key.startswith('optim_'):
                opt['train'][key] = value
            elif key in opt['train']:
                opt['train'][key] |= value
        if stage == 0:
            opt['train'] = {key: value for key, value in opt['train'].items() if 'reuse' not in key}
        model = build(opt)
        model.features_from_file = from_file
        return model


def _stage_options(stage: int, width: str, layer: str, weights: Path) -> dict[str, Any]:
    learns = {'optim_r': {'type': 'SGD', 'lr': 1e-5, 'momentum': 0.9},
              'recognition_opt': {'type': 'ASoftmaxLoss', 'margin': 4}} if stage != 1 else {}
    recognizer = {'type': 'SphereFace20', 'input_size': [SIZE, SIZE], **WIDTHS[width]['r']}
    networks = {'network_r': recognizer, 'network_c': {
        'type': 'ASoftmaxHead', 'feature_length': recognizer['feature_length'], **WIDTHS[width]['c']}}
    if stage == 0:
        opt = _options('RecognitionModel', width, {'total_iter': 1000, **learns})
        return {key: value for key, value in opt.items() if not key.startswith('network_')} | networks
    torch.save({f'features.{key}': value for key, value in random_vgg19(layer).state_dict().items()}, weights)
    return _options('CFaceModel', width, {
        'optim_g': _adam(), 'optim_d': _adam(), 'total_iter': 1000, 'gan_opt': dict(_GAN),
        'content_opt': {'type': 'VGGContentLoss', 'layer': layer, 'weights': str(weights)},
        'cface_opt': {'type': 'CFaceLoss', 'gamma1': 0.05, 'gamma2': 0.1}, **learns}) | networks


def srgan_model(width: str, layer: str = LAYER) -> Any:
    """BasicSR's own SRGANModel with its own PerceptualLoss; only the VGG's weights are not its own."""
    import basicsr.archs.vgg_arch as arch
    build = model_builder()
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


@contextmanager
def torchs_layers() -> Iterator[None]:
    """An SRResNet that is built inside has torch's own layers; the weights that are drawn and their names stay."""
    import cface_basicsr.archs.srresnet_arch as arch
    with mock.patch.object(arch, 'LeanPReLU', nn.PReLU), mock.patch.object(
            arch, 'ConvToFew', lambda inputs, outputs, kernel: nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)):
        yield


def model_builder() -> Callable[[dict[str, Any]], Any]:
    """BasicSR's `build_model`, with our classes registered and its messages off; weights are drawn from seed 0."""
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

"""The option files of the compared systems say what was published: rates, falls, lengths, batches, loss weights.

The table is the authority. It was written down from the papers and the authors' code, not from the files, and must not
be made from them. What a source leaves open and what was decided stands in docs/baselines.md.
"""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from cface_basicsr.benchmark.systems import SYSTEMS
from cface_basicsr.options import read_option_file
from cface_basicsr.report.published import published as published_table
from tests.tiny_stages import REPOSITORY

BASELINES = REPOSITORY / 'options' / 'baselines'
GREY_LEVELS = (255 / 128) ** 2
"""Squared pixels in SICNN's range (v - 127.5) / 128 for squared pixels in ours, v / 255."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One training. What `optimizer` does not name is at torch's default."""

    model: str = 'SRModel'
    batch: int
    total: int
    optimizer: tuple[str, dict[str, Any]]
    trained: frozenset[str] = frozenset('g')
    falls: tuple[int, ...] = ()
    gamma: float | None = None
    clip_norm: float | None = None
    losses: dict[str, dict[str, Any]]


def adam(lr: float, beta2: float = 0.999, **more: float) -> tuple[str, dict[str, Any]]:
    return 'Adam', {'lr': lr, 'betas': (0.9, beta2), 'eps': 1e-8, **more}


def gan(weight: float) -> dict[str, Any]:
    return {'type': 'GANLoss', 'gan_type': 'vanilla', 'real_label_val': 1, 'fake_label_val': 0, 'loss_weight': weight}


L1 = {'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1, 'reduction': 'mean'}}

PUBLISHED: dict[str, Published] = {
    # Kim et al.: 80 epochs, 9,960 iterations, / 10 after each 20; half the squared error. Clipping: twtygqyy's port.
    'vdsr': Published(
        model='CFaceModel', batch=64, total=9_960,
        optimizer=('SGD', {'lr': 0.1, 'momentum': 0.9, 'weight_decay': 1e-4}), clip_norm=0.4,
        falls=tuple(9_960 * epoch // 80 for epoch in (20, 40, 60)), gamma=0.1,
        losses={'pixel_opt': {'type': 'SumSquaredLoss', 'loss_weight': 1}}),
    # hhb072/WaveletSRNet: up to 500 epochs (of CelebA's 162,770 training faces, the last batch dropped), no falls.
    'wavelet_srnet': Published(
        batch=64, total=500 * (162_770 // 64), optimizer=adam(2e-4, weight_decay=5e-4),
        losses={'pixel_opt': {'type': 'WaveletLoss', 'detail_weight': 0.99, 'lowpass_weight': 0.01,
                              'image_weight': 0.1, 'texture_weight': 1, 'texture_factor': 1.2}}),
    # Lim et al. and sanghyun-son/EDSR-PyTorch: 300 epochs of 1,000 iterations, halved at 200.
    'edsr': Published(batch=16, total=300 * 1_000, optimizer=adam(1e-4), falls=(200_000,), gamma=0.5, losses=L1),
    # Ledig et al.: 1e6 updates at one rate; then 1e5 at 1e-4 and 1e5 at 1e-5. VGG19's features are divided by 12.75,
    # which they give as a factor of 0.006 of the squared distance. No pixel term in the second phase.
    'srresnet': Published(batch=16, total=1_000_000, optimizer=adam(1e-4),
                          losses={'pixel_opt': {'type': 'MSELoss', 'loss_weight': 1, 'reduction': 'mean'}}),
    'srgan': Published(
        model='SRGANModel', batch=16, total=200_000, optimizer=adam(1e-4), trained=frozenset('gd'), falls=(100_000,),
        gamma=0.1, losses={'gan_opt': gan(1e-3), 'perceptual_opt': {
            'type': 'VGGPerceptualLoss', 'layer': 'relu5_4', 'criterion': 'l2', 'perceptual_weight': 0.006}}),
    # Haris et al.: batch 20. DBPN-caffe: 1e6 iterations, / 10 at half. DBPN-Pytorch: the same at half, without the
    # weight decay of the Caffe code, whose L1 is a sum.
    'dbpn': Published(batch=20, total=1_000_000, optimizer=adam(1e-4), falls=(500_000,), gamma=0.1, losses=L1),
    # yulunzhang/RDN: 1,000 epochs of 1,000 iterations, halved each 200,000.
    'rdn': Published(batch=16, total=1_000 * 1_000, optimizer=adam(1e-4),
                     falls=(200_000, 400_000, 600_000, 800_000), gamma=0.5, losses=L1),
    # The authors' solver files: RMSProp, x 0.85 each 4,000; a squared error, summed and halved, of weight 1.
    'sicnn_pre': Published(
        batch=48, total=200_000, optimizer=('RMSprop', {'lr': 2.5e-4, 'alpha': 0.99, 'weight_decay': 2e-4}),
        falls=tuple(range(4_000, 200_000, 4_000)), gamma=0.85,
        losses={'pixel_opt': {'type': 'SumSquaredLoss', 'loss_weight': GREY_LEVELS}}),
    # The same: 60,000 turns, x 0.8 each 6,000, of which two are one batch. Their L_SI is half of ours; lambda is 12.
    'sicnn': Published(
        model='SICNNModel', batch=40, total=60_000 // 2, trained=frozenset('gr'),
        optimizer=('SGD', {'lr': 0.01, 'momentum': 0.9, 'weight_decay': 2.5e-4}),
        falls=tuple(range(6_000 // 2, 60_000 // 2, 6_000 // 2)), gamma=0.8,
        losses={'pixel_opt': {'type': 'SumSquaredLoss', 'loss_weight': 0.001 * GREY_LEVELS},
                'identity_opt': {'type': 'SuperIdentityLoss', 'loss_weight': 0.01 / 2},
                'recognition_opt': {'type': 'ASoftmaxLoss', 'margin': 4, 'lambda_base': 12, 'lambda_min': 12}}),
    # Wang et al.: halved each 200,000; then at 50, 100, 200 and 300 thousand. Betas, batches, means: BasicSR's files.
    'esrgan_psnr': Published(batch=16, total=1_000_000, optimizer=adam(2e-4, 0.99),
                             falls=(200_000, 400_000, 600_000, 800_000), gamma=0.5, losses=L1),
    'esrgan': Published(
        model='ESRGANModel', batch=16, total=400_000, optimizer=adam(1e-4, 0.99), trained=frozenset('gd'),
        falls=(50_000, 100_000, 200_000, 300_000), gamma=0.5,
        losses={'pixel_opt': {'type': 'L1Loss', 'loss_weight': 0.01, 'reduction': 'mean'}, 'gan_opt': gan(5e-3),
                'perceptual_opt': {'type': 'VGGPerceptualLoss', 'layer': 'conv5_4', 'criterion': 'l1',
                                   'perceptual_weight': 1}}),
    # Paper99/SRFBN_CVPR19: halved at 200, 400, 600, 800 of 1,000 epochs, here of 1,000 iterations each, as EDSR's.
    'srfbn': Published(batch=16, total=1_000 * 1_000, optimizer=adam(1e-4),
                       falls=tuple(1_000 * epoch for epoch in (200, 400, 600, 800)), gamma=0.5,
                       losses={'pixel_opt': {'type': 'MultiStepL1Loss', 'loss_weight': 1}})}


def options(system: str) -> dict[str, Any]:
    return read_option_file(BASELINES / f'{system}_x8.yml')


def optimizers(train: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Network to the section of its optimizer."""
    return {key.removeprefix('optim_'): section for key, section in train.items() if key.startswith('optim_')}


def with_defaults(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """All settings that torch's optimizer then has."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    return getattr(torch.optim, kind)([torch.zeros(1, requires_grad=True)], **plain).defaults


def test_every_training_of_a_system_of_the_papers_tables_is_in_the_table() -> None:
    """A system that the paper does not compare with has no published schedule here, unless its test adds one."""
    compared = [system for name, system in SYSTEMS.items() if published_table(1).of(name)]
    files = {phase.options for system in compared for phase in system.phases if phase.options.startswith('baselines/')}
    assert len(files) >= 12
    assert files <= {f'baselines/{name}_x8.yml' for name in PUBLISHED}


@pytest.mark.parametrize('system', PUBLISHED)
def test_length_and_batch_are_the_published_ones(system: str) -> None:
    opt, published = options(system), PUBLISHED[system]
    assert opt['model_type'] == published.model
    assert opt['train']['total_iter'] == published.total
    assert opt['datasets']['train']['batch_size'] == published.batch


@pytest.mark.parametrize('system', PUBLISHED)
def test_every_optimizer_is_the_published_one(system: str) -> None:
    published = PUBLISHED[system]
    sections = optimizers(options(system)['train'])
    assert set(sections) == published.trained
    for section in sections.values():
        ours = {key: value for key, value in section.items() if key not in ('type', 'schedule', 'clip_norm')}
        assert section['type'] == published.optimizer[0]
        assert with_defaults(section['type'], ours) == with_defaults(*published.optimizer)
        assert section.get('clip_norm') == published.clip_norm


@pytest.mark.parametrize('system', PUBLISHED)
def test_the_rate_falls_where_and_by_what_was_published(system: str) -> None:
    """BasicSR's models have one schedule for all optimizers, ours have one in each."""
    train, published = options(system)['train'], PUBLISHED[system]
    for section in optimizers(train).values():
        schedule = section.get('schedule') or train['scheduler']
        assert schedule['type'] in ('MultiStepLR', 'steps')
        assert tuple(schedule['milestones']) == published.falls
        assert not published.falls or schedule['gamma'] == published.gamma


@pytest.mark.parametrize('system', PUBLISHED)
def test_losses_and_their_weights_are_the_published_ones(system: str) -> None:
    train, published = options(system)['train'], PUBLISHED[system]
    assert {key for key in train if key.endswith('_opt')} == set(published.losses)
    for key, values in published.losses.items():
        assert {name: train[key][name] for name in values} == pytest.approx(values), key

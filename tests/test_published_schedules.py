"""The option files of the compared systems say what was published: rates, falls, lengths, batches, loss weights.

Caffe keeps half of a schedule in its net file: each layer multiplies the solver's learning rate and weight decay.

The table is the authority. It was written down from the papers and the authors' code, not from the files, and must not
be made from them. What a source leaves open and what was decided stands in docs/baselines.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.benchmark.systems import SYSTEMS
from cface_basicsr.options import merge, read_option_file
from cface_basicsr.options.training import Multipliers
from cface_basicsr.report.published import published as published_table
from tests.narrow import narrow
from tests.tiny_stages import REPOSITORY, build, tiny, write_tiny_data

BASELINES = REPOSITORY / 'options' / 'baselines'
GREY_LEVELS = (255 / 128) ** 2
"""Squared pixels in SICNN's range (v - 127.5) / 128 for squared pixels in ours, v / 255."""


@dataclass(frozen=True, kw_only=True)
class NetFile:
    """(lr_mult, decay_mult) of weights, biases, and slopes of PReLU."""

    weight: tuple[float, float] = (1, 1)
    bias: tuple[float, float] = (1, 1)
    slope: tuple[float, float] = (1, 1)


@dataclass(frozen=True, kw_only=True)
class Published:
    """One training. What `optimizer` does not name is at torch's default; `nets`: network to its net file."""

    model: str = 'SRModel'
    batch: int
    total: int
    optimizer: tuple[str, dict[str, Any]]
    trained: frozenset[str] = frozenset('g')
    falls: tuple[int, ...] = ()
    gamma: float | None = None
    clip_norm: float | None = None
    nets: Mapping[str, NetFile] = field(default_factory=dict)
    losses: dict[str, dict[str, Any]]


def adam(lr: float, beta2: float = 0.999, **more: float) -> tuple[str, dict[str, Any]]:
    return 'Adam', {'lr': lr, 'betas': (0.9, beta2), 'eps': 1e-8, **more}


def gan(weight: float) -> dict[str, Any]:
    return {'type': 'GANLoss', 'gan_type': 'vanilla', 'real_label_val': 1, 'fake_label_val': 0, 'loss_weight': weight}


L1 = {'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1, 'reduction': 'mean'}}

SPHEREFACE = NetFile(bias=(2, 0))
"""Of wy1iu/sphereface and of SICNN's CNN_R, for all but the biases inside the units, which have (0, 0) there."""

PUBLISHED: dict[str, Published] = {
    # Kim et al.: 80 epochs, 9,960 iterations, / 10 after each 20; half the squared error. Clipping: twtygqyy's port.
    # Biases: huangzehao/caffe-vdsr, VDSR_net.prototxt.
    'vdsr': Published(
        model='CFaceModel', batch=64, total=9_960,
        optimizer=('SGD', {'lr': 0.1, 'momentum': 0.9, 'weight_decay': 1e-4}), clip_norm=0.4,
        falls=tuple(9_960 * epoch // 80 for epoch in (20, 40, 60)), gamma=0.1, nets={'g': NetFile(bias=(0.1, 1))},
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
    # The authors' cnnh_solver.prototxt: RMSProp, x 0.85 each 4,000; their cnnh.prototxt: the multipliers, and a squared
    # error, summed and halved, of weight 1.
    'sicnn_pre': Published(
        batch=48, total=200_000, optimizer=('RMSprop', {'lr': 2.5e-4, 'alpha': 0.99, 'weight_decay': 2e-4}),
        falls=tuple(range(4_000, 200_000, 4_000)), gamma=0.85, nets={'g': NetFile(bias=(2, 0))},
        losses={'pixel_opt': {'type': 'SumSquaredLoss', 'loss_weight': GREY_LEVELS}}),
    # Their sicnn_solver.prototxt: 60,000 turns, x 0.8 each 6,000, of which two are one batch. Their sicnn.prototxt: the
    # multipliers (CNN_H does not decay at all); L_SI is half of ours; lambda is 12.
    'sicnn': Published(
        model='SICNNModel', batch=40, total=60_000 // 2, trained=frozenset('gr'),
        optimizer=('SGD', {'lr': 0.01, 'momentum': 0.9, 'weight_decay': 2.5e-4}),
        falls=tuple(range(6_000 // 2, 60_000 // 2, 6_000 // 2)), gamma=0.8,
        nets={'g': NetFile(weight=(1, 0), bias=(2, 0), slope=(1, 0)), 'r': SPHEREFACE},
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
                       losses={'pixel_opt': {'type': 'MultiStepL1Loss', 'loss_weight': 1}}),
    # wy1iu/sphereface, sphereface_solver.prototxt and sphereface_model.prototxt.
    'cface_stage0': Published(
        model='RecognitionModel', batch=256, total=28_000, trained=frozenset('r'),
        optimizer=('SGD', {'lr': 0.1, 'momentum': 0.9, 'weight_decay': 5e-4}), falls=(16_000, 24_000), gamma=0.1,
        nets={'r': SPHEREFACE}, losses={'recognition_opt': {'type': 'ASoftmaxLoss', 'margin': 4}})}


def path_of(system: str) -> Path:
    baseline = BASELINES / f'{system}_x8.yml'
    return baseline if baseline.is_file() else BASELINES.parent / f'{system}.yml'


def options(system: str) -> dict[str, Any]:
    return read_option_file(path_of(system))


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
    for label, section in sections.items():
        ours = {key: value for key, value in section.items() if key not in ('type', 'schedule', 'clip_norm', 'bias')}
        kind, theirs = published.optimizer
        net = published.nets.get(label, NetFile())
        assert net.slope == net.weight and net.weight[0] == 1  # as our options have it
        assert section['type'] == kind
        decay = theirs.get('weight_decay', 0) * net.weight[1]
        assert with_defaults(kind, ours) == with_defaults(kind, theirs | {'weight_decay': decay})
        assert Multipliers(**section.get('bias', {})) == Multipliers(lr=net.bias[0], decay=net.bias[1])
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


# -------------------------------------------------------------------------------------------------- Caffe's update rule

def caffe_update(kind: str, value: torch.Tensor, gradient: torch.Tensor, history: torch.Tensor, *, rate: float,
                 decay: float, momentum: float = 0.0, rms_decay: float = 0.0) -> None:
    """What Caffe's SGDSolver and RMSPropSolver do to a blob, in place: regularize, compute the update, subtract it."""
    gradient = gradient + decay * value
    if kind == 'SGD':
        history.mul_(momentum).add_(rate * gradient)
        value.sub_(history)
    else:
        history.mul_(rms_decay).add_((1 - rms_decay) * gradient ** 2)
        value.sub_(rate * gradient / (history.sqrt() + 1e-8))


def kind_of(network: torch.nn.Module, name: str) -> str:
    module, _, leaf = name.rpartition('.')
    if isinstance(network.get_submodule(module), torch.nn.PReLU):
        return 'slope'
    assert leaf in ('weight', 'bias')
    return leaf


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp('tiny'))


def tiny_model(system: str, data: Path, folder: Path) -> Any:
    opt = tiny(str(path_of(system).relative_to(BASELINES.parent)), data, handed_over='rc')
    changes = {'network_g': {'num_block': None, **narrow(opt['network_g'])}} if 'sicnn' in system else {}
    return build(merge(opt, changes), folder)


def optimized(model: Any) -> Iterator[tuple[str, torch.optim.Optimizer, list[torch.nn.Module]]]:
    """(label, optimizer, networks) of each optimizer of a model."""
    for label, labels in (('g', 'g'), ('r', 'rc')):
        if getattr(model, f'optimizer_{label}', None):
            yield label, getattr(model, f'optimizer_{label}'), [getattr(model, f'net_{each}') for each in labels]


WITH_NET_FILES = {name: published.nets for name, published in PUBLISHED.items() if published.nets}


@pytest.mark.parametrize('system', [*WITH_NET_FILES, 'cface_stage3', 'cface_stage4'])
def test_an_optimizer_steps_as_caffes_solver_with_the_multipliers_of_the_net_file(
        system: str, data: Path, tmp_path: Path) -> None:
    """Three steps at the first learning rate: lr * lr_mult, weight_decay * decay_mult, and the history of each blob.

    C-Face does not say how CNN_R's biases are fine-tuned in stages 3 and 4: as SphereFace's.
    """
    nets = WITH_NET_FILES.get(system, {'r': SPHEREFACE})
    model, train = tiny_model(system, data, tmp_path), options(system)['train']
    for label, optimizer, networks in optimized(model):
        if label not in nets:
            continue
        solver = train[f'optim_{label}']
        for network in networks:
            network.double()
        parameters = [(kind_of(network, name), p) for network in networks for name, p in network.named_parameters()]
        assert {kind for kind, _ in parameters} >= {'weight', 'bias'}
        literal = [(kind, p.detach().clone(), torch.zeros_like(p)) for kind, p in parameters]
        for _ in range(3):
            for (_, p), (kind, value, history) in zip(parameters, literal, strict=True):
                p.grad = 0.01 * torch.randn_like(p)  # too short to be clipped
                lr_mult, decay_mult = getattr(nets[label], kind)
                solver_decay = PUBLISHED[system].optimizer[1]['weight_decay'] if system in PUBLISHED else 5e-4
                caffe_update(solver['type'], value, p.grad, history, rate=solver['lr'] * lr_mult,
                             decay=solver_decay * decay_mult, momentum=solver.get('momentum', 0),
                             rms_decay=solver.get('alpha', 0))
            optimizer.step()
        for (kind, p), (_, value, _) in zip(parameters, literal, strict=True):
            torch.testing.assert_close(p.detach(), value, rtol=1e-12, atol=1e-12, msg=kind)


def test_a_step_by_hand_with_the_numbers_of_sicnns_second_phase(data: Path, tmp_path: Path) -> None:
    """lr 0.01, momentum 0.9, decay 2.5e-4; a weight of 1 and a bias of 1, both with a gradient of 0.5, twice."""
    model = tiny_model('sicnn', data, tmp_path)
    moved = {}
    for label, optimizer, (network, *_) in optimized(model):
        with torch.no_grad():
            for p in network.parameters():
                p.fill_(1)
        for _ in range(2):
            for p in network.parameters():
                p.grad = torch.full_like(p, 0.5)
            optimizer.step()
        moved[label] = {kind_of(network, name): p.flatten()[0].item() for name, p in network.named_parameters()}
    # CNN_H does not decay: 1 - 0.01 * 0.5 * (1 + 1.9), biases twice as far
    assert moved['g'] == pytest.approx({'weight': 0.9855, 'slope': 0.9855, 'bias': 0.971}, rel=1e-6)
    # CNN_R: v1 = 0.01 (0.5 + 2.5e-4) = 0.0050025; v2 = 0.9 v1 + 0.01 (0.5 + 2.5e-4 (1 - v1)); its biases do not decay
    first = 0.0050025
    second = 0.9 * first + 0.01 * (0.5 + 2.5e-4 * (1 - first))
    assert moved['r'] == pytest.approx({'weight': 1 - first - second, 'slope': 1 - first - second, 'bias': 0.971},
                                       rel=1e-6)

"""The option files of the compared systems: written from one place, at the published widths, and each trains a step."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from cface_basicsr.options import merge, read_option_file
from tests.compat.tiny_training import train_here
from tests.small_data import write_small_data
from tests.tiny_stages import REPOSITORY, train_one_step
from tests.vgg_file import write_seeded_vgg19

BASELINES = REPOSITORY / 'options' / 'baselines'
SCALES = (2, 4, 8)

NARROW: dict[str, dict[str, int]] = {
    'VDSR': {'num_feat': 4, 'num_block': 1}, 'WaveletSRNet': {'num_feat': 2, 'num_block': 1},
    'EDSR': {'num_feat': 4, 'num_block': 1}, 'SRResNet': {'num_feat': 4, 'num_block': 1},
    'DBPN': {'num_feat': 4, 'num_shallow_feat': 4, 'num_stage': 2},
    'RDN': {'num_feat': 4, 'num_block': 1, 'num_layer': 1, 'num_grow_ch': 4},
    'SICNN': {'num_feat': 4, 'num_grow_ch': 2, 'num_dense': 1},
    'FaceRRDBNet': {'num_feat': 4, 'num_block': 1, 'num_grow_ch': 2},
    'SRFBN': {'num_feat': 4, 'num_step': 2, 'num_group': 2},
    'SRGANDiscriminator': {'num_feat': 2, 'num_dense': 4}, 'VGGStyleDiscriminator': {'num_feat': 2},
    'SphereFace20': {'num_feat': 2, 'feature_length': 8}, 'ASoftmaxHead': {'feature_length': 8}}

CHAIN: dict[str, set[str]] = {
    'vdsr': {'l_g_pix'}, 'wavelet_srnet': {'l_pix'}, 'edsr': {'l_pix'}, 'srresnet': {'l_pix'},
    'srgan': {'l_g_percep', 'l_g_gan', 'l_d_real', 'l_d_fake'}, 'dbpn': {'l_pix'}, 'rdn': {'l_pix'},
    'sicnn_pre': {'l_pix'}, 'sicnn': {'l_g_pix', 'l_g_identity', 'l_fr'}, 'esrgan_psnr': {'l_pix'},
    'esrgan': {'l_g_pix', 'l_g_percep', 'l_g_gan', 'l_d_real', 'l_d_fake'}, 'srfbn': {'l_pix'}}
"""Every training, an earlier phase before a later one, with the losses of its log."""

PARAMETERS: dict[str, tuple[int, int, int]] = {
    'vdsr': (668_227, 668_227, 668_227), 'wavelet_srnet': (46_327_372, 51_353_968, 74_999_296),
    'edsr': (40_729_603, 43_089_923, 45_450_243), 'srresnet': (1_399_637, 1_547_350, 1_695_063),
    'dbpn': (5_953_526, 10_426_358, 23_205_878), 'rdn': (22_123_395, 22_271_107, 22_418_819),
    'sicnn': (913_731, 2_818_371, 4_723_011), 'esrgan': (16_661_059, 16_697_987, 16_734_915),
    'srfbn': (2_140_510, 3_631_454, 7_891_294)}
"""Trained weights of the published networks at x2, x4, x8; phases of a system share one."""


@pytest.fixture(scope='module')
def casia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the files' own paths lead to something: stores, stage 0's networks; VGG19 beside them."""
    folder = tmp_path_factory.mktemp('casia')
    write_small_data(folder / 'datasets/casia/train', identities=2, images=2)
    write_small_data(folder / 'datasets/casia/test', identities=1, images=2, seed=1)
    write_seeded_vgg19(folder / 'vgg19.pth')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_one_step(small(REPOSITORY / 'options/cface_stage0.yml', folder), folder)
    return folder


def small(path: Path, casia: Path) -> dict[str, Any]:
    """An option file with narrow networks and batches of two, on the CPU, and with the seeded VGG19."""
    opt = read_option_file(path)
    changes: dict[str, Any] = {key: NARROW[values['type']] for key, values in opt.items() if key.startswith('network_')}
    if 'perceptual_opt' in opt['train']:
        assert opt['train']['perceptual_opt']['weights'] is None
        changes['train'] = {'perceptual_opt': {'weights': str(casia / 'vgg19.pth')}}
    train = {'batch_size': 2, 'num_worker_per_gpu': 0, 'persistent_workers': False}
    return merge(opt, {**changes, 'num_gpu': 0, 'datasets': {'train': train}})


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location('baseline_options', REPOSITORY / 'scripts/baseline_options.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_what_the_script_writes() -> None:
    written = dict(script().files())
    assert {path.name: path.read_text() for path in BASELINES.iterdir()} == written, \
        'run: python scripts/baseline_options.py'
    assert set(written) == {f'{system}_x{scale}.yml' for system in CHAIN for scale in SCALES}


def test_the_scales_of_a_system_differ_in_their_scale_alone() -> None:
    for system in CHAIN:
        options = {scale: str(read_option_file(BASELINES / f'{system}_x{scale}.yml')) for scale in SCALES}
        plain = {text.replace(f'x{scale}', 'xN').replace(f"scale': {scale},", "scale': N,")
                 for scale, text in options.items()}
        assert len(plain) == 1, system


@pytest.mark.parametrize('scale', SCALES)
def test_every_training_does_a_step_and_hands_its_weights_to_the_next_phase(
        casia: Path, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(casia)  # the files' own paths are taken as they stand
    for system, losses in CHAIN.items():
        opt = small(BASELINES / f'{system}_x{scale}.yml', casia)
        assert all(Path(path).is_file() for path in opt['path'].values()), system
        model = train_one_step(opt, casia)
        logged = {key: value for key, value in model.get_current_log().items() if key.startswith('l_')}
        assert set(logged) == losses, system
        assert all(0 < value < 1e6 for value in logged.values()), (system, logged)
        assert isinstance(model.optimizers[0], getattr(torch.optim, opt['train']['optim_g']['type']))
        model.test()
        assert model.output.shape == model.gt.shape, system


@pytest.mark.parametrize('system', PARAMETERS)
def test_each_network_has_the_published_number_of_weights(system: str) -> None:
    from basicsr.archs import build_network

    import cface_basicsr.register  # noqa: F401
    counts = []
    for scale in SCALES:
        section = read_option_file(BASELINES / f'{system}_x{scale}.yml')['network_g']
        with torch.device('meta'):
            counts.append(sum(p.numel() for p in build_network(section).parameters() if p.requires_grad))
    assert tuple(counts) == PARAMETERS[system]


@pytest.mark.parametrize('system', ['srfbn', 'vdsr'])
def test_basicsrs_own_training_runs_from_the_file_with_validation(
        casia: Path, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SRFBN gives several images in training and one in validation; VDSR is trained by a model of ours."""
    monkeypatch.chdir(casia)
    short = {'name': 'tiny', 'train': {'total_iter': 3}, 'logger': {'print_freq': 1, 'use_tb_logger': False}}
    options = merge(small(BASELINES / f'{system}_x8.yml', casia), short)
    options.pop('plugin')
    train_here(options, tmp_path)
    (log,) = (tmp_path / 'experiments/tiny').glob('train_tiny_*.log')
    text = log.read_text()
    assert 'iter:       3' in text and 'l_' in text
    assert '# psnr:' in text and 'Validation casia_test' in text
    assert len(list((tmp_path / 'experiments/tiny/visualization').rglob('*.png'))) == 2

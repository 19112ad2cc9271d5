"""The option files of the compared systems: each trains at every scale, and hands its weights to the next phase."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.options import merge, read_option_file
from cface_basicsr.training.scale import SCALES, at_scale
from tests.archs.test_networks import parameters
from tests.compat.tiny_training import train_here
from tests.narrow import narrow_networks
from tests.small_data import write_small_data
from tests.tiny_stages import REPOSITORY, train_one_step
from tests.vgg_file import write_seeded_vgg19

BASELINES = REPOSITORY / 'options' / 'baselines'
FILES = sorted(BASELINES.iterdir())


@pytest.fixture(scope='module')
def casia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the files' own paths lead to something: stores, stage 0's networks; VGG19 beside them."""
    folder = tmp_path_factory.mktemp('casia')
    write_small_data(folder / 'datasets/casia/train', identities=2, images=2)
    write_small_data(folder / 'datasets/casia/test', identities=1, images=2, seed=1)
    write_seeded_vgg19(folder / 'vgg19.pth')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_one_step(small(read_option_file(REPOSITORY / 'options/cface_stage0.yml'), folder), folder)
    return folder


def small(opt: dict[str, Any], casia: Path) -> dict[str, Any]:
    """Options with narrow networks and batches of two, on the CPU, and with the seeded VGG19."""
    changes: dict[str, Any] = narrow_networks(opt)
    losses = [key for key, loss in opt['train'].items() if isinstance(loss, dict) and 'weights' in loss]
    assert all(opt['train'][key]['weights'] is None for key in losses)
    changes['train'] = {key: {'weights': str(casia / 'vgg19.pth')} for key in losses}
    train = {'batch_size': 2, 'num_worker_per_gpu': 0, 'persistent_workers': False}
    return merge(opt, {**changes, 'num_gpu': 0, 'datasets': {'train': train}})


def printed(path: Path, scale: int, folder: Path) -> Path:
    """What `cface options show` prints of a file at a scale, as a file."""
    done = CliRunner().invoke(app, ['options', 'show', str(path), '--scale', str(scale)])
    assert done.exit_code == 0, done.output
    (folder / 'printed.yml').write_text(done.stdout)
    return folder / 'printed.yml'


@cache
def depth(path: Path) -> int:
    """How many files of the folder must be trained before this one."""
    starts = {Path(weights).parts[1] for weights in read_option_file(path)['path'].values()}
    return max((1 + depth(BASELINES / f'{name}.yml') for name in starts if (BASELINES / f'{name}.yml').is_file()),
               default=0)


def logged_names(opt: dict[str, Any]) -> Iterator[str]:
    """The losses that a training's log must name: one for each of its sections, and the discriminator's own two."""
    for key in opt['train']:
        if key == 'recognition_opt':
            yield 'fr'
        elif key.endswith('_opt'):
            yield key.removesuffix('_opt').replace('pixel', 'pix').replace('perceptual', 'percep')
    yield from ('d_real', 'd_fake') if 'network_d' in opt else ()


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_file_is_of_x8_and_called_as_its_training_and_a_command_in_it_is_its_own(path: Path) -> None:
    opt = read_option_file(path)
    assert path.suffix == '.yml' and path.stem.endswith('_x8')
    assert (opt['name'], opt['scale']) == (path.stem, 8)
    assert set(re.findall(r'-opt (\S+)', path.read_text())) <= {f'options/baselines/{path.name}'}


@pytest.mark.parametrize('scale', SCALES)
def test_every_training_does_a_step_and_hands_its_weights_to_the_next_phase(
        casia: Path, scale: int, group_of_one: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(casia)  # the files' own paths are taken as they are
    dist = scale == SCALES[-1]  # at one scale as under torchrun, where DDP calls the networks as it does on a GPU
    for path in sorted(FILES, key=depth):
        opt = small(read_option_file(printed(path, scale, tmp_path)), casia)
        assert all(Path(weights).is_file() for weights in opt['path'].values()), path.stem
        model = train_one_step(opt, casia, dist)
        assert isinstance(model.net_g, torch.nn.parallel.DistributedDataParallel) == dist
        logged = {key: value for key, value in model.get_current_log().items() if key.startswith('l_')}
        assert {key.removeprefix('l_').removeprefix('g_') for key in logged} == set(logged_names(opt)), path.stem
        assert all(0 < value < 1e6 for value in logged.values()), (path.stem, logged)
        assert isinstance(model.optimizers[0], getattr(torch.optim, opt['train']['optim_g']['type']))
        model.test()
        assert model.output.shape == model.gt.shape, path.stem


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_each_network_has_the_number_of_weights_that_the_page_of_networks_gives(path: Path) -> None:
    """The page's numbers are the published ones; a network that it does not name has none."""
    from basicsr.archs import build_network

    import cface_basicsr.register  # noqa: F401
    for number, scale in enumerate(SCALES):
        section = at_scale(read_option_file(path), scale)['network_g']
        if section['type'] in parameters():
            with torch.device('meta'):
                network = build_network(section)
            counted = sum(p.numel() for p in network.parameters() if p.requires_grad)
            assert counted == parameters()[section['type']][number]


@pytest.mark.parametrize(('name', 'scale'), [('srfbn', 8), ('vdsr', 4), ('edsr', 2)])
def test_basicsrs_own_training_runs_from_what_is_printed_with_validation(
        casia: Path, name: str, scale: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SRFBN gives several images in training and one in validation; VDSR is trained by a model of ours."""
    monkeypatch.chdir(casia)
    short = {'name': 'tiny', 'train': {'total_iter': 3}, 'logger': {'print_freq': 1, 'use_tb_logger': False}}
    options = merge(small(read_option_file(printed(BASELINES / f'{name}_x8.yml', scale, tmp_path)), casia), short)
    options.pop('plugin')
    train_here(options, tmp_path)
    (log,) = (tmp_path / 'experiments/tiny').glob('train_tiny_*.log')
    text = log.read_text()
    assert 'iter:       3' in text and 'l_' in text
    assert '# psnr:' in text and 'Validation casia_test' in text
    assert len(list((tmp_path / 'experiments/tiny/visualization').rglob('*.png'))) == 2

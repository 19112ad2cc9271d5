"""A training that was killed and goes on ends as the unbroken one, bit for bit; and what TensorBoard shows of it."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.options import write_option_file
from cface_basicsr.training.process import _start_forked, run_training
from tests.tiny_stages import same, stage_options

CHANGES: dict[int, dict[str, Any]] = {
    1: {'train': {'ema_decay': 0.5}},
    3: {'datasets': {'train': {'num_worker_per_gpu': 1}}, 'train': {'optim_r': {'lr': 0.001}}},
    4: {'train': {'optim_r': {'lr': 0.001}}, 'val': {'val_freq': 20}},
}


def options_file(stage: int, data: Path, folder: Path) -> Path:
    """25 iterations of four of twelve (stage 3: twenty-four) images: a checkpoint at 4 is in mid-epoch."""
    opt = stage_options(stage, data, {'train': {'total_iter': 25}, 'path': {'experiments_root': str(folder)},
                                      'logger': {'save_checkpoint_freq': 4, 'print_freq': 1}})
    from cface_basicsr.options import merge
    folder.mkdir()
    write_option_file(merge(opt, CHANGES[stage]), folder / 'stage.yml')
    return folder / 'stage.yml'


def train(options: Path) -> list[int]:
    """Train to the end; returns the iterations that were reported: where it began, and each one that the log showed."""
    seen: list[int] = []
    run_training(options, options.parent / 'log.txt', lambda iteration, losses: seen.append(iteration))
    return seen


def kill_behind_a_checkpoint(options: Path, stage: int) -> None:
    """Start a training, and SIGKILL it as soon as the state of iteration 4 is there."""
    run = options.parent / f'cface_stage{stage}'
    (options.parent / 'killed.txt').touch()
    process = _start_forked(options, options.parent / 'killed.txt')
    while process.is_alive() and not (run / 'training_states/4.state').is_file():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL, (options.parent / 'killed.txt').read_text()[-2000:]
    assert not list((run / 'models').glob('*latest*'))


def networks(folder: Path, stage: int) -> dict[str, Any]:
    return {path.name: torch.load(path, weights_only=True)
            for path in sorted((folder / f'cface_stage{stage}/models').glob('*_latest.pth'))}


@pytest.fixture(scope='module')
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Stage -> the folder of a whole run of it; made when first asked for."""
    class Runs(dict):
        def __missing__(self, stage: int) -> Path:
            folder = tmp_path_factory.mktemp('unbroken') / 'run'
            assert train(options_file(stage, data, folder)) == list(range(26))
            self[stage] = folder
            return folder
    return Runs()


@pytest.mark.parametrize(('stage', 'names'), [(1, 'dg'), (3, 'cr'), (4, 'cdgr')])
def test_a_killed_training_goes_on_and_ends_as_the_unbroken_one(
        data: Path, unbroken: dict[int, Path], tmp_path: Path, stage: int, names: str) -> None:
    options = options_file(stage, data, tmp_path / 'broken')
    kill_behind_a_checkpoint(options, stage)
    seen = train(options)
    assert 1 < seen[0] <= 25
    assert seen[0] % 4 == 0  # the newest checkpoint
    assert seen == list(range(seen[0], 26))
    one, other = networks(unbroken[stage], stage), networks(tmp_path / 'broken', stage)
    assert list(one) == list(other) == [f'net_{name}_latest.pth' for name in names]
    for name in one:
        for key in [key for key in one[name] if key.startswith('params')]:
            assert same(one[name][key], other[name][key]), (name, key)
    assert 'params_ema' in one['net_g_latest.pth'] if stage == 1 else True


def test_tensorboard_shows_every_loss_every_rate_and_the_validation(unbroken: dict[int, Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(unbroken[4] / 'tb_logger/cface_stage4'), size_guidance={'scalars': 0, 'images': 0})
    events.Reload()
    assert set(events.Tags()['scalars']) == {
        'losses/l_g_content', 'losses/l_g_gan', 'losses/l_cf_self', 'losses/l_cf_compare', 'losses/l_d_real',
        'losses/l_d_fake', 'losses/l_fr', 'out_d_real', 'out_d_fake', 'acc', 'spread', 'si_sr_hr', 'si_sr_compare',
        'si_hr_compare', 'si_margin', 'lr_g', 'lr_d', 'lr_r',
        'metrics/casia_test/psnr', 'metrics/casia_test/ssim'}
    assert [event.step for event in events.Scalars('losses/l_cf_compare')] == list(range(1, 26))
    rates = [event.value for event in events.Scalars('lr_g')]
    assert rates == pytest.approx([1e-5 * 0.99 ** ((iteration - 1) // 3) for iteration in range(1, 26)])
    assert [event.step for event in events.Images('faces/casia_test')] == [20, 25]
    picture = events.Images('faces/casia_test')[0]
    assert (picture.width, picture.height) == (2 * 130 + 2, 3 * 130 + 2)  # LR, SR and HR of two faces


def test_a_training_that_diverges_says_which_loss_and_keeps_its_checkpoints(data: Path, tmp_path: Path) -> None:
    opt = stage_options(1, data, {'train': {'optim_g': {'lr': 1e30}}, 'logger': {'save_checkpoint_freq': 1},
                                  'path': {'experiments_root': str(tmp_path)}})
    write_option_file(opt, tmp_path / 'stage.yml')
    with pytest.raises(UserError, match=r'\(exit code 2\): cface: l_g_content.* became NaN or Inf') as caught:
        train(tmp_path / 'stage.yml')
    assert len(str(caught.value).splitlines()) <= 3
    saved = sorted((tmp_path / 'cface_stage1/models').glob('net_g_*.pth'))
    assert saved and not (tmp_path / 'cface_stage1/models/net_g_latest.pth').exists()
    for path in saved:
        assert all(torch.isfinite(value).all() for value in torch.load(path, weights_only=True)['params'].values())

"""A tiny training of stock BasicSR, and BasicSR with one row of the table left out."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cface_basicsr import compat

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def patched(without: tuple[str, ...] = ()) -> Iterator[None]:
    """BasicSR patched but for some rows; afterwards patched wholly, as other tests expect it."""
    compat.undo()
    compat.apply(without)
    try:
        yield
    finally:
        compat.undo()
        compat.apply()


def holds_by_row(check: Callable[[], Any], row: str, defect: type[BaseException] = AssertionError) -> None:
    """`check` passes with the row, and fails without it: the row is what makes it pass.

    Where the BasicSR under test has not got the defect, it passes without as well.
    """
    found = next(each for each in compat.ROWS if each.name == row)
    with patched():
        check()
    with patched(without=(row,)), pytest.raises(defect) if found.present() else nullcontext():
        check()


def tiny_options(pictures: Path, **changes: Any) -> dict[str, Any]:
    """SRModel with a tiny EDSR, 11 images, batch 4: two full batches an epoch. `changes` go by 'section.key'."""
    pairs = {'type': 'PairedImageDataset', 'dataroot_gt': str(pictures / 'gt'), 'dataroot_lq': str(pictures / 'lq'),
             'io_backend': {'type': 'disk'}}
    options = {
        'name': 'tiny', 'model_type': 'SRModel', 'scale': 4, 'num_gpu': 0, 'manual_seed': 3,
        'datasets': {
            'train': {'name': 'faces', **pairs, 'gt_size': 8, 'use_hflip': True, 'use_rot': False,
                      'num_worker_per_gpu': 0, 'batch_size_per_gpu': 4},
            'val': {'name': 'test', **pairs}},
        'network_g': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 4},
        'path': {},
        'train': {'ema_decay': 0.9, 'optim_g': {'type': 'Adam', 'lr': 1e-2}, 'total_iter': 7, 'warmup_iter': -1,
                  'scheduler': {'type': 'MultiStepLR', 'milestones': [5], 'gamma': 0.5},
                  'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'}},
        'val': {'val_freq': 100, 'save_img': False, 'suffix': None,
                'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 3, 'use_tb_logger': False}}
    for place, value in changes.items():
        section = options
        *sections, key = place.split('.')
        for part in sections:
            section = section[part]
        section[key] = value
    return options


def write_options(options: dict[str, Any], path: Path) -> Path:
    """An option file whose first line loads the plugin."""
    path.write_text('plugin: !!python/name:cface_basicsr.register.NAME\n' + yaml.safe_dump(options, sort_keys=False))
    return path


def train_here(options: dict[str, Any], folder: Path, *arguments: str) -> None:
    """BasicSR's train_pipeline in this process, below `folder`."""
    import basicsr.train
    from basicsr.utils import logger
    folder.mkdir(exist_ok=True)
    path = write_options(options, folder / 'tiny.yml')
    before = sys.argv
    sys.argv = ['train.py', '-opt', str(path), *arguments]
    logger.initialized_logger.clear()  # a model built by an earlier test may have opened one without a file
    try:
        basicsr.train.train_pipeline(str(folder))
    finally:
        sys.argv = before
        logger.initialized_logger.clear()
        for handler in (log := logging.getLogger('basicsr')).handlers[:]:
            handler.close()
            log.removeHandler(handler)


def weights(folder: Path, name: str = 'net_g_latest.pth') -> dict[str, torch.Tensor]:
    """The weights of the run in `folder`."""
    return torch.load(folder / 'experiments' / 'tiny' / 'models' / name, weights_only=True)['params']


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def log_of(folder: Path) -> str:
    """Everything the runs in `folder` logged."""
    return '\n'.join(path.read_text() for path in sorted(folder.glob('experiments/tiny/train_tiny_*.log')))


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` with one thread; the package under test is importable."""
    path = os.pathsep.join(filter(None, (environment.pop('PYTHONPATH', ''), str(REPOSITORY))))
    settings = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': path, **environment}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)

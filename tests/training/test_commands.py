"""BasicSR's own commands train stage 1 to its end, and write where they should."""

import sys
from pathlib import Path

import pytest
import torch

from cface_basicsr.options import write_option_file
from tests.compat.tiny_training import run
from tests.tiny_stages import same, stage_options

PYTHON = sys.executable


def networks(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Weights of the finished run below `folder`."""
    return {path.stem: torch.load(path, weights_only=True)['params']
            for path in sorted((folder / 'experiments/cface_stage1/models').glob('*_latest.pth'))}


@pytest.mark.slow
def test_three_commands_train_stage_1_to_the_same_weights(clone: Path, data: Path, tmp_path: Path) -> None:
    opt = stage_options(1, data, {'train': {'total_iter': 3}, 'val': {'val_freq': 100}, 'logger': {'print_freq': 1}})
    script, module, ours = (tmp_path / name for name in ('checkout', 'module', 'ours'))
    (script / 'basicsr').parent.mkdir()
    (script / 'basicsr').symlink_to(clone / 'basicsr')
    module.mkdir()
    ours.mkdir()
    write_option_file(opt, tmp_path / 'stage1.yml')
    commands = {script: [PYTHON, 'basicsr/train.py'], module: [PYTHON, '-m', 'basicsr.train'],
                ours: [PYTHON, '-m', 'cface_basicsr.train']}
    results = []
    for folder, command in commands.items():
        path = {'PYTHONPATH': str(script)} if folder == script else {}
        done = run([*command, '-opt', '../stage1.yml'], folder, **path)
        assert done.returncode == 0, done.stderr[-3000:]
        home = clone if folder == script and not (folder / 'experiments').exists() else folder
        results.append(networks(home))
        pictures = home / 'experiments/cface_stage1/visualization'
        assert {path.parent.name for path in pictures.rglob('*.png')} == {'0001000__000', '0001001__000'}
        assert list((home / 'tb_logger/cface_stage1').glob('events*'))
    assert list(results[0]) == ['net_d_latest', 'net_g_latest']
    for other in results[1:]:
        assert all(same(results[0][name], other[name]) for name in results[0])

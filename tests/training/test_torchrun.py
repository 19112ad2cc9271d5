"""Two processes under torchrun, on gloo, with two spawned workers each: both end with the same weights."""

import sys
from pathlib import Path

import pytest
import torch

from cface_basicsr.options import write_option_file
from cface_basicsr.training.process import run_training
from tests.compat.test_distributed import free_port
from tests.compat.tiny_training import run
from tests.tiny_stages import same, stage_options

SCRIPT = '''
"""Each option file named is trained in turn; then every rank saves what it holds."""
import os
import sys

from cface_basicsr.compat.before_import import prepare_import

prepare_import()

if __name__ == '__main__':
    import torch
    import basicsr.train
    from basicsr.utils import options
    import cface_basicsr.register

    start, build, models = options.init_dist, basicsr.train.build_model, []
    options.init_dist = lambda *a, **k: torch.distributed.is_initialized() or start(*a, **k)
    basicsr.train.build_model = lambda opt: models.append(build(opt)) or models[-1]
    torch.set_num_threads(1)
    for number, path in enumerate(sys.argv[1:]):
        sys.argv = ['train.py', '-opt', path, '--launcher', 'pytorch']
        basicsr.train.train_pipeline(os.getcwd())
        nets = {k: models[-1].get_bare_model(getattr(models[-1], k)).state_dict()
                for k in ('net_g', 'net_d', 'net_r', 'net_c') if getattr(models[-1], k, None) is not None}
        torch.save(nets, f'{path}.rank{os.environ["RANK"]}.pth')
'''


@pytest.mark.slow
def test_stages_1_3_and_4_end_with_equal_weights_on_both_ranks(data: Path, tmp_path: Path) -> None:
    (tmp_path / 'ranks.py').write_text(SCRIPT)
    workers = {'datasets': {'train': {'num_worker_per_gpu': 2, 'persistent_workers': True}},
               'train': {'total_iter': 5}, 'logger': {'use_tb_logger': False}}
    for stage in (1, 3, 4):
        write_option_file(stage_options(stage, data, workers), tmp_path / f'{stage}.yml')
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={free_port()}',
               'ranks.py', '1.yml', '3.yml', '4.yml']
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    for stage, networks in ((1, 'gdr'), (3, 'rc'), (4, 'gdrc')):
        first, second = (torch.load(tmp_path / f'{stage}.yml.rank{rank}.pth', weights_only=True) for rank in (0, 1))
        assert set(first) == set(second) == {f'net_{label}' for label in networks}
        for name in first:
            assert same(first[name], second[name]), (stage, name)
            saved = tmp_path / f'experiments/cface_stage{stage}/models/{name}_latest.pth'
            assert (stage, name) == (1, 'net_r') or same(torch.load(saved, weights_only=True)['params'], first[name])


@pytest.mark.slow
def test_two_processes_learn_what_one_does(data: Path, tmp_path: Path) -> None:
    """Stage 3 has no batch statistics: two halves of a batch give the gradient of the whole."""
    weights = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        opt = stage_options(3, data, {
            'train': {'total_iter': 5, 'optim_r': {'lr': 0.01}},  # at 0.1 single precision's rounding grows too fast
            'path': {'experiments_root': str(folder)}, 'logger': {'use_tb_logger': False, 'print_freq': 1}})
        write_option_file(opt, folder / 'stage.yml')
        seen: list[int] = []
        run_training(folder / 'stage.yml', folder / 'log.txt', lambda done, losses, to=seen: to.append(done), processes)
        assert seen == [0, 1, 2, 3, 4, 5]
        weights.append({name: torch.load(folder / f'cface_stage3/models/{name}_latest.pth', weights_only=True)['params']
                        for name in ('net_r', 'net_c')})
    for name, alone in weights[0].items():
        start = torch.load(data / f'{name}.pth', weights_only=True)['params']
        assert not same(alone, start)
        for key, value in alone.items():
            torch.testing.assert_close(weights[1][name][key], value, rtol=1e-3, atol=1e-5)

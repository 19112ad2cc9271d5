"""BasicSR's own commands, from a checkout and installed, find the plugin by the first line of the option file."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.compat import installed
from tests.compat.test_distributed import free_port
from tests.compat.tiny_training import assert_equal_weights, run, tiny_options, weights, write_options

PYTHON = sys.executable
TORCHRUN = [PYTHON, '-m', 'torch.distributed.run', '--nproc_per_node=2']
LAUNCH = [PYTHON, '-m', 'torch.distributed.launch', '--nproc_per_node=2']

RANK_SAVING_MODEL = """
import torch
import cface_basicsr.register
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY

NAME = 'rank_saving_model'

@MODEL_REGISTRY.register()
class RankSavingModel(SRModel):
    def save(self, epoch, current_iter):
        super().save(epoch, current_iter)
        content = self.get_bare_model(self.net_g).state_dict()
        torch.save(content, f"{self.opt['path']['experiments_root']}/rank{self.opt['rank']}.pth")
"""


def with_defects(package: Path) -> None:
    """Make a copy of BasicSR what PyPI's 1.4.2 is."""
    for repair in installed.REPAIRS:
        path = package / repair.file
        path.write_bytes(path.read_bytes().replace(repair.new, repair.old))
        assert installed.status(package, repair) == 'defect'


def own_clone(clone: Path, folder: Path) -> Path:
    """A copy of the checkout that a test may change."""
    shutil.copytree(clone, folder)
    return folder


def test_the_script_of_a_checkout_trains(clone: Path, pictures: Path, tmp_path: Path) -> None:
    here = own_clone(clone, tmp_path / 'BasicSR')
    path = write_options(tiny_options(pictures), here / 'tiny.yml')
    done = run([PYTHON, 'basicsr/train.py', '-opt', path.name], here, PYTHONPATH=str(here))
    assert done.returncode == 0, done.stderr
    assert weights(here)
    assert 'ends at iteration 7' in done.stderr  # the table was applied to the running __main__


def test_a_misspelt_option_ends_the_script_with_one_line_and_exit_code_2(
        clone: Path, pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures)
    options['network_g']['num_blocks'] = options['network_g'].pop('num_block')
    path = write_options(options, tmp_path / 'tiny.yml')
    done = run([PYTHON, str(clone / 'basicsr/train.py'), '-opt', str(path)], tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if 'Warning' not in line and 'import convolve' not in line] == [
        "cface: option 'network_g.num_blocks' is unknown; did you mean 'num_block'?"]
    assert not (clone / 'experiments').exists()


def test_the_installed_module_trains_and_writes_to_the_working_directory(
        clone: Path, pictures: Path, tmp_path: Path) -> None:
    packages = own_clone(clone, tmp_path / 'site-packages')
    write_options(tiny_options(pictures), tmp_path / 'tiny.yml')
    done = run([PYTHON, '-m', 'basicsr.train', '-opt', 'tiny.yml'], tmp_path, PYTHONPATH=str(packages))
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path)
    assert [path.name for path in packages.iterdir()] == ['basicsr']


@pytest.mark.slow
def test_an_unrepaired_basicsr_trains_by_the_plugins_own_module(
        clone: Path, pictures: Path, tmp_path: Path) -> None:
    packages = own_clone(clone, tmp_path / 'site-packages')
    with_defects(packages / 'basicsr')
    write_options(tiny_options(pictures), tmp_path / 'tiny.yml')
    stock = run([PYTHON, '-m', 'basicsr.train', '-opt', 'tiny.yml'], tmp_path, PYTHONPATH=str(packages))
    assert 'torchvision.transforms.functional_tensor' in stock.stderr
    command = [PYTHON, '-m', 'cface_basicsr.train', '-opt', 'tiny.yml', '--local-rank=0']
    done = run(command, tmp_path, PYTHONPATH=str(packages))
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path)


Weights = dict[str, torch.Tensor]


def train_on_two_ranks(launcher: list[str], clone: Path, pictures: Path,
                       workers: int) -> tuple[Weights, Weights, Weights, list]:
    """The weights of rank 0, of rank 1 and of the file, and the random states that the last checkpoint holds."""
    (clone / 'rank_saving_model.py').write_text(RANK_SAVING_MODEL)
    changes: dict[str, Any] = {'datasets.train.num_worker_per_gpu': workers, 'model_type': 'RankSavingModel',
                               'datasets.train.persistent_workers': workers > 0,
                               'datasets.train.batch_size_per_gpu': 2, 'train.total_iter': 5}
    path = write_options(tiny_options(pictures, **changes), clone / 'tiny.yml')
    path.write_text(path.read_text().replace('cface_basicsr.register.NAME', 'rank_saving_model.NAME'))
    train = ['basicsr/train.py', '-opt', 'tiny.yml', '--launcher', 'pytorch']
    done = run([*launcher, f'--master_port={free_port()}', *train], clone, PYTHONPATH=str(clone))
    assert done.returncode == 0, done.stderr
    folder = clone / 'experiments' / 'tiny'
    first, second = (torch.load(folder / f'rank{rank}.pth', weights_only=True) for rank in (0, 1))
    return first, second, weights(clone), torch.load(folder / 'training_states/3.state', weights_only=True)['random']


@pytest.mark.slow
def test_two_ranks_with_spawned_workers_end_with_equal_weights(clone: Path, pictures: Path, tmp_path: Path) -> None:
    first, second, saved, random = train_on_two_ranks(TORCHRUN, own_clone(clone, tmp_path / 'BasicSR'), pictures, 2)
    assert_equal_weights(first, second)
    assert_equal_weights(first, saved)
    assert len(random) == 2  # of both ranks


@pytest.mark.slow
def test_the_older_launcher_works_behind_the_repair(clone: Path, pictures: Path, tmp_path: Path) -> None:
    here = own_clone(clone, tmp_path / 'BasicSR')
    with_defects(here / 'basicsr')
    for repair in installed.REPAIRS:
        installed.repair(here / 'basicsr', repair)
    first, second, saved, random = train_on_two_ranks(LAUNCH, here, pictures, workers=0)
    assert_equal_weights(first, second)
    assert_equal_weights(first, saved)
    assert len(random) == 2

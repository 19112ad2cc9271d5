"""What an option file names is never imported by `cface`; a module that the user names by --plugin is."""

import sys
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.compat.verification import check_verification
from cface_basicsr.errors import UserError
from cface_basicsr.models.recognition import frozen_recognizer
from cface_basicsr.options.datasets import AnyDataOptions
from cface_basicsr.options.sections import open_section
from cface_basicsr.training.process import run_training
from cface_basicsr.training.recipe import Recipe
from tests.compat.test_reading import PARSE
from tests.compat.tiny_training import REPOSITORY, run, tiny_options, write_options
from tests.small_data import write_small_data

EVIL = '''
from pathlib import Path
Path(__file__).with_name('it_ran').touch()
import cface_basicsr.register
X = 'evil'
'''
NETS = '''
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

@ARCH_REGISTRY.register()
class Enlarging(nn.Sequential):
    def __init__(self, upscale=4):
        super().__init__(nn.Conv2d(3, 3 * upscale ** 2, 3, padding=1), nn.PixelShuffle(upscale))
'''
RECIPE = {'name': 'r', 'scale': 8, 'data': 'data', 'steps': {'one': {'options': 'stage.yml'}}}


@pytest.fixture
def folder(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """evilmod.py, and option files that name it; evilmod.py could be imported."""
    (tmp_path / 'evilmod.py').write_text(EVIL)
    stage = write_options(tiny_options(pictures), tmp_path / 'stage.yml')
    stage.write_text(stage.read_text().replace('cface_basicsr.register.NAME', 'evilmod.X'))
    (tmp_path / 'chain.yml').write_text(yaml.safe_dump(RECIPE))
    (tmp_path / 'recipe.yml').write_text('plugin: !!python/name:evilmod.X\n' + yaml.safe_dump(RECIPE))
    (tmp_path / 'module.yml').write_text(stage.read_text().replace('name:evilmod.X', 'module:evilmod'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def refused(message: str, folder: Path) -> bool:
    """Whether this is one line that names the option, and nothing ran."""
    assert 'evilmod' not in sys.modules and not (folder / 'it_ran').exists()
    return '--plugin evilmod' in message and len(message.strip().splitlines()) == 1


@pytest.mark.parametrize('words', [
    ['train', 'stage.yml'], ['train', 'stage.yml', '--nproc', '2'], ['train', 'recipe.yml'],
    ['benchmark', 'recipe.yml'], ['benchmark', 'stage.yml', '--plan'], ['ablate', 'loss', '--file', 'recipe.yml'],
    ['options', 'show', 'stage.yml'], ['options', 'show', 'stage.yml', '--set', 'name=b']], ids=' '.join)
def test_no_command_imports_what_a_file_names(folder: Path, words: list[str]) -> None:
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UserError) and refused(str(done.exception), folder)


def test_neither_does_a_recipe_whose_step_names_such_a_file(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        Recipe.read('chain.yml').compose('one')
    assert refused(str(caught.value), folder)


def test_nor_a_file_that_names_a_module_in_another_way(folder: Path) -> None:
    done = CliRunner().invoke(app, ['train', 'module.yml'])
    assert 'is not valid YAML' in str(done.exception) and not (folder / 'it_ran').exists()
    with pytest.raises(UserError, match="recognizer 'evilmod:X' is missing"):  # train.more_recognizers
        frozen_recognizer('evilmod:X', torch.device('cpu'))
    assert 'evilmod' not in sys.modules


def test_no_judge_and_no_storage_of_a_file_is_imported(folder: Path, tmp_path: Path) -> None:
    write_small_data(tmp_path / 'data', identities=20, images=2)
    section = {'name': 'v', 'phase': 'val', 'type': 'FacePairDataset', 'scale': 8, 'io_backend': {'type': 'lmdb'},
               'dataroot_gt': str(tmp_path / 'data/hr.lmdb'), 'dataroot_lq': str(tmp_path / 'data/lr_x8.lmdb')}
    with pytest.raises(UserError, match="recognizer 'evilmod:X' is missing"):
        check_verification({'val': {'verification': {'recognizer': 'evilmod:X', 'folds': 2}},
                            'datasets': {'val': section}})
    memcached = {'type': 'memcached', 'sys_path': str(folder)}
    with pytest.raises(UserError, match="io_backend.sys_path': BasicSR would import a module from a folder that a "
                                        'file'):
        open_section(AnyDataOptions, section | {'io_backend': memcached}, 'io')
    assert 'evilmod' not in sys.modules and not (folder / 'it_ran').exists()


@pytest.mark.parametrize('program', ['train', 'test'])
def test_our_own_programs_read_safely_what_basicsr_reads(folder: Path, program: str) -> None:
    done = run([sys.executable, '-m', f'cface_basicsr.{program}', '-opt', 'stage.yml'], folder)
    assert done.returncode == 2 and refused(done.stderr, folder)


def test_a_training_in_a_run_folder_whose_file_was_changed_behind_the_check_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match='--plugin evilmod'):
        run_training(folder / 'stage.yml', folder / 'log', lambda done, losses: None)
    assert not (folder / 'it_ran').exists()


def test_basicsrs_own_program_imports_what_its_file_names_as_ever(folder: Path) -> None:
    done = run([sys.executable, '-c', PARSE, '-opt', 'stage.yml'], folder)
    assert done.returncode == 0, done.stderr
    assert (folder / 'it_ran').exists()


@pytest.mark.skipif(sys.version_info < (3, 11), reason='Python 3.10 looks into the working folder first, always')
@pytest.mark.parametrize('file', ['stage.yml', 'recipe.yml'])
def test_no_file_in_the_working_folder_is_taken_for_a_library(pictures: Path, tmp_path: Path, file: str) -> None:
    for name in ('basicsr', 'torchvision', 'lmdb', 'yaml'):
        (tmp_path / f'{name}.py').write_text(EVIL)
    write_small_data(tmp_path / 'data/train', identities=2, images=2)
    write_options(tiny_options(pictures, **{'train.total_iter': 1}), tmp_path / 'stage.yml')
    (tmp_path / 'recipe.yml').write_text(yaml.safe_dump(RECIPE | {'steps': {'one': {
        'options': str(REPOSITORY / 'options/cface_stage0.yml'), 'set': {
            'num_gpu': 0, 'network_r': {'num_feat': 2, 'feature_length': 8}, 'network_c': {'feature_length': 8},
            'datasets': {'train': {'batch_size': 4, 'num_worker_per_gpu': 0, 'persistent_workers': False}},
            'train': {'total_epoch': None, 'total_iter': 1}}}}}))
    done = run([sys.executable, '-P', '-c', 'from cface_basicsr.cli.main import main; main()', 'train', file], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (tmp_path / 'it_ran').exists()


RECIPES_WAY = '''
from pathlib import Path
from cface_basicsr.registration import admit
from cface_basicsr.training.process import run_training

if __name__ == '__main__':
    admit('nets')
    run_training(Path('stage.yml'), Path('log'), lambda done, losses: None)
'''


@pytest.mark.slow
@pytest.mark.parametrize(('words', 'line'), [
    (['-m', 'cface_basicsr', 'train', 'stage.yml', '--plugin', 'nets'], 'nets.Enlarging'),
    (['-m', 'cface_basicsr', 'train', 'stage.yml', '--plugin', 'nets', '--nproc', '2'], 'nets.Enlarging'),
    (['-m', 'cface_basicsr.train', '--plugin=nets', '-opt', 'stage.yml'], 'cface_basicsr.register.NAME'),
    (['starts.py'], 'cface_basicsr.register.NAME')],
    ids=['one process', 'two ranks', 'our program', 'as a step of a recipe'])
def test_a_network_of_a_module_that_the_user_names_trains(
        pictures: Path, tmp_path: Path, words: list[str], line: str) -> None:
    (tmp_path / 'nets.py').write_text(NETS)
    (tmp_path / 'starts.py').write_text(RECIPES_WAY)
    options = tiny_options(pictures, network_g={'type': 'Enlarging', 'upscale': 4}, **{'train.total_iter': 1})
    options['path'] = {'experiments_root': str(tmp_path / 'experiments')}
    stage = write_options(options, tmp_path / 'stage.yml')
    stage.write_text(stage.read_text().replace('cface_basicsr.register.NAME', line))
    done = run([sys.executable, *words], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    saved = torch.load(tmp_path / 'experiments/tiny/models/net_g_latest.pth', weights_only=True)
    assert saved['network']['type'] == 'Enlarging'


@pytest.mark.parametrize(('text', 'message'), [
    (None, "--plugin 'nets': module 'nets' is missing. Expected package.module, installed or in the working folder."),
    ('1 / 0', "--plugin 'nets': importing 'nets' fails (ZeroDivisionError: division by zero)."),
    ('import nobody_has_it', "--plugin 'nets': module 'nets' needs 'nobody_has_it', which is not installed.")])
def test_a_plugin_that_cannot_be_imported_is_refused_by_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str) -> None:
    if text:
        (tmp_path / 'nets.py').write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.delitem(sys.modules, 'nets', raising=False)
    done = CliRunner().invoke(app, ['train', 'cface_stage0.yml', '--plugin', 'nets'])
    assert str(done.exception) == message

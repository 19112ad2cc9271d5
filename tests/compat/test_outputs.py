"""Where a run writes; when its options are checked."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cface_basicsr.compat.defect import source
from cface_basicsr.compat.outputs import writable_root
from cface_basicsr.errors import UserError
from cface_basicsr.training.logs import read_log, training_logs
from tests.compat.tiny_training import holds_by_row, patched, tiny_options, train_here, write_options


def test_a_training_writes_to_the_working_directory_and_not_into_site_packages(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages, here = tmp_path / 'site-packages', tmp_path / 'here'
    here.mkdir()
    monkeypatch.chdir(here)

    def check() -> None:
        train_here(tiny_options(pictures, **{'train.total_iter': 1, 'logger.use_tb_logger': True}), packages)
        assert [path.name for path in packages.iterdir()] == ['tiny.yml']
        assert (here / 'experiments/tiny/models/net_g_latest.pth').is_file()
        assert list((here / 'tb_logger/tiny').iterdir())

    holds_by_row(check, 'output-root')


def test_a_training_writes_to_the_folder_that_the_option_file_names(pictures: Path, tmp_path: Path) -> None:
    named = tmp_path / 'named'

    def check() -> None:
        changes: dict[str, Any] = {'train.total_iter': 1, 'logger.use_tb_logger': True,
                                   'path.experiments_root': str(named)}
        train_here(tiny_options(pictures, **changes), tmp_path / 'root')
        assert (named / 'tiny/models/net_g_latest.pth').is_file()
        assert list((named / 'tb_logger/tiny').iterdir())
        assert [path.name for path in (tmp_path / 'root').iterdir()] == ['tiny.yml']

    holds_by_row(check, 'output-root')


def run_test_here(options: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import basicsr.test
    folder.mkdir(exist_ok=True)
    path = write_options(options, folder / 'test.yml')
    monkeypatch.setattr('sys.argv', ['test.py', '-opt', str(path)])
    for name in ('build_model', 'get_root_logger'):  # the folders are what is asked for
        monkeypatch.setattr(basicsr.test, name, lambda *args, **kwargs: _Nobody())
    basicsr.test.test_pipeline(str(folder))


class _Nobody:
    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def test_a_test_writes_to_the_folder_that_the_option_file_names(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny_options(pictures, **{'path.results_root': str(tmp_path / 'named')})
    options['datasets'] = {'test': options['datasets']['val']}

    def check() -> None:
        run_test_here(options, tmp_path / 'root', monkeypatch)
        assert (tmp_path / 'named/tiny/visualization').is_dir()
        assert [path.name for path in (tmp_path / 'root').iterdir()] == ['test.yml']

    from basicsr.utils.options import parse_options
    if "get('results_root')" in source(parse_options):  # in HEAD a test does so by itself
        with patched():
            check()
    else:
        holds_by_row(check, 'output-root')


def test_a_folder_that_cannot_be_written_is_no_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert writable_root(str(tmp_path / 'nowhere')) == str(tmp_path)
    (tmp_path / 'own').mkdir()
    assert writable_root(str(tmp_path / 'own')) == str(tmp_path / 'own')


def test_only_folders_become_folders(tmp_path: Path) -> None:
    def check() -> None:
        import basicsr.train
        paths = {key: str(tmp_path / key) for key in ('experiments_root', 'models', 'training_states')}
        basicsr.train.make_exp_dirs({'is_train': True, 'rank': 0,
                                       'path': {**paths, 'index': str(tmp_path / 'a.npy'), 'k': 5}})
        assert {path.name for path in tmp_path.iterdir() if '_archived_' not in path.name} == set(paths)

    holds_by_row(check, 'path-folders', defect=(TypeError, AssertionError))


def test_each_older_run_keeps_its_own_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('time.strftime', lambda *args: '20260101_000000')
    names = iter(('a', 'v1.5', 'c.d'))

    def check() -> None:
        from basicsr.utils import misc
        run = tmp_path / next(names)
        for number in range(3):
            misc.mkdir_and_rename(str(run))
            (run / 'number').write_text(str(number))
        archives = sorted(tmp_path.glob(f'{run.name}_archived_*'))
        assert [(path / 'number').read_text() for path in (*archives, run)] == ['0', '1', '2']

    holds_by_row(check, 'archive-names', defect=OSError)


def test_each_start_within_a_second_keeps_its_log(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('basicsr.train.get_time_str', lambda: '20260101_000000')
    names = iter('abc')

    def check() -> None:
        folder = tmp_path / next(names)
        for iterations in (3, 6):
            train_here(tiny_options(pictures, **{'train.total_iter': iterations}), folder, '--auto_resume')
        logs = sorted(folder.glob('experiments/tiny/train_tiny_*.log'))
        assert [path.name.removeprefix('train_tiny_20260101_000000') for path in logs] == ['.log', '_2.log']
        assert training_logs(folder / 'experiments/tiny') == logs
        assert [[iteration for _, iteration, _ in read_log(path)] for path in logs] == [[1, 2, 3], [4, 5, 6]]

    holds_by_row(check, 'log-names')


def test_options_are_checked_before_the_first_folder_is_made(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures)
    options['network_g']['num_blocks'] = options['network_g'].pop('num_block')

    def check() -> None:
        with pytest.raises(UserError, match="num_blocks.*did you mean 'num_block'"):
            train_here(options, tmp_path / 'checked')
        assert not (tmp_path / 'checked/experiments').exists()

    holds_by_row(check, 'checked-options', defect=TypeError)


def test_a_training_set_may_lie_in_several_stores(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny_options(pictures, **{'datasets.train.dataroot_gt': ['~/hr.lmdb', '/sr.lmdb']})
    path = write_options(options, tmp_path / 'x.yml')
    monkeypatch.setattr('sys.argv', ['train.py', '-opt', str(path)])
    monkeypatch.setenv('HOME', '/home/me')

    def check() -> None:
        from basicsr.utils.options import parse_options
        opt, _ = parse_options(str(tmp_path))
        assert opt['datasets']['train']['dataroot_gt'] == ['/home/me/hr.lmdb', '/sr.lmdb']

    holds_by_row(check, 'several-roots', defect=TypeError)


def test_the_options_written_for_a_test_are_those_that_basicsr_reads(pictures: Path, tmp_path: Path) -> None:
    path = write_options(tiny_options(pictures), tmp_path / 'x.yml')
    with patched():
        assert yaml.load(path.read_text(), Loader=yaml.CLoader)['plugin'] == 'cface_basicsr'


# --------------------------------------------------------------------------------------------------- Weights & Biases

WANDB = '''
import json, os
def init(**given):
    config = given.pop('config')
    given.update(lr=config['train']['optim_g']['lr'], dir=os.environ.get('WANDB_DIR'))
    with open(os.environ['WANDB_SEEN'], 'a') as file:
        file.write(json.dumps(given) + chr(10))
'''


@pytest.mark.parametrize('util', ['', 'def generate_id():\n    return "theirs"\n'])
def test_a_training_is_sent_to_weights_and_biases_of_any_age(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, util: str) -> None:
    """A fake one, which writes down what it is asked for."""
    (tmp_path / 'wandb').mkdir()
    (tmp_path / 'wandb/__init__.py').write_text(f'from . import util\n{WANDB}')
    (tmp_path / 'wandb/util.py').write_text(util)
    monkeypatch.syspath_prepend(tmp_path)
    options = tiny_options(pictures, **{'logger.use_tb_logger': True, 'train.total_iter': 1})
    options['logger']['wandb'] = {'project': 'faces'}

    def check() -> None:
        for name in ('wandb', 'wandb.util'):
            sys.modules.pop(name, None)
        seen = tmp_path / 'seen.json'
        seen.unlink(missing_ok=True)
        monkeypatch.setenv('WANDB_SEEN', str(seen))
        monkeypatch.setenv('WANDB_DIR', '')  # so that it is as before in the end
        monkeypatch.delenv('WANDB_DIR')
        train_here(options, tmp_path / 'run')
        asked = json.loads(seen.read_text())
        assert asked.pop('id') == 'theirs' if util else len(asked.pop('id')) == 8
        place = asked.pop('dir')
        assert asked == {'resume': 'never', 'name': 'tiny', 'project': 'faces', 'sync_tensorboard': True, 'lr': 1e-2}
        assert list((tmp_path / 'run/tb_logger/tiny').glob('events*'))
        assert place == str(tmp_path / 'run/experiments/tiny')

    if util:
        holds_by_row(check, 'wandb-folder', defect=AssertionError)
    else:
        holds_by_row(check, 'wandb-id', defect=AttributeError)
    for name in ('wandb', 'wandb.util'):
        sys.modules.pop(name, None)

"""scripts/*.sh are thin: what they run, with which arguments."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.compat.tiny_training import run
from tests.tiny_stages import REPOSITORY

SCRIPTS = REPOSITORY / 'scripts'


@pytest.fixture
def echo(tmp_path: Path) -> str:
    """In place of Python: prints its arguments, one a line."""
    path = tmp_path / 'echo'
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize('name', ['train.sh', 'dist_train.sh', 'prepare_casia.sh', 'install.sh'])
def test_a_script_is_executable_and_parses(name: str) -> None:
    assert (SCRIPTS / name).stat().st_mode & 0o111
    assert subprocess.run(['bash', '-n', SCRIPTS / name], check=False).returncode == 0


@pytest.mark.parametrize('name', ['train.sh', 'dist_train.sh', 'prepare_casia.sh'])
def test_a_script_without_arguments_says_how_it_is_used(name: str) -> None:
    done = subprocess.run([SCRIPTS / name], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f'usage: scripts/{name} ')


def test_train_runs_the_plugins_own_module(echo: str, tmp_path: Path) -> None:
    done = run([str(SCRIPTS / 'train.sh'), 'a b.yml', '--auto_resume'], tmp_path, PYTHON=echo)
    assert done.stdout.splitlines() == ['-m', 'cface_basicsr.train', '-opt', 'a b.yml', '--auto_resume']


def test_dist_train_runs_it_under_torchrun(echo: str, tmp_path: Path) -> None:
    done = run([str(SCRIPTS / 'dist_train.sh'), '4', 'a.yml', '--auto_resume'], tmp_path, PYTHON=echo, PORT='29777')
    assert done.stdout.splitlines() == [
        '-m', 'torch.distributed.run', '--nproc_per_node=4', '--master_port=29777', '-m', 'cface_basicsr.train',
        '--launcher', 'pytorch', '-opt', 'a.yml', '--auto_resume']


def test_prepare_casia_packs_a_folder(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for person in ('0000045', '0000099'):
        (tmp_path / 'photos' / person).mkdir(parents=True)
        for number in (1, 2):
            face = cv2.resize(random.integers(0, 255, (8, 8, 3), np.uint8), (128, 128))
            cv2.imwrite(str(tmp_path / 'photos' / person / f'{number:03d}.png'), face)
    done = run([str(SCRIPTS / 'prepare_casia.sh'), 'photos', 'packed'], tmp_path, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    for store in ('hr', 'lr_x2', 'lr_x4', 'lr_x8'):
        assert len((tmp_path / f'packed/{store}.lmdb/meta_info.txt').read_text().splitlines()) == 4
    assert not (tmp_path / 'datasets').exists()


def test_install_refuses_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / 'python2'
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 2.7.18"\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run([SCRIPTS / 'install.sh', old, tmp_path / 'venv'], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'expected Python 3.10 to 3.13' in done.stderr and 'Python 2.7.18' in done.stderr
    assert not (tmp_path / 'venv').exists()

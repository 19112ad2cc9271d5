"""scripts/dist_train.sh is thin: what it runs, with which arguments. The other scripts: tests/test_install.py."""

import subprocess
from pathlib import Path

from tests.compat.tiny_training import run
from tests.tiny_stages import REPOSITORY

SCRIPT = REPOSITORY / 'scripts/dist_train.sh'


def test_without_arguments_it_says_how_it_is_used() -> None:
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith('usage: scripts/dist_train.sh ')


def test_it_runs_the_plugins_own_module_under_torchrun(tmp_path: Path) -> None:
    echo = tmp_path / 'echo'  # in place of Python: prints its arguments, one on each line
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    echo.chmod(0o755)
    done = run([str(SCRIPT), '4', 'a b.yml', '--auto_resume'], tmp_path, PYTHON=str(echo), PORT='29777')
    assert done.stdout.splitlines() == [
        '-m', 'torch.distributed.run', '--nproc_per_node=4', '--master_port=29777', '-m', 'cface_basicsr.train',
        '--launcher', 'pytorch', '-opt', 'a b.yml', '--auto_resume']

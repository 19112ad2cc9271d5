"""scripts/dist_train.sh and the job scripts are thin: what they run. The other scripts: tests/test_install.py."""

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


def submitted(script: str, folder: Path, *words: str, **variables: str) -> list[str]:
    """What a job script starts, word by word; SLURM's programs and ours print their arguments there."""
    (folder / '.venv/bin').mkdir(parents=True)
    (folder / '.venv/bin/activate').write_text(f'PATH={folder}:$PATH\n')
    for name, body in (('srun', 'exec "$@"'), ('scontrol', 'echo first; echo second'),
                       ('torchrun', 'printf "%s\\n" "$@"'), ('cface', 'printf "%s\\n" "$@"')):
        (folder / name).write_text(f'#!/bin/sh\n{body}\n')
        (folder / name).chmod(0o755)
    return run([str(REPOSITORY / 'scripts/cluster' / script), *words], folder, **variables).stdout.splitlines()


def test_a_job_on_one_node_trains_a_recipe_on_all_of_its_gpus(tmp_path: Path) -> None:
    words = submitted('train.slurm', tmp_path, 'mine.yml', SLURM_GPUS_ON_NODE='3')
    assert words == ['train', 'mine.yml', '--nproc', '3']


def test_a_job_on_several_nodes_starts_one_torchrun_on_each_that_meet_at_the_first(tmp_path: Path) -> None:
    words = submitted('train_nodes.slurm', tmp_path, 'a b.yml', SLURM_GPUS_ON_NODE='4', SLURM_NNODES='2',
                      SLURM_JOB_NODELIST='n[1-2]', SLURM_JOB_ID='77')
    assert words == ['--nnodes', '2', '--nproc_per_node', '4', '--rdzv_backend', 'c10d', '--rdzv_endpoint',
                     'first:29500', '--rdzv_id', '77', '-m', 'cface_basicsr.train', '-opt', 'a b.yml', '--launcher',
                     'pytorch', '--auto_resume']

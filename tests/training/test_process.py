"""One training in a process of its own: its log is read, its failure is told, and it does not outlive its command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.training.process import _PROGRESS, last_words, run_training
from tests.compat.tiny_training import REPOSITORY

LINE = ('2026-11-24 00:04:54,491 INFO: [demo..][epoch:  3, iter:   1,250, lr:(1.000e-04,)] [eta: 0:00:12, time (data): '
        '0.1 (0.0)] l_g_pix: 1.2e-01 l_cf_self: 3.0e-02 ')

SCRIPT = '''
import multiprocessing, os, sys, threading, time
from cface_basicsr.training.process import _end_with_the_parent

def body(path):
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with open(path + '.part', 'w') as file:
        file.write(str(os.getpid()))
    os.rename(path + '.part', path)
    time.sleep(600)

if __name__ == '__main__':
    process = multiprocessing.get_context('forkserver').Process(target=body, args=(sys.argv[1],))
    process.start()
    process.join()
'''


def test_a_line_of_basicsrs_log_gives_the_iteration_and_the_losses() -> None:
    found = _PROGRESS.search(LINE)
    assert found
    assert int(found[1].replace(',', '')) == 1250
    assert found[2].strip() == 'l_g_pix: 1.2e-01 l_cf_self: 3.0e-02'


@pytest.mark.parametrize(('log', 'words'), [
    ('INFO: start\ncface: the error\nand its second line\n', 'cface: the error'),
    ('Traceback\n  File "x"\nKeyError: 1\nINFO: end\n', 'KeyError: 1'),
    ('INFO: start\nKilled\n', 'Killed'), ('', 'it printed nothing')])
def test_thelast_words_of_a_log_are_its_error(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / 'log.txt').write_text(log)
    assert last_words(tmp_path / 'log.txt') == words


def test_a_training_that_fails_is_told_in_three_lines_with_its_log(tmp_path: Path) -> None:
    (tmp_path / 'a.yml').write_text('plugin: !!python/name:cface_basicsr.register.NAME\nname: a\nmodel_type: Nobody\n'
                                    'num_gpu: 0\ndatasets: {}\npath: {}\ntrain: {}\n')
    with pytest.raises(UserError, match=r"failed \(exit code 2\): cface: option 'model_type': 'Nobody'") as caught:
        run_training(tmp_path / 'a.yml', tmp_path / 'logs/a.log', lambda iteration, losses: None)
    assert len(str(caught.value).splitlines()) <= 3
    assert str(tmp_path / 'logs/a.log') in str(caught.value)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f'/proc/{process}/stat').read_text().split()[2] != 'Z' if Path('/proc').is_dir() else True


def test_a_training_ends_when_its_command_is_killed(tmp_path: Path) -> None:
    (tmp_path / 'starts.py').write_text(SCRIPT)
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    command = subprocess.Popen([sys.executable, 'starts.py', 'pid'], cwd=tmp_path, env=environment)
    while not (tmp_path / 'pid').is_file():
        assert command.poll() is None
        time.sleep(0.01)
    training = int((tmp_path / 'pid').read_text())
    assert is_running(training)
    command.send_signal(signal.SIGKILL)
    command.wait()
    for _ in range(3000):
        if not is_running(training):
            return
        time.sleep(0.01)
    os.kill(training, signal.SIGKILL)
    pytest.fail('the training went on')

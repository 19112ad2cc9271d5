"""One training in a process of its own: its log is read, its failure is told, and it does not outlive its command."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import lock
from cface_basicsr.training import process
from cface_basicsr.training.process import last_words, run_training, train_in_the_foreground
from tests.compat.tiny_training import REPOSITORY
from tests.waiting import wait_until

SCRIPT = '''
import multiprocessing, os, sys, time
from cface_basicsr.runtime import end_with_parent

def body(path):
    end_with_parent()
    with open(path + '.part', 'w') as file:
        file.write(str(os.getpid()))
    os.rename(path + '.part', path)
    time.sleep(600)

if __name__ == '__main__':
    process = multiprocessing.get_context('forkserver').Process(target=body, args=(sys.argv[1],))
    process.start()
    process.join()
'''


@pytest.mark.parametrize(('log', 'words'), [
    ('INFO: start\ncface: the error\nand its second line\n', 'cface: the error'),
    ('Traceback\n  File "x"\nKeyError: 1\nINFO: end\n', 'KeyError: 1'),
    ('INFO: start\nKilled\n', 'Killed'), ('', 'it printed nothing')])
def test_the_last_words_of_a_log_are_its_error(tmp_path: Path, log: str, words: str) -> None:
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


@pytest.fixture
def rank_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """rank_script(SHELL) makes that script the Python by which ranks are started."""
    def of(body: str) -> None:
        path = tmp_path / 'python'
        path.write_text(f'#!/bin/sh\n{body}\n')
        path.chmod(0o755)
        monkeypatch.setattr(process.sys, 'executable', str(path))
    return of


def test_the_death_of_a_rank_ends_the_others_and_is_told_in_its_own_words(
        tmp_path: Path, rank_script: Callable[[str], None]) -> None:
    rank_script('[ $RANK = 1 ] && echo "ValueError: of rank 1" && exit 1; exec sleep 600')
    with pytest.raises(UserError, match=r'failed \(exit code 1\): rank 1: ValueError: of rank 1\nLog: .*a_rank1.log'):
        run_training(tmp_path / 'a.yml', tmp_path / 'a.log', lambda iteration, losses: None, processes=3)
    rank_script('echo last; [ $RANK = 1 ] && kill -9 $$; exec sleep 600')
    with pytest.raises(UserError, match=r'\(killed by SIGKILL, perhaps for lack of memory\): rank 1: last\n'):
        run_training(tmp_path / 'a.yml', tmp_path / 'a.log', lambda iteration, losses: None, processes=2)


def test_a_training_in_the_foreground_can_be_watched_line_by_line(
        tmp_path: Path, rank_script: Callable[[str], None]) -> None:
    rank_script(r'printf "10 %%\r100 %%\n"; echo "INFO: Start training from epoch: 0, iter: 40" >&2; sleep 0.1; exit 3')
    seen = []
    code = train_in_the_foreground(tmp_path / 'a.yml', 1, lambda line, view: seen.append((line, view.read(line))))
    assert code == 3
    assert seen == [('100 %', None), ('INFO: Start training from epoch: 0, iter: 40', 40)]


@pytest.mark.parametrize(('code', 'given'), [('0', 0), ('1 / 0', 1)])
def test_weights_and_biases_are_told_the_end_by_a_forked_training(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, given: int) -> None:
    """A process of multiprocessing calls no exit function, and so none of theirs."""
    told: list[int] = []
    wandb = SimpleNamespace(run='run', finish=lambda exit_code: told.append(exit_code))
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    monkeypatch.setattr('basicsr.train.train_pipeline', lambda folder: eval(code))
    called: list[str] = []
    for name in ('end_with_parent', 'end_at_once_by_ctrl_c', 'os.setsid', 'os.chdir', 'os.dup2',
                 'multiprocessing.set_start_method'):
        monkeypatch.setattr(f'cface_basicsr.training.process.{name}',
                            lambda *args, name=name, **more: called.append(name))
    monkeypatch.setattr(sys, 'argv', [])
    with nullcontext() if code == '0' else pytest.raises(ZeroDivisionError):
        process._train(['cface_basicsr.train'], str(tmp_path / 'log'), str(tmp_path))
    assert told == [given]
    assert 'os.setsid' in called  # a terminal's Ctrl-C reaches it by its parent only


@pytest.fixture(autouse=True)
def _usual_signals() -> Iterator[None]:
    """Python's own answers, also where the tests run in the background of a script, or by nohup, and ignore some."""
    before = [(number, signal.signal(number, usual)) for number, usual in (
        (signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL))]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def when_started(folder: Path, number: int, ranks: tuple[int | str, ...] = ('',)) -> None:
    def ask() -> None:
        wait_until(lambda: all((folder / f'started{rank}').exists() for rank in ranks))
        os.kill(os.getpid(), number)
    threading.Thread(target=ask).start()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_handed_on_and_the_training_may_take_its_time_to_save(
        tmp_path: Path, rank_script: Callable[[str], None], capsys: pytest.CaptureFixture, number: int) -> None:
    rank_script('save() { sleep 0.$((3 * $RANK)); echo cface: stopped by $1. The same x; touch saved$RANK; exit $2; };'
                'trap "save SIGTERM 143" TERM; trap "save SIGINT 130" INT; trap "save SIGHUP 129" HUP;'
                f'cd {tmp_path}; touch started$RANK; while :; do sleep 0.05; done')
    when_started(tmp_path, number, ranks=(0, 1))
    with pytest.raises(SystemExit) as left:
        run_training(tmp_path / 'a.yml', tmp_path / 'a.log', lambda iteration, losses: None, processes=2)
    assert left.value.code == 128 + number
    assert (tmp_path / 'saved0').exists() and (tmp_path / 'saved1').exists()
    assert capsys.readouterr().err == f'cface: stopped by {signal.Signals(number).name}. The same command continues.\n'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_training_that_has_nothing_to_save_yet_leaves_at_once_and_the_signal_is_named(
        tmp_path: Path, rank_script: Callable[[str], None], capsys: pytest.CaptureFixture, number: int) -> None:
    rank_script(f'touch {tmp_path}/started; exec sleep 600')
    when_started(tmp_path, number)
    assert train_in_the_foreground(tmp_path / 'a.yml', 1) == 128 + number
    said = f'cface: stopped by {signal.Signals(number).name}. The same command continues.\n'
    assert capsys.readouterr().err == said
    (tmp_path / 'started').unlink()
    when_started(tmp_path, number)
    with pytest.raises(SystemExit) as left:
        run_training(tmp_path / 'a.yml', tmp_path / 'a.log', lambda iteration, losses: None, processes=2)
    assert left.value.code == 128 + number and capsys.readouterr().err == said


def test_a_training_that_cannot_save_its_state_says_why(tmp_path: Path, rank_script: Callable[[str], None]) -> None:
    rank_script('trap "echo cface: the disk is full.; exit 2" TERM;'
                f'touch {tmp_path}/started$RANK; while :; do sleep 0.05; done')
    when_started(tmp_path, signal.SIGTERM, ranks=(0, 1))
    with pytest.raises(UserError, match=r'failed \(exit code 2\): rank 0: cface: the disk is full'):
        run_training(tmp_path / 'a.yml', tmp_path / 'a.log', lambda iteration, losses: None, processes=2)


def test_a_training_that_the_system_kills_has_the_exit_code_that_a_shell_would_give(
        tmp_path: Path, rank_script: Callable[[str], None]) -> None:
    rank_script('kill -9 $$')
    assert train_in_the_foreground(tmp_path / 'a.yml', 1) == 137


@pytest.mark.parametrize(('seconds', 'killed'), [(2.9, []), (3.1, ['killed'])])
def test_only_a_signal_that_comes_seconds_after_the_first_kills_a_training(
        monkeypatch: pytest.MonkeyPatch, seconds: float, killed: list[str]) -> None:
    now, told = [100.0], []
    monkeypatch.setattr(process.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(process, '_ask', lambda training, number: told.append(number))
    training = SimpleNamespace(kill=lambda: told.append('killed'), terminate=lambda: None, join=lambda: None)
    with process.handing_on_signals(lambda: training) as (_, came):
        signal.raise_signal(signal.SIGINT)
        now[0] += seconds
        signal.raise_signal(signal.SIGTERM)
    assert told == [signal.SIGINT, *killed] and came == [signal.SIGINT, signal.SIGTERM]


def test_a_forked_training_gets_the_signal_that_came_and_one_that_is_ignored_does_not_come() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sleeping = subprocess.Popen(['sleep', '600'])
    training = SimpleNamespace(pid=sleeping.pid, terminate=lambda: None, join=lambda: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with process.handing_on_signals(lambda: training) as (_, came):
        signal.raise_signal(signal.SIGINT)
        assert came == []
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with process.handing_on_signals(lambda: training) as (_, came):
        signal.raise_signal(signal.SIGINT)
    assert came == [signal.SIGINT] and sleeping.wait(30) == -signal.SIGINT


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_comes_while_a_training_is_being_started_ends_it_and_is_named(
        tmp_path: Path, rank_script: Callable[[str], None], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture, number: int) -> None:
    rank_script('exec sleep 600')
    start = process.Ranks.__init__

    def slow(*arguments: object, **settings: object) -> None:
        start(*arguments, **settings)
        signal.raise_signal(number)
    monkeypatch.setattr(process.Ranks, '__init__', slow)
    said = f'cface: stopped by {signal.Signals(number).name}. The same command continues.\n'
    with pytest.raises(SystemExit) as left:
        run_training(tmp_path / 'a.yml', tmp_path / 'a.log', lambda iteration, losses: None, processes=2)
    assert left.value.code == 128 + number and capsys.readouterr().err == said
    assert train_in_the_foreground(tmp_path / 'a.yml', 1) == 128 + number
    assert capsys.readouterr().err == said
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_training_may_save_its_state_where_the_command_itself_fails() -> None:
    told: list[str] = []
    training = SimpleNamespace(terminate=lambda: told.append('asked'), join=lambda: told.append('waited for'))
    with pytest.raises(OSError, match='closed terminal'), process.handing_on_signals(lambda: training):
        raise OSError(5, 'closed terminal')
    assert told == ['asked', 'waited for']


WITHOUT_BASICSR = '''
import runpy, signal, sys, types
sys.modules.update({name: types.ModuleType(name) for name in ('basicsr', 'basicsr.train', 'cface_basicsr.register')})
sys.modules['cface_basicsr.register'].take_arguments = lambda words: signal.raise_signal(signal.SIGINT)
runpy.run_module('cface_basicsr.train', run_name='__main__')
'''


def test_ctrl_c_before_there_is_anything_to_save_ends_a_training_without_a_traceback() -> None:
    done = subprocess.run([sys.executable, '-c', WITHOUT_BASICSR], capture_output=True, text=True, check=False,
                          env={**os.environ, 'PYTHONPATH': str(REPOSITORY)})
    assert (done.returncode, done.stderr) == (-signal.SIGINT, '')


def test_ranks_hold_the_lock_of_a_run_whose_command_was_killed(tmp_path: Path) -> None:
    (tmp_path / 'python').write_text(f'#!/bin/sh\necho $$ > {tmp_path}/pid; exec sleep 600\n')
    (tmp_path / 'python').chmod(0o755)
    code = f"""
import sys
from pathlib import Path
from cface_basicsr.files.atomic import lock
from cface_basicsr.training.process import Ranks
sys.executable = '{tmp_path}/python'
with lock('{tmp_path}', inherited=True):
    Ranks(Path('a.yml'), 1).join()
"""
    command = subprocess.Popen([sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': str(REPOSITORY)})
    wait_until(lambda: (tmp_path / 'pid').exists() and (tmp_path / 'pid').read_text().endswith('\n'))
    command.kill()
    command.wait()
    with pytest.raises(UserError), lock(tmp_path):
        pass
    os.kill(int((tmp_path / 'pid').read_text()), signal.SIGKILL)
    wait_until(lambda: not is_running(int((tmp_path / 'pid').read_text())))
    with lock(tmp_path):
        pass


ENDING = {
    'ranks': """
from cface_basicsr.training.process import Ranks
sys.executable = here + '/python'
Ranks(Path('a.yml'), 2).join()
""",
    'the workers of synth': """
from cface_basicsr.data.generated_faces import tree
if __name__ == '__main__':
    tree.write_synthetic_faces(here + '/faces', tree.TreeSettings(400, 400, size=500), workers=2)
"""}


@pytest.mark.parametrize('code', ENDING.values(), ids=ENDING)
def test_no_process_survives_the_sigkill_of_its_command(tmp_path: Path, code: str) -> None:
    sleep = 'import os, time; from cface_basicsr.runtime import end_with_parent; end_with_parent(); time.sleep(600)'
    (tmp_path / 'python').write_text(f'#!/bin/sh\nexec {sys.executable} -c "{sleep}"\n')
    (tmp_path / 'python').chmod(0o755)
    head = f"import sys\nfrom pathlib import Path\nhere = '{tmp_path}'\n"
    (tmp_path / 'starts.py').write_text(head + code)
    command = subprocess.Popen([sys.executable, 'starts.py'], cwd=tmp_path,
                               env={**os.environ, 'PYTHONPATH': str(REPOSITORY)})

    def children() -> list[int]:
        return [int(path.name) for path in Path('/proc').iterdir() if path.name.isdigit()
                and parent_of(path) == command.pid]
    wait_until(lambda: len(children()) >= 2)
    time.sleep(1.0)  # they have begun
    started = children()
    command.kill()
    command.wait()
    wait_until(lambda: not any(map(is_running, started)))


def parent_of(process_folder: Path) -> int:
    try:
        return int((process_folder / 'stat').read_text().rpartition(')')[2].split()[1])
    except OSError:
        return 0


def test_a_training_ends_when_its_command_is_killed(tmp_path: Path) -> None:
    (tmp_path / 'starts.py').write_text(SCRIPT)
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    command = subprocess.Popen([sys.executable, 'starts.py', 'pid'], cwd=tmp_path, env=environment)
    wait_until(lambda: (tmp_path / 'pid').is_file() or command.poll() is not None, 300)
    training = int((tmp_path / 'pid').read_text())
    assert is_running(training)
    command.send_signal(signal.SIGKILL)
    command.wait()
    wait_until(lambda: not is_running(training))

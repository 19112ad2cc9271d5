"""cface train: a whole recipe, killed and continued, then measured; what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import yaml
from typer.testing import CliRunner

from cface_basicsr.cli import main as command_line
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.options.shipped import shipped_files
from tests.compat.tiny_training import run
from tests.small_data import write_small_data
from tests.tiny_stages import REPOSITORY

BATCH, LONG, SHORT = 4, 20, 3
"""Faces in a batch, iterations of the step that is killed, and of the others."""

CFACE = [sys.executable, '-m', 'cface_basicsr']


def recipe() -> dict[str, Any]:
    """The demo's recipe at widths and lengths for a test."""
    def of(iterations: int, batch: int = BATCH) -> dict[str, Any]:
        return {'set': {'datasets': {'train': {'batch_size': batch}}, 'train': {'total_iter': iterations}}}
    trained = ('warmup', 'l_si', 'v1', 'v2', 'srgan_more', 'l_si_more', 'v1_more', 'edsr_warmup', 'edsr')
    return {
        'base': str(REPOSITORY / 'options/demo/faces.yml'), 'data': 'data', 'out': 'run',
        'common': {'network_g': {'num_feat': 8, 'num_block': 1}, 'network_d': {'num_feat': 4, 'num_dense': 8},
                   'network_r': {'num_feat': 4, 'feature_length': 16}, 'network_c': {'feature_length': 16},
                   'datasets': {'train': {'num_worker_per_gpu': 0, 'persistent_workers': False},
                                'val': {'num_images': 2}},
                   'logger': {'save_checkpoint_freq': 2}},
        'steps': {'recognizer': of(6, 8), 'judge': of(6, 8), 'stage3': of(4, 8), 'srgan': of(LONG),
                  **{name: of(SHORT) for name in trained}},
        'report': {'tests': {'held-out': {'pairs_per_fold': 8, 'faces': 3}}}}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/ with train/ and test/, and the recipe."""
    folder = tmp_path_factory.mktemp('recipe')
    write_small_data(folder / 'data/train', identities=8, images=3)
    write_small_data(folder / 'data/test', identities=20, images=3, seed=1)
    (folder / 'data/test/manifest.json').write_text('{}')
    (folder / 'r.yml').write_text(yaml.safe_dump(recipe(), sort_keys=False))
    return folder


def kill_in_srgan(folder: Path) -> None:
    process = subprocess.Popen([*CFACE, 'train', 'r.yml'], cwd=folder, stderr=subprocess.DEVNULL,
                               env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPOSITORY)})
    while process.poll() is None and not (folder / 'run/srgan/training_states/2.state').is_file():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / 'run/srgan/finished.json').exists()


@pytest.fixture(scope='module')
def finished(folder: Path) -> tuple[Path, dict[str, Any], str]:
    """(folder, result, what was shown) of the run that was killed with SIGKILL and started again."""
    kill_in_srgan(folder)
    done = run([*CFACE, 'train', 'r.yml', '--json'], folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_killed_run_continues_with_what_is_missing(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, _, shown = finished
    assert [line.split(': ')[0].split('] ')[1] for line in shown.splitlines() if 'already finished' in line] == [
        'recognizer', 'judge', 'index', 'warmup']
    assert 'Resuming training from epoch' in (folder / 'run/logs/srgan.log').read_text()
    for step in ('srgan', 'v2', 'v1_more'):
        assert torch.load(folder / f'run/{step}/models/net_g_latest.pth', weights_only=True)['network']['scale'] == 8


@pytest.mark.slow
def test_the_report_has_every_row_its_budget_and_its_files(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, result, shown = finished
    rows = {row['system']: row for row in result['runs']}
    assert list(rows) == result['systems'] == [
        'HR', 'Bicubic', 'SRGAN', 'L_SI only', 'C-Face-v1', 'C-Face-v2', 'SRGAN, continued', 'L_SI only, continued',
        'C-Face-v1, continued', 'Pixels only (EDSR)', 'C-Face-v1 (EDSR)']
    first, srgan, later = 2 * SHORT * BATCH, (SHORT + LONG) * BATCH, 3 * SHORT * BATCH
    assert [row['images_g'] for row in rows.values()] == [
        None, None, srgan, first, first, later, srgan + SHORT * BATCH, later, later, SHORT * BATCH, first]
    stage_0, stage_3, stage_4 = 6 * 8, 4 * 8, 2 * SHORT * BATCH
    assert [row['images_r'] for row in rows.values()] == [
        None, None, 0, stage_0, stage_0, stage_0 + stage_3 + stage_4, 0, stage_0, stage_0, 0, stage_0]
    for row in rows.values():
        measured = row['measured']['held-out']
        for name in ('loss', 'judge'):
            folds = measured['per_fold'][f'{name}/accuracy']
            assert len(folds) == 10 and measured['numbers'][f'{name}/accuracy'] == pytest.approx(sum(folds) / 10)
            assert 0 <= measured['numbers'][f'{name}/dir'] <= 1
        assert (folder / 'run' / measured['scores']).is_file() and len(row['faces']) == 3
    assert list(result['domains']) == ['after stage 1', 'after stage 3', 'after stage 4']
    assert result == json.loads((folder / 'run/results.json').read_text())
    assert 'C-Face-v2' in (folder / 'run/report.md').read_text()
    assert len((folder / 'run/table.csv').read_text().splitlines()) == 12
    assert cv2.imread(str(folder / 'run/faces.png')).shape[0] > 3 * 128
    assert 'C-Face-v1' in (folder / 'run/after_v1/report.md').read_text()
    assert 'C-Face-v2' not in (folder / 'run/after_v1/report.md').read_text()
    assert 'Held-out identities: 20, 60 images' in shown  # the report after v1 was printed on the way


@pytest.mark.slow
def test_what_was_measured_first_is_measured_again_to_the_same(finished: tuple[Path, dict[str, Any], str]) -> None:
    folder, result, _ = finished
    early = json.loads((folder / 'run/after_v1/results.json').read_text())
    assert early['systems'] == ['HR', 'Bicubic', 'SRGAN', 'L_SI only', 'C-Face-v1']
    assert list(early['domains']) == ['after stage 1']
    assert early['domains']['after stage 1'] == result['domains']['after stage 1']
    assert [run['measured'] for run in early['runs']] == [run['measured'] for run in result['runs'][:5]]


@pytest.mark.slow
def test_the_whole_report_is_drawn_from_the_record_and_compared_with_itself(
        finished: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    folder = finished[0]
    done = CliRunner().invoke(app, ['report', str(folder / 'run'), '--out', str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert 'C-Face-v1, continued' in (tmp_path / 'tables/overview_x8.csv').read_text()
    assert {path.name for path in (tmp_path / 'figures').iterdir()} == {
        'roc_held-out_loss_x8.png', 'roc_held-out_judge_x8.png', 'faces_held-out_x8a.png', 'faces_held-out_x8b.png',
        'fig3_held-out_x8.png', 'fig4_held-out_x8.png'}
    record = str(folder / 'run/results.json')
    rows = json.loads(CliRunner().invoke(app, ['evaluate', '--compare', record, record, '--json']).stdout)['rows']
    assert 'C-Face-v1 → C-Face-v2: accuracy (loss)' in {row['system'] for row in rows}


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_measures_the_same(
        finished: tuple[Path, dict[str, Any], str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, result, _ = finished
    monkeypatch.chdir(folder)
    files = {path: path.stat().st_mtime_ns for path in (folder / 'run').rglob('*.pth')}
    done = CliRunner().invoke(app, ['train', 'r.yml', '--json'], catch_exceptions=False)
    assert done.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / 'run').rglob('*.pth')} == files
    assert json.loads(done.stdout)['runs'] == result['runs']


@pytest.mark.slow
def test_a_changed_option_is_refused_by_name_with_exit_code_2(
        finished: tuple[Path, dict[str, Any], str], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished[0]
    changed = recipe()
    changed['steps']['l_si']['set']['train']['total_iter'] = SHORT + 1
    (folder / 'changed.yml').write_text(yaml.safe_dump(changed, sort_keys=False))
    message = failure(['train', 'changed.yml'], folder, monkeypatch, capsys)
    assert f'train.total_iter was {SHORT}, now {SHORT + 1}' in message[-2]


def failure(arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch,
            capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The last lines that a refused command prints; it exits with code 2."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'argv', ['cface', *arguments])
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('cface: '))
    assert len(lines) - start <= 3
    return lines


@pytest.mark.parametrize(('change', 'message', 'line'), [
    ({'train': {'optim_r': {'lrr': 1}}}, "cface: step 'recognizer': option 'train.optim_r.lrr' is unknown; did", -1),
    ({'network_c': {'num_classes': 77}}, "cface: option 'network_c.num_classes' is 77, but the training set has", -2)],
    ids=['before the first step', 'in the training'])
def test_a_step_that_fails_explains_why_in_three_lines(
        folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: dict[str, Any],
        message: str, line: int) -> None:
    step = {'num_gpu': 0, 'datasets': {'train': {'batch_size': 4}}, **change}
    content = {'name': 'fails', 'scale': 8, 'data': 'data', 'out': 'fails', 'steps': {'recognizer': {
        'options': str(REPOSITORY / 'options/cface_stage0.yml'), 'set': step}}}
    (folder / 'fails.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    lines = failure(['train', 'fails.yml', '--out', f'fails{line}'], folder, monkeypatch, capsys)
    assert message in lines[line]
    assert not (folder / f'fails{line}/recognizer').exists()


def test_missing_data_is_named(
        folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = failure(['train', 'r.yml', '--data', 'nowhere', '--out', 'none'], folder, monkeypatch, capsys)
    assert 'cface prepare' in lines[-1]
    assert not (folder / 'none').exists()


def test_a_leading_recognizer_that_no_step_trains_and_that_is_missing_is_named_before_any_training(
        folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    more = {'set': {'train': {'more_recognizers': ['nowhere.pth']}}}
    (folder / 'led.yml').write_text(yaml.safe_dump({'base': 'r.yml', 'out': 'led', 'steps': {'v1': more}}))
    refused = CliRunner().invoke(app, ['train', 'led.yml'])
    assert str(refused.exception) == "step 'v1': the recognizer's file 'nowhere.pth' is missing."
    assert not (folder / 'led').exists()


def test_a_value_needs_a_name(folder: Path) -> None:
    with pytest.raises(UserError, match='--value: expected NAME=VALUE'):
        CliRunner().invoke(app, ['train', str(folder / 'r.yml'), '--value', 'x'], catch_exceptions=False)


@pytest.mark.parametrize('processes', [1, 3])
def test_a_single_stage_file_is_trained_by_one_process_for_each_rank(
        monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    class Started:
        returncode = 3

        def __init__(self, command: list[str], env: dict[str, str], **_: Any) -> None:
            seen.append((command, env))

        def poll(self) -> int:
            return 3

        def send_signal(self, number: int) -> None:
            pass
    monkeypatch.setattr(subprocess, 'Popen', Started)
    options = str(REPOSITORY / 'options/cface_stage1.yml')
    done = CliRunner().invoke(app, ['train', options, '--nproc', str(processes)])
    assert done.exit_code == 3 and len(seen) == processes
    launched = ['--launcher', 'pytorch'] if processes > 1 else []
    for rank, (command, environment) in enumerate(seen):
        assert command == [sys.executable, '-m', 'cface_basicsr.train', '-opt', options, '--auto_resume', *launched]
        assert (environment['RANK'], environment['LOCAL_RANK']) == (str(rank), str(rank))
        assert environment['CFACE_PARENT'] == str(os.getpid())
        if launched:
            assert (environment['WORLD_SIZE'], environment['MASTER_ADDR']) == ('3', '127.0.0.1')
            assert environment['MASTER_PORT'] == seen[0][1]['MASTER_PORT'] != '0'


def test_a_change_needs_the_step_that_it_changes(folder: Path) -> None:
    with pytest.raises(UserError, match='--set: expected --from-step'):
        CliRunner().invoke(app, ['train', str(folder / 'r.yml'), '--set', 'train.total_iter=2'], catch_exceptions=False)
    with pytest.raises(UserError, match="--from-step: training 'srgann' is unknown; did you mean 'srgan'"):
        CliRunner().invoke(app, ['train', str(folder / 'r.yml'), '--from-step', 'srgann'], catch_exceptions=False)


@pytest.mark.parametrize('words', [['--data', 'data'], ['--out', 'run'], ['--value', 'a=b'], ['--json'],
                                   ['--from-step', 'a'], ['--set', 'a=b']])
def test_what_only_a_recipe_takes_is_refused_for_a_single_training(words: list[str]) -> None:
    done = CliRunner().invoke(app, ['train', str(REPOSITORY / 'options/cface_stage0.yml'), *words])
    assert isinstance(done.exception, UserError)
    assert re.match(rf"{words[0]}: only a recipe takes that, and '.*stage0\.yml' is a single", str(done.exception))


@pytest.mark.parametrize('name', sorted(name for name, path in shipped_files().items()
                                        if 'recipe.json' in path.read_text().split('\n', 1)[0]))
def test_every_shipped_recipe_is_taken_as_one_also_where_its_steps_stand_in_another(tmp_path: Path, name: str) -> None:
    """Its data are missing, which only a recipe says of --data."""
    values = [f'--value={key}=r.onnx' for key in set(re.findall(r'[$](\w+)', shipped_files()[name].read_text()))
              if key != 'schema']
    done = CliRunner().invoke(app, ['train', str(shipped_files()[name]), '--data', str(tmp_path / 'no'), '--out',
                                    str(tmp_path / 'run'), *values])
    assert isinstance(done.exception, UserError) and 'only a recipe' not in str(done.exception)
    assert str(tmp_path / 'no') in str(done.exception) or 'r.onnx' in str(done.exception)

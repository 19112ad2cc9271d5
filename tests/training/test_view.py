"""What somebody who watches a training is told, by the lines of its log only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cface_basicsr.training.view import TrainingView, WarningsOnly, course, memory_of, memory_of_gpus

STATISTICS = ['2026-11-24 00:04:50,101 INFO: Training statistics:', '\tNumber of train images: 1600',
              '\tDataset enlarge ratio: 1', '\tBatch size per gpu: 8', '\tWorld size (gpu number): 2',
              '\tRequire iter number per epoch: 100', '\tTotal epochs: 4; iters: 1300.']


def line(iteration: str, losses: str, data: str = '0.1') -> str:
    return (f'2026-11-24 00:04:54,491 INFO: [demo..][epoch:  3, iter:{iteration}, lr:(1.000e-04,1.000e-03,)] [eta: '
            f'0:00:12, time (data): 0.5 ({data}), 20% waiting for data] {losses} ')


def test_the_log_gives_iterations_rates_the_wait_for_data_and_the_course_of_each_loss() -> None:
    view = TrainingView()
    assert [view.read(each) for each in STATISTICS] == [None] * 7
    assert (view.total, view.batch, view.world) == (1300, 8, 2)
    assert view.read('2026-11-24 00:04:54,000 INFO: Start training from epoch: 0, iter: 200') == 200
    assert view.read(line('   1,250', 'l_g_pix: 4.0000e-01 l_cf_self: 3.0000e-02')) == 1250
    assert view.read(line('   1,251', 'l_g_pix: 2.0000e-01 l_cf_self: 3.0000e-02')) == 1251
    assert view.read('2026-11-24 00:04:55,000 INFO: Saving models and training states.') is None
    assert str(view).splitlines() == ['2 iterations/s, 32 images/s, 20 % waiting for data',
                                      'l_g_pix     2.000e-01  █▁', 'l_cf_self   3.000e-02  ▁▁']


def test_a_training_that_tells_no_rates_and_broken_lines_are_shown_as_far_as_they_go() -> None:
    view = TrainingView()
    assert view.read('[x..][epoch:  0, iter:       1, lr:(1.000e-04,)] l_g_pix: nan l_x: 1e') == 1
    assert str(view).splitlines() == ['', 'l_g_pix         nan   ']
    assert view.read(line('2', '', data='9')) == 2
    assert str(view).startswith('2 iterations/s, 100 % waiting')
    assert view.read(line('3', '').replace('0.5 (', '0.000 (')) == 3
    assert str(view).startswith('\n')


def test_bars_follow_the_values_and_what_is_not_finite_is_a_blank() -> None:
    assert course([0, 1, 2, 3, 4, 5, 6, 7]) == '▁▂▃▄▅▆▇█'
    assert course([7, float('inf'), 0]) == '█ ▁'
    assert course([5.0]) == course([-3.0]) == '▁' and course([]) == ''


@pytest.mark.skipif(not Path('/proc/self/status').is_file(), reason='only Linux tells the memory of processes')
def test_the_memory_is_that_of_the_training_and_of_what_it_has_started() -> None:
    code = 'import subprocess, sys; subprocess.run([sys.executable, "-c", sys.argv[1]])'
    hold = 'data = bytearray(b"x" * 300_000_000); print("held", flush=True); import time; time.sleep(60)'
    with subprocess.Popen([sys.executable, '-c', code, hold], stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as parent:
        assert parent.stdout.readline() == 'held\n'
        assert memory_of([parent.pid]) == '0.3 GB of memory'
        os.killpg(parent.pid, 9)
    assert memory_of([parent.pid]) == '' == memory_of([])


def test_the_memory_of_gpus_is_what_nvidia_smi_says_of_those_that_are_seen(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    assert memory_of_gpus() == ''
    program = tmp_path / 'nvidia-smi'
    program.write_text('#!/bin/sh\necho 1907\n[ "$3" = --id=0,1 ] && echo 9537\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert memory_of_gpus() == '2.0 GB taken on the GPU'
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,1')
    assert memory_of_gpus() == '2.0 + 10.0 GB taken on the GPU'
    program.write_text('#!/bin/sh\necho 1907; echo "$3" >&2\n')
    for none in ('', '-1', ' ', 'none'):
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', none)
        assert memory_of_gpus() == ''
    program.write_text('#!/bin/sh\n[ "$3" = --id=1,GPU-8f2 ] && echo 1907\nexit 0\n')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '1, GPU-8f2,-1,0')
    assert memory_of_gpus() == '2.0 GB taken on the GPU'
    program.write_text('#!/bin/sh\necho no device; exit 9\n')
    assert memory_of_gpus() == ''


def test_quiet_leaves_warnings_and_errors_with_the_lines_that_belong_to_them() -> None:
    chosen = WarningsOnly()
    lines = ['Disable distributed.', '/x/y.py:5: UserWarning: early', '2026-11-24 00:04:50,101 INFO: a', '  of a',
             'Version Information:', '2026-11-24 00:04:50,102 WARNING: b', '  of b', '2026-11-24 00:04:50,103 INFO: c',
             'Traceback (most recent call last):', '  File "x"', 'cface: stopped']
    assert [each for each in lines if chosen.shows(each)] == [
        '/x/y.py:5: UserWarning: early', '2026-11-24 00:04:50,102 WARNING: b', '  of b', *lines[-3:]]

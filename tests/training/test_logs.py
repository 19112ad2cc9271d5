"""BasicSR's logs, read again: losses over iterations and the time of an iteration."""

import os
from pathlib import Path

import pytest

from cface_basicsr.training.logs import (
    losses_over_iterations,
    read_log,
    seconds_an_iteration,
    training_logs,
)


def line(second: float, iteration: int, losses: str) -> str:
    whole, part = divmod(round(second * 1000), 1000)
    return (f'2026-11-24 00:00:{whole:02d},{part:03d} INFO: [demo..][epoch:  3, iter:{iteration:8,d}, '
            f'lr:(1.000e-04,2.000e-04,)] [eta: 0:00:12, time (data): 0.100 (0.000)] {losses} ')


def write(path: Path, *lines: str) -> Path:
    path.write_text('\n'.join(['some other text', *lines]) + '\n')
    return path


def test_a_line_gives_time_iteration_and_losses_alone(tmp_path: Path) -> None:
    log = write(tmp_path / 'a', line(1.25, 1250, 'l_g_pix: 1.2000e-01 l_d_real: -3.0000e-02 lr_g: 1.0000e-04'))
    (when, iteration, losses), = read_log(log)
    assert (iteration, losses) == (1250, {'l_g_pix': 0.12, 'l_d_real': -0.03})
    assert when % 60 == pytest.approx(1.25)


def test_the_time_of_an_iteration_is_the_median_between_lines(tmp_path: Path) -> None:
    log = write(tmp_path / 'a', line(0, 10, ''), line(1, 20, ''), line(9, 30, ''), line(10, 40, ''))
    assert seconds_an_iteration([log]) == pytest.approx(0.1)
    assert seconds_an_iteration([write(tmp_path / 'b', line(0, 10, ''))]) is None


def test_a_resumed_training_is_one_curve_and_its_later_lines_count(tmp_path: Path) -> None:
    first = write(tmp_path / 'train_x_1.log', line(0, 10, 'l_pix: 3.0e+00'), line(1, 20, 'l_pix: 2.0e+00'))
    later = write(tmp_path / 'train_x_2.log', line(0, 20, 'l_pix: 9.0e+00'), line(1, 30, 'l_pix: 1.0e+00'))
    os.utime(first, (1, 1))
    os.utime(later, (2, 2))
    assert training_logs(tmp_path) == [first, later]
    assert losses_over_iterations(training_logs(tmp_path)) == [(10, {'l_pix': 3.0}), (20, {'l_pix': 9.0}),
                                                              (30, {'l_pix': 1.0})]


def test_many_lines_become_few_points_of_their_means(tmp_path: Path) -> None:
    log = write(tmp_path / 'a', *(line(0, i, f'l_pix: {i}.0e+00') for i in range(1, 9)))
    assert losses_over_iterations([log], points=4) == [(2, {'l_pix': 1.5}), (4, {'l_pix': 3.5}), (6, {'l_pix': 5.5}),
                                                      (8, {'l_pix': 7.5})]

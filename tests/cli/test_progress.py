"""The progress of long work: bars in a terminal, plain lines elsewhere, and how long it will still take."""

import io
import re

import pytest
from rich.console import Console

from cface_basicsr.cli import show as shown
from cface_basicsr.cli.show import ShowSteps
from cface_basicsr.cli.train import _shown_by, _warnings
from cface_basicsr.training.view import TrainingView


class Clock:
    """Stands in for `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(shown, 'time', clock)
    return clock


def steps(terminal: bool, **options: object) -> tuple[ShowSteps, io.StringIO]:
    file = io.StringIO()
    return ShowSteps(2, Console(file=file, force_terminal=terminal, width=100, **options)), file


def test_the_time_left_counts_what_was_done_since_the_work_went_on(clock: Clock) -> None:
    show, file = steps(terminal=False)
    show.start('v1', 1000)
    clock.now += 60  # imports, data
    show.advance(900)  # it goes on from there
    assert show.left() is None
    clock.now += 16
    show.advance(908)
    assert show.left() == 2.0 * 92
    clock.now += 10
    assert show.left() == 2.0 * 92 - 10
    assert file.getvalue() == '    v1: 900 of 1000\n    v1: 908 of 1000, about 3 min left\n'


def test_without_a_terminal_a_line_tells_what_is_done_and_counts_only_what_is_finished(clock: Clock) -> None:
    show, file = steps(terminal=False)
    show.start('photographs', 2)
    show.advance(0)
    clock.now += 16
    show.advance(0.5, 'looking for faces, tile 5 of 10, in [b]a.png')
    clock.now += 16
    show.advance(1.0, 'two\nlines')
    assert file.getvalue().splitlines() == [
        '    photographs: 0 of 2, about 48 s left (looking for faces, tile 5 of 10, in [b]a.png)',
        '    photographs: 1 of 2, about 32 s left']


def test_each_step_has_its_own_time_and_nothing_is_said_where_the_length_is_unknown(clock: Clock) -> None:
    show, file = steps(terminal=False)
    show.start('a', 100)
    show.advance(0)
    clock.now += 1
    show.advance(100)
    assert show.left() == 0
    show.end('a', 'done')
    show.start('b', 0)
    show.advance(5)
    clock.now += 16
    show.advance(7)
    assert show.left() is None
    assert file.getvalue() == '[1/2] a: done\n    b: 7 of ?\n'


def test_a_terminal_shows_the_lines_about_a_step_below_its_bar_and_takes_them_away(clock: Clock) -> None:
    show, file = steps(terminal=True, color_system=None)
    with show:
        show.start('v1', 1000)
        show.advance(0)
        clock.now += 100
        show.advance(500, '5 images/s\nl_g_pix  0.5')
        show.progress.refresh()
        text = file.getvalue()
        assert re.search(r'\[1/2\] v1 [^\n]* 500/1000 [^\n]* about 2 min left *\n', text)  # 500 in 100 s
        assert '\n5 images/s' in text and '\nl_g_pix  0.5' in text
        show.advance(501, '3 per second')
        assert not show.progress.below
        show.end('v1', 'done')
        assert not show.progress.below


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1'])
def test_a_terminal_without_such_letters_gets_others(clock: Clock, encoding: str) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    show = ShowSteps(1, Console(file=file, force_terminal=True, width=80))
    with show:
        show.start('v1', 10)
        show.advance(1, 'l_g_pix  ▁█\nl_d  ▁')
        show.progress.refresh()
    file.flush()
    assert b'l_g_pix  ??' in file.buffer.getvalue()


def test_no_color_is_respected_in_a_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def colors(**environment: str) -> bool:
        file = io.StringIO()
        show = ShowSteps(1, Console(file=file, force_terminal=True, color_system='standard', _environ=environment))
        with show:
            show.start('v1', 10)
            show.advance(1, 'a\nb')
            show.progress.refresh()
        return any(f'\x1b[{code}' in file.getvalue() for code in ('3', '9', '38'))
    assert colors()
    assert not colors(NO_COLOR='1')


LINES = ['2026-11-24 00:04:50,101 INFO: Training statistics:', '\tTotal epochs: 4; iters: 1300.',
         '2026-11-24 00:04:50,102 INFO: Start training from epoch: 0, iter: 0',
         '2026-11-24 00:04:51,100 INFO: [x..][epoch:  0, iter:     100, lr:(1.000e-04,)] [eta: 0:00:12, time (data): '
         '0.5 (0.1)] l_g_pix: 4.0000e-01 ', '2026-11-24 00:04:52,100 WARNING: [odd] name']


def test_a_single_training_is_drawn_in_place_and_all_else_that_it_prints_stays_above() -> None:
    show, file = steps(terminal=True, color_system=None)
    view = TrainingView()
    with show:
        for line in LINES:
            _shown_by(show, 'stage1')(line, view)
        show.progress.refresh()
        shown_text = file.getvalue()
    assert re.search(r'\[1/2\] stage1 [^\n]* 100/1300 ', shown_text)
    assert re.search(r'\n2 iterations/s, 20 % waiting for data.*\nl_g_pix   4.000e-01  ▁ *$', shown_text)
    assert LINES[0] in shown_text and LINES[-1] in shown_text and LINES[3] not in shown_text


def test_quiet_leaves_the_warnings_of_a_single_training(capsys: pytest.CaptureFixture) -> None:
    watch = _warnings()
    for line in LINES:
        watch(line, TrainingView())
    assert capsys.readouterr() == ('', f'{LINES[-1]}\n')

"""What steps leave for the log: read all at once, whenever that is, and the first NaN is the one that is named."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from cface_basicsr.errors import UserError
from cface_basicsr.models import step_log
from cface_basicsr.models.step_log import StepLog


def kept(log: StepLog, iteration: int, *values: float) -> None:
    log.keep(iteration, [{f'l_{number}': torch.tensor(value) for number, value in enumerate(values)}],
             [f'image {iteration}'])


def test_the_log_shows_the_last_step_as_often_as_it_is_read(tmp_path: Path) -> None:
    log = StepLog(tmp_path, 0)
    kept(log, 1, 1.0, 2.0)
    kept(log, 2, 3.0)
    for _ in range(2):
        assert log.read({'acc': torch.tensor(0.5)}) == {'l_0': 3.0, 'acc': 0.5}
    log.check()
    kept(log, 3, 4.0)
    log.check()
    assert log.read() == {'l_0': 4.0}


def test_the_log_shows_the_mean_of_the_parts_of_a_batch(tmp_path: Path) -> None:
    log = StepLog(tmp_path, 0)
    log.keep(1, [{'l': torch.tensor(1.0), 'out': torch.tensor([[3.0], [5.0]])},
                 {'l': torch.tensor(2.0), 'out': torch.tensor([[0.0], [0.0]])}], [])
    assert log.read() == {'l': 1.5, 'out': 2.0}


def test_nothing_was_kept_and_nothing_is_wrong(tmp_path: Path) -> None:
    StepLog(tmp_path, 0).check()


@given(some.lists(some.lists(some.sampled_from([0.0, 1.5, math.nan, math.inf, -math.inf]), min_size=1, max_size=3),
                  min_size=1, max_size=8), some.sets(some.integers(0, 7)))
def test_whenever_it_is_read_the_first_step_with_a_nan_is_named(tmp_path_factory: pytest.TempPathFactory,
                                                                steps: list[list[float]], readings: set[int]) -> None:
    log = StepLog(tmp_path_factory.getbasetemp(), 3)
    said = None
    for number, values in enumerate(steps):
        kept(log, number, *values)
        if number in readings or number == len(steps) - 1:
            try:
                log.check()
            except UserError as error:
                said = str(error)
                break
    bad = [(number, [f'l_{at}' for at, value in enumerate(values) if not math.isfinite(value)])
           for number, values in enumerate(steps)]
    first = next(((number, names) for number, names in bad if names), None)
    assert (said is None) == (first is None)
    if first:
        assert said.startswith(f"{', '.join(first[1])} became NaN or Inf at iteration {first[0]};")
        assert f'nan_iter{first[0]}_rank3.json' in said


def test_a_log_that_is_hardly_ever_read_keeps_no_more_than_some_steps(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_log, 'MOST_STEPS', 3)
    log = StepLog(tmp_path, 0)
    kept(log, 1, math.nan)
    kept(log, 2, 1.0)
    kept(log, 3, 1.0)
    with pytest.raises(UserError, match='at iteration 1'):
        kept(log, 4, 1.0)

"""A resumed training equals the unbroken one, from any directory, on a CPU."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.compat.conftest import (
    assert_equal_weights,
    holds_by_row,
    log_of,
    mended,
    tiny_options,
    train_here,
    weights,
)


class Interrupted(Exception):
    """What the test kills a training with."""


def train_with_break(options: dict[str, Any], folder: Path, stop_at: int) -> None:
    """Train until an exception strikes in the middle of iteration `stop_at`."""
    from basicsr.models.sr_model import SRModel
    step = SRModel.optimize_parameters

    def broken(self: Any, current_iter: int) -> None:
        step(self, current_iter)
        if current_iter == stop_at:
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(SRModel, 'optimize_parameters', broken)
        train_here(options, folder)


@pytest.mark.parametrize('saved_at', [3, 4])  # in the middle of epoch 1, and right behind its last iteration
def test_a_resumed_training_ends_with_the_weights_of_the_unbroken_one(
        pictures: Path, tmp_path: Path, saved_at: int) -> None:
    options = tiny_options(pictures, **{'logger.save_checkpoint_freq': saved_at,
                                        'datasets.train.num_worker_per_gpu': 2, 'val.val_freq': 4})

    with mended():
        train_here(options, tmp_path / 'unbroken')

    def check() -> None:
        broken = tmp_path / 'broken'
        train_with_break(options, broken, stop_at=saved_at + 1)
        train_here(options, broken, '--auto_resume')
        assert f'iter: {saved_at}.' in log_of(broken)
        assert_equal_weights(weights(broken), weights(tmp_path / 'unbroken'))

    holds_by_row(check, 'mid-epoch')

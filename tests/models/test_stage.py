"""Clipped gradients: what an optimizer of a StageModel does with them before it steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.models.stage import clip_before_each_step
from cface_basicsr.options import Optimizer, open_section
from tests.tiny_stages import batch_of, build, tiny


def stepped(gradients: list[float], lr: float = 0.1, **clip: float) -> list[float]:
    """How far SGD moves weights with these gradients."""
    weights = [nn.Parameter(torch.zeros(1)) for _ in gradients]
    optimizer = torch.optim.SGD(weights, lr=lr)
    clip_before_each_step(optimizer, **clip)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = torch.tensor([gradient])
    optimizer.step()
    return [weight.item() for weight in weights]


def test_clip_norm_scales_all_gradients_together_down_to_that_length() -> None:
    assert stepped([3.0, -4.0], clip_norm=1.0) == pytest.approx([-0.1 * 0.6, 0.1 * 0.8])
    assert stepped([0.3, -0.4], clip_norm=1.0) == pytest.approx([-0.03, 0.04])  # short enough already
    assert stepped([3.0, -4.0]) == pytest.approx([-0.3, 0.4])


@pytest.mark.parametrize('lr', [0.1, 0.001])
def test_clip_step_lets_no_weight_move_farther_than_that_whatever_the_learning_rate(lr: float) -> None:
    moved = stepped([1000.0, -2000.0, 0.5], lr=lr, clip_step=0.01)
    assert moved == pytest.approx([-0.01, 0.01, -0.5 * lr if 0.5 * lr < 0.01 else -0.01])


def test_clip_step_follows_a_falling_learning_rate() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    clip_before_each_step(optimizer, clip_step=0.01)
    clipped = []
    for lr in (0.1, 0.01):
        optimizer.param_groups[0]['lr'] = lr
        weight.grad = torch.tensor([1000.0])
        optimizer.step()
        clipped.append(weight.grad.item())
    assert clipped == pytest.approx([0.01 / 0.1, 0.01 / 0.01])  # VDSR: theta / gamma


@pytest.mark.parametrize('wrong', [{'clip_norm': 0.0}, {'clip_step': -1.0}])
def test_a_bound_that_lets_nothing_through_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"'train.optim_g.{next(iter(wrong))}'"):
        open_section(Optimizer, {'lr': 0.1, **wrong}, 'train.optim_g')


def test_vdsr_is_trained_with_clipped_gradients_from_its_own_option_file(data: Path, tmp_path: Path) -> None:
    model: Any = build(tiny('baselines/vdsr_x8.yml', data), tmp_path)
    model.feed_data(batch_of(model))
    model.optimize_parameters(1)
    length = torch.stack([p.grad.norm() for p in model.net_g.parameters()]).norm()
    assert length.item() == pytest.approx(0.4, rel=1e-4)  # the sum over a face's pixels is far longer
    assert model.get_current_log()['lr_g'] == 0.1
    (optimizer,) = model.optimizers
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.param_groups[0]['momentum'] == 0.9
    factor = model.schedulers[0].lr_lambdas[0]
    assert [factor(it) for it in (0, 2489, 2490, 4980, 7470)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])

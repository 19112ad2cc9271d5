"""Optimizers of a StageModel: what they do with gradients before a step, and the rates of biases."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.models.stage import clip_before_each_step
from cface_basicsr.options import merge, open_section, read_option_file
from cface_basicsr.options.training import Optimizer, Schedule
from tests.tiny_stages import REPOSITORY, batch_of, build, parsed, tiny


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


@pytest.mark.parametrize('schedule', [{'type': 'epoch', 'gamma': 0.5}, {'type': 'constant'},
                                      {'type': 'steps', 'milestones': [8, 12], 'gamma': 0.1},
                                      {'type': 'cosine', 'period': 15, 'gamma': 0.2}])
def test_biases_keep_their_multiple_of_the_rate_through_warm_up_and_schedule(
        data: Path, tmp_path: Path, schedule: dict[str, Any]) -> None:
    section = {'lr': 0.1, 'weight_decay': 0.5, 'bias': {'lr': 2, 'decay': 0}, 'schedule': schedule}
    model: Any = build(merge(tiny('baselines/vdsr_x8.yml', data), {'train': {'optim_g': {'type': 'SGD', **section}}}),
                       tmp_path)
    weights, biases = model.optimizer_g.param_groups
    assert [p.ndim for p in biases['params']] == [1, 1, 1] and all(p.ndim == 4 for p in weights['params'])
    assert (weights['weight_decay'], biases['weight_decay']) == (0.5, 0)
    for iteration in range(1, 20):
        model.optimizer_g.step()
        model.update_learning_rate(iteration, warmup_iter=5)
        assert biases['lr'] == pytest.approx(2 * weights['lr'], rel=1e-12)
        factor = iteration / 5 if iteration < 5 else Schedule(**schedule).factor(iteration - 1, 3)
        assert model.current_lrs() == {'lr_g': pytest.approx(0.1 * factor)}


def test_a_bias_is_clipped_to_a_step_by_its_own_rate(data: Path, tmp_path: Path) -> None:
    model: Any = build(merge(tiny('baselines/vdsr_x8.yml', data), {'train': {'optim_g': {
        'momentum': 0.0, 'weight_decay': 0.0, 'clip_norm': None, 'clip_step': 0.01, 'bias': {'lr': 3}}}}), tmp_path)
    before = [p.detach().clone() for p in model.net_g.parameters()]
    for p in model.net_g.parameters():
        p.grad = torch.full_like(p, 1000.0)
    model.optimizer_g.step()
    for was, p in zip(before, model.net_g.parameters(), strict=True):
        torch.testing.assert_close(was - p, torch.full_like(p, 0.01))


def at_full_width(file: str, data: Path) -> dict[str, Any]:
    opt = tiny(f'baselines/{file}_x8.yml', data)
    return opt | {'network_g': read_option_file(REPOSITORY / f'options/baselines/{file}_x8.yml')['network_g']}


@pytest.mark.parametrize(('bias', 'message'), [
    ({'lr': -1}, r"option 'train\.optim_g\.bias\.lr': input should be greater than or equal to 0, got -1"),
    ({'lr': float('nan')}, r"option 'train\.optim_g\.bias\.lr': input should be a finite number, got nan"),
    ({'decay': 'none'}, r"option 'train\.optim_g\.bias\.decay': input should be a valid number.*, got 'none'"),
    ({'lr_mult': 2}, r"option 'train\.optim_g\.bias\.lr_mult' is unknown; valid: decay, lr"),
    (2, r"option 'train\.optim_g\.bias': input should be a section, got 2"),
    ([2, 0], r"option 'train\.optim_g\.bias': input should be a section")])
@pytest.mark.parametrize('file', ['vdsr', 'sicnn_pre'])
def test_wrong_multipliers_are_refused_in_one_line_by_our_models_and_by_basicsrs(
        data: Path, tmp_path: Path, file: str, bias: Any, message: str) -> None:
    opt = at_full_width(file, data)
    opt['train']['optim_g']['bias'] = bias
    with pytest.raises(UserError, match=message) as caught:
        parsed(opt, tmp_path)
    assert '\n' not in str(caught.value)


def test_a_schedule_to_one_rate_for_all_contradicts_multipliers(data: Path, tmp_path: Path) -> None:
    cosine = {'type': 'CosineAnnealingRestartLR', 'periods': [6], 'eta_min': 1e-7}
    opt = merge(at_full_width('sicnn_pre', data), {'train': {'scheduler': cosine}})
    with pytest.raises(UserError, match=r"^option 'train\.scheduler\.eta_min': biases would fall to the rate of"):
        parsed(opt, tmp_path)
    parsed(merge(opt, {'train': {'optim_g': {'bias': None}}}), tmp_path)

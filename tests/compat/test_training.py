"""EMA of BatchNorm buffers; optimizers beyond Adam, and their rates for biases."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr import compat
from cface_basicsr.errors import UserError
from tests.compat.tiny_training import holds_by_row, patched, tiny_options, train_here


def model_with(network: nn.Module, average: nn.Module | None = None) -> Any:
    from basicsr.models.base_model import BaseModel
    model = BaseModel({'num_gpu': 0, 'is_train': True, 'dist': False})
    model.net_g, model.net_g_ema = network, average
    return model


def normalized() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def test_the_averaged_network_has_the_running_statistics_of_the_trained_one() -> None:
    def check() -> None:
        model = model_with(normalized(), normalized())
        before = model.net_g_ema[1].weight.clone()
        nn.init.constant_(model.net_g[1].weight, 3.)
        model.net_g(torch.randn(8, 1, 4, 4) + 5)
        model.model_ema(0.9)
        torch.testing.assert_close(model.net_g_ema[1].weight, 0.9 * before + 0.1 * 3.)  # parameters are averaged
        assert torch.equal(model.net_g_ema[1].running_mean, model.net_g[1].running_mean)
        assert model.net_g_ema[1].num_batches_tracked == 1

    holds_by_row(check, 'ema-buffers')


def test_any_optimizer_of_torch_can_be_chosen() -> None:
    def check() -> None:
        optimizer = model_with(normalized()).get_optimizer('SGD', [nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
        assert type(optimizer) is torch.optim.SGD
        assert (optimizer.defaults['lr'], optimizer.defaults['momentum']) == (0.1, 0.9)

    holds_by_row(check, 'optimizers', defect=NotImplementedError)


def test_a_misspelt_optimizer_is_named_with_its_neighbour() -> None:
    with patched(), pytest.raises(UserError, match="'Adem'.*did you mean 'Adam'"):
        if 'optimizers' not in compat.applied():
            pytest.skip('this BasicSR knows more than Adam and is left as it is')
        model_with(normalized()).get_optimizer('Adem', [nn.Parameter(torch.ones(1))], lr=0.1)


def named(*names: str) -> nn.Module:
    """A network whose parameters have these names, in modules that are called by what comes before the dot."""
    network = nn.Module()
    for name in names:
        module, _, leaf = name.rpartition('.')
        if module not in dict(network.named_modules()):
            network.add_module(module, nn.Module())
        network.get_submodule(module).register_parameter(leaf, nn.Parameter(torch.ones(1)))
    return network


BIASES = ['a.bias', 'b.bias', 'attention.in_proj_bias', 'lstm.bias_ih_l0', 'lstm.bias_hh_l0_reverse']
OTHERS = ['a.weight', 'b.weight', 'window.relative_position_bias_table', 'c.unbiased']


def test_biases_have_rates_of_their_own_and_are_known_by_their_names() -> None:
    def check() -> None:
        model = model_with(named(*OTHERS, *BIASES))
        optimizer = model.get_optimizer('Adam', model.net_g.parameters(), lr=0.1, weight_decay=0.5,
                                        bias={'lr': 2, 'decay': 0.1})
        names = {id(p): name for name, p in model.net_g.named_parameters()}
        found = [([names[id(p)] for p in group['params']], group['lr'], group['weight_decay'])
                 for group in optimizer.param_groups]
        assert [(sorted(group), *rates) for group, *rates in found] == [
            (sorted(OTHERS), 0.1, 0.5), (sorted(BIASES), 0.2, 0.05)]

    holds_by_row(check, 'bias-rates', defect=TypeError)


def test_without_multipliers_or_without_biases_there_is_one_group_as_before() -> None:
    with patched():
        for names, bias in ((OTHERS, {'lr': 2}), (BIASES + OTHERS, None), (BIASES + OTHERS, {})):
            model = model_with(named(*names))
            optimizer = model.get_optimizer('Adam', model.net_g.parameters(), lr=0.1, bias=bias)
            (group,) = optimizer.param_groups
            assert group['params'] == list(model.net_g.parameters()) and group['lr'] == 0.1


def test_the_default_decay_of_an_optimizer_is_multiplied_too() -> None:
    with patched():
        model = model_with(named('a.weight', 'a.bias'))
        decays = {kind: [group['weight_decay'] for group in model.get_optimizer(
            kind, model.net_g.parameters(), lr=0.1, bias={'decay': 0.5}).param_groups] for kind in ('AdamW', 'SGD')}
        assert decays == {'AdamW': [0.01, 0.005], 'SGD': [0, 0]}


@pytest.mark.parametrize('scheduler', [
    {'type': 'MultiStepLR', 'milestones': [8, 12], 'gamma': 0.5},
    {'type': 'MultiStepRestartLR', 'milestones': [8], 'gamma': 0.5, 'restarts': [0, 14], 'restart_weights': [1, 0.5]},
    {'type': 'CosineAnnealingRestartLR', 'periods': [10, 10], 'restart_weights': [1, 0.5]}])
def test_biases_keep_their_multiple_of_the_rate_through_warm_up_and_every_schedule_of_basicsr(
        scheduler: dict[str, Any]) -> None:
    with patched():
        model = model_with(named('a.weight', 'a.bias'))
        model.opt['train'] = {'scheduler': dict(scheduler)}
        model.optimizers.append(model.get_optimizer('SGD', model.net_g.parameters(), lr=0.1, bias={'lr': 2}))
        model.setup_schedulers()
        seen = []
        for iteration in range(1, 20):
            model.optimizers[0].step()
            model.update_learning_rate(iteration, warmup_iter=5)
            weights, biases = (group['lr'] for group in model.optimizers[0].param_groups)
            assert biases == pytest.approx(2 * weights, rel=1e-12)
            seen.append(weights)
        assert seen[:4] == pytest.approx([0.02, 0.04, 0.06, 0.08]) and seen[-1] < seen[4]


@pytest.mark.parametrize(('every', 'at'), [(5, [5, 10]), (10, [10]), (4, [4, 8, 10]), (100, [10])])
def test_a_training_validates_each_iteration_once_and_the_last_always(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, at: list[int]) -> None:
    validated = []
    monkeypatch.setattr('cface_basicsr.compat.validation._measure',
                        lambda model, loader, number, save_img: validated.append(number))
    monkeypatch.setattr('cface_basicsr.compat.validation._conclude', lambda *_: None)
    options = tiny_options(pictures, **{'train.total_iter': 10, 'val.val_freq': every})

    def check() -> None:
        validated.clear()
        train_here(options, tmp_path / 'run')
        assert validated == at

    if 10 % every:
        with patched():
            return check()
    holds_by_row(check, 'validation-once')


def test_a_test_and_another_set_are_always_measured() -> None:
    model = model_with(normalized())
    measured = []
    model.nondist_validation = lambda loader, number, *rest: measured.append((loader, number))
    one, two = ['one'], ['two']
    with patched():
        for loader, number in ((one, 5), (two, 5), (one, 5), (one, 6), (two, 5)):
            model.validation(loader, number, None)
        assert measured == [(one, 5), (two, 5), (one, 6)]
        model.is_train = False
        model.validation(two, 5, None)
    assert len(measured) == 4


def test_no_time_is_left_at_the_last_iteration_and_before_it_that_of_those_to_come(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """800 s for the 8 iterations that BasicSR counts at iteration 7."""
    from basicsr.utils import logger

    def check() -> None:
        shown = logger.MessageLogger({'name': 'run', 'logger': {'print_freq': 1, 'use_tb_logger': False},
                                      'train': {'total_iter': 10}}, start_iter=0)
        said, shown.start_time = [], 0.0
        shown.logger = type('Log', (), {'info': staticmethod(said.append)})
        for iteration in (7, 9, 10):
            monkeypatch.setattr(logger.time, 'time', lambda now=100.0 * (iteration + 1): now)
            shown({'epoch': 0, 'iter': iteration, 'lrs': [0.1], 'time': 100.0, 'data_time': 0.0})
        assert [re.search(r'eta: (.*), time', line)[1] for line in said] == ['0:05:00', '0:01:40', '0:00:00']

    holds_by_row(check, 'time-left')


def test_a_line_of_the_log_says_which_share_of_a_step_waited_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.utils import logger

    def check() -> None:
        said: list[str] = []
        monkeypatch.setattr(logger.get_root_logger(), 'info', said.append)
        shown = logger.MessageLogger({'name': 'run', 'logger': {'print_freq': 1, 'use_tb_logger': False},
                                      'train': {'total_iter': 9}})
        for times in ({'time': 0.5, 'data_time': 0.12}, {'time': 0.5, 'data_time': 0.0}, {}):
            shown({'epoch': 0, 'iter': 1, 'lrs': [1e-4], 'l_pix': 2.0} | times)
        assert [re.sub(r'.*lr:.*?\)\] (\[eta: [^,]*, )?', '', line) for line in said] == [
            'time (data): 0.500 (0.120), 24% waiting for data] l_pix: 2.0000e+00 ',
            'time (data): 0.500 (0.000), 0% waiting for data] l_pix: 2.0000e+00 ',
            'l_pix: 2.0000e+00 ']

    holds_by_row(check, 'data-share')

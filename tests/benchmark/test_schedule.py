"""A published training cut to a budget keeps its schedules at the same fractions."""

import pytest

from cface_basicsr.benchmark.plan import cut_to
from cface_basicsr.errors import UserError
from cface_basicsr.options import merge
from cface_basicsr.options.training import Schedule


def test_milestones_of_basicsrs_scheduler_become_fractions() -> None:
    train = {'total_iter': 1_000_000, 'scheduler': {'type': 'MultiStepLR', 'gamma': 0.5,
                                                    'milestones': [200_000, 400_000, 600_000, 800_000]}}
    cut = merge(train, cut_to(train, 500))
    assert cut == {'total_iter': 500, 'scheduler': {'type': 'MultiStepLR', 'gamma': 0.5,
                                                    'milestones': [100, 200, 300, 400]}}


def test_milestones_of_our_own_schedules_become_fractions() -> None:
    train = {'total_iter': 9960, 'optim_g': {'lr': 0.1, 'schedule': {'type': 'steps', 'gamma': 0.1,
                                                                     'milestones': [2490, 4980, 7470]}}}
    cut = merge(train, cut_to(train, 80))
    assert cut['optim_g'] == {'lr': 0.1, 'schedule': {'type': 'steps', 'gamma': 0.1, 'milestones': [20, 40, 60]}}


def test_the_period_of_a_cosine_becomes_a_fraction() -> None:
    train = {'total_iter': 400, 'optim_g': {'lr': 0.1, 'schedule': {'type': 'cosine', 'period': 400}}}
    assert merge(train, cut_to(train, 100))['optim_g']['schedule'] == {'type': 'cosine', 'period': 100}


def test_a_schedule_by_epochs_has_the_same_rate_at_each_fraction() -> None:
    """Ten epochs of 50 iterations, cut to 100 iterations: the rate at any fraction is the published one."""
    schedule = {'type': 'epoch', 'gamma': 0.9}
    train = {'total_epoch': 10, 'optim_g': {'lr': 1.0, 'schedule': schedule}}
    cut = merge(train, cut_to(train, 100))
    assert cut['total_iter'] == 100 and 'total_epoch' not in cut
    published, ours = Schedule(**schedule), Schedule(**cut['optim_g']['schedule'])
    for iteration in range(100):
        assert ours.factor(iteration, 1) == published.factor(5 * iteration, 50)


def test_a_cosine_ends_at_the_same_fraction() -> None:
    train = {'total_iter': 450, 'optim_g': {'lr': 1.0, 'schedule': {'type': 'cosine', 'period': 300}}}
    cut = merge(train, cut_to(train, 150))['optim_g']['schedule']
    assert Schedule(**cut) == Schedule(type='cosine', period=100)


def test_iterations_of_a_head_alone_become_a_fraction() -> None:
    train = {'total_iter': 400, 'head_only_iter': 300, 'optim_r': {'lr': 1.0}}
    assert cut_to(train, 500)['head_only_iter'] == 375


def test_periods_still_cover_the_whole_training() -> None:
    train = {'total_iter': 1000, 'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [250, 250, 250, 250]}}
    assert sum(cut_to(train, 10)['scheduler']['periods']) >= 10


def test_no_milestone_falls_before_the_first_iteration() -> None:
    train = {'total_iter': 1000, 'scheduler': {'milestones': [1, 999]}}
    assert cut_to(train, 5)['scheduler']['milestones'] == [1, 5]


def test_a_training_without_a_length_is_refused() -> None:
    with pytest.raises(UserError, match="neither 'total_iter' nor 'total_epoch'"):
        cut_to({'optim_g': {'lr': 1}}, 10)


def test_a_schedule_that_does_not_fit_the_length_is_refused() -> None:
    with pytest.raises(UserError, match="type 'epoch' goes with total_epoch"):
        cut_to({'total_iter': 10, 'optim_g': {'lr': 1, 'schedule': {'type': 'epoch', 'gamma': 0.9}}}, 5)

"""A published training cut to another length: all counts of iterations become the same fraction of the new length."""

import math
from collections.abc import Mapping
from typing import Any

from cface_basicsr.errors import UserError

_COUNTS = ('head_only_iter', 'net_d_init_iters')
"""Keys of `train:` that count iterations, besides the schedules."""


def cut_to(train: Mapping[str, Any], iterations: int) -> dict[str, Any]:
    """Changes to a `train:` section so that it runs `iterations` with its schedules at the same fractions.

    A schedule that falls each epoch gets milestones at the borders of as many equal parts as there were epochs, since
    a small budget may hold no whole epoch.

    Raises:
        UserError: the section has no length of its own.

    >>> cut_to({'total_iter': 100, 'scheduler': {'milestones': [50, 75]}}, 20)
    {'total_iter': 20, 'total_epoch': None, 'scheduler': {'milestones': [10, 15]}}
    """
    published = train.get('total_iter') or train.get('total_epoch')
    if not published:
        raise UserError("benchmark: a training names neither 'total_iter' nor 'total_epoch'; expected one of them.")
    epochs = None if train.get('total_iter') else train['total_epoch']
    changes: dict[str, Any] = {'total_iter': iterations, 'total_epoch': None}
    for key, values in train.items():
        if key.startswith('optim_') and isinstance(values, Mapping) and values.get('schedule'):
            changes[key] = {'schedule': _schedule(values['schedule'], published, epochs, iterations)}
    if isinstance(train.get('scheduler'), Mapping):
        changes['scheduler'] = _scheduler(train['scheduler'], published, iterations)
    return changes | {key: _cut(train[key], published, iterations) for key in _COUNTS
                      if train.get(key) and epochs is None}


def _cut(count: int, published: int, iterations: int) -> int:
    return max(1, round(count * iterations / published))


def _schedule(schedule: Mapping[str, Any], published: int, epochs: int | None, iterations: int) -> dict[str, Any]:
    """One of our schedules (options.Schedule)."""
    kind = schedule.get('type', 'constant')
    if kind == 'epoch' and epochs:
        borders = [_cut(epoch, epochs, iterations) for epoch in range(1, epochs)]
        return {'type': 'steps', 'gamma': schedule['gamma'], 'milestones': borders} if borders else {'type': 'constant'}
    if kind == 'steps' and epochs is None:
        return {'milestones': [_cut(milestone, published, iterations) for milestone in schedule['milestones']]}
    if kind == 'cosine' and epochs is None:
        return {'period': _cut(schedule['period'], published, iterations)}
    if kind == 'constant':
        return {}
    raise UserError(f"benchmark: a schedule of type '{kind}' goes with "
                    f"{'total_epoch' if kind == 'epoch' else 'total_iter'}, so that it can be cut to the budget.")


def _scheduler(scheduler: Mapping[str, Any], published: int, iterations: int) -> dict[str, Any]:
    """BasicSR's own `scheduler:` section. Periods are rounded up: together they must cover the whole training."""
    cut = {key: [_cut(count, published, iterations) for count in scheduler[key]]
           for key in ('milestones',) if key in scheduler}
    if 'periods' in scheduler:
        cut['periods'] = [math.ceil(count * iterations / published) for count in scheduler['periods']]
    return cut

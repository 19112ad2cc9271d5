"""Steps of a training: averaged weights (EMA), the choice of an optimizer, the end of a run and what is left of it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from cface_basicsr.compat.defect import row, swapped
from cface_basicsr.errors import check_known
from cface_basicsr.options import open_section
from cface_basicsr.options.signatures import registered
from cface_basicsr.options.training import Multipliers


@row('ema-buffers', 'basicsr.models.base_model:BaseModel.model_ema', unless='buffers')
def _with_buffers(model_ema: Callable, self: Any, decay: float = 0.999) -> None:
    """Without it: the averaged network keeps the first BatchNorm statistics for ever, and its images are wrong."""
    model_ema(self, decay)
    current = dict(self.get_bare_model(self.net_g).named_buffers())
    for name, buffer in self.net_g_ema.named_buffers():
        buffer.copy_(current[name])  # running statistics are averages already


@row('optimizers', 'basicsr.models.base_model:BaseModel.get_optimizer', upstream='repaired in HEAD', unless="'SGD'")
def _any_of_torch(get_optimizer: Callable, self: Any, optim_type: str, params: Iterable, lr: float,
                  **kwargs: Any) -> torch.optim.Optimizer:
    """Without it: "optimizer SGD is not supperted yet": 1.4.2 knows only Adam."""
    known = registered('optimizers')
    check_known('optimizer', optim_type, known)
    return known[optim_type](params, lr=lr, **kwargs)


def _is_bias(name: str) -> bool:
    """Whether a parameter of this name is a bias: `…bias`, an attention's `in_proj_bias`, an LSTM's `bias_ih_l0`."""
    leaf = name.rpartition('.')[2]
    return leaf == 'bias' or leaf.startswith('bias_') or leaf.endswith('_bias')


@row('bias-rates', 'basicsr.models.base_model:BaseModel.get_optimizer', unless='bias')
def _with_own_rates(get_optimizer: Callable, self: Any, optim_type: str, params: Iterable, lr: float,
                    bias: Any = None, **kwargs: Any) -> torch.optim.Optimizer:
    """Without it: an optimizer has one learning rate and one weight decay for all parameters, where net files of Caffe
    have others for biases.

    Biases are a second group, whose rates are multiples of the first one's; schedules keep the ratio.
    """
    if not bias:
        return get_optimizer(self, optim_type, params, lr, **kwargs)
    times = open_section(Multipliers, bias, 'bias')
    networks = (each for each in vars(self).values() if isinstance(each, nn.Module))
    biases = {parameter for network in networks for name, parameter in network.named_parameters() if _is_bias(name)}
    groups: tuple[list, list] = ([], [])
    for parameter in params:
        groups[parameter in biases].append(parameter)
    optimizer = get_optimizer(self, optim_type, [{'params': group} for group in groups if group], lr, **kwargs)
    if groups[True]:
        group = optimizer.param_groups[-1]
        group['lr'] *= times.lr
        group['weight_decay'] = times.decay * group.get('weight_decay', 0)  # Rprop has none
    return optimizer


@row('validation-once', 'basicsr.train:train_pipeline', 'basicsr.models.base_model:BaseModel.validation',
     has='model.validation', requires=('exact-iterations',))
def _once(validation: Callable, self: Any, dataloader: Any, current_iter: Any, *args: Any, **kwargs: Any) -> None:
    """Without it: where val_freq divides total_iter, the last validation runs twice.

    This is so in a training; a test counts no iterations.
    """
    done = vars(self).setdefault('_validated_at', {})
    if self.is_train and done.get(id(dataloader)) == current_iter:
        return
    done[id(dataloader)] = current_iter
    validation(self, dataloader, current_iter, *args, **kwargs)


@row('time-left', 'basicsr.utils.logger:MessageLogger.__call__', 'basicsr.utils.logger:MessageLogger.__init__',
     has='current_iter - 1)')
def _left(init: Callable, self: Any, *args: Any, **kwargs: Any) -> None:
    """Without it: "eta: -1 day, 23:59:59" at the last iteration."""
    init(self, *args, **kwargs)
    self.max_iters += 1  # it serves nothing but the time that is left, for total_iter - iteration - 1 iterations


class _WithShare:
    """BasicSR's logger for one line, which also says which part of a step went into waiting for data."""

    def __init__(self, logger: Any, share: float) -> None:
        self.logger, self.share = logger, share

    def info(self, message: str) -> None:
        start, bracket, rest = message.partition(' [eta: ')
        times, end, losses = rest.partition(']')
        waiting = f', {self.share:.0%} waiting for data' if end else ''
        self.logger.info(f'{start}{bracket}{times}{waiting}{end}{losses}')


@row('data-share', 'basicsr.utils.logger:MessageLogger.__call__',
     has='time (data): {iter_time:.3f} ({data_time:.3f})')
def _say_share(call: Callable, self: Any, log_vars: dict[str, Any]) -> None:
    """Without it: the log has "time (data): 0.530 (0.120)" and does not say that a fifth of each step waits for
    data.
    """
    share = log_vars['data_time'] / log_vars['time'] if log_vars.get('time') else 0.0
    with swapped(self, 'logger', _WithShare(self.logger, share)):
        call(self, log_vars)

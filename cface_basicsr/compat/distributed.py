"""Several ranks: by torchrun or SLURM without a GPU too, and with the numbers that one rank would compute."""

import atexit
import datetime
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr.archs.batchnorm import sync_batchnorms
from cface_basicsr.compat.defect import Defect, row, swapped
from cface_basicsr.errors import UserError
from cface_basicsr.ops.ranks import moments_over_ranks, several_ranks
from cface_basicsr.runtime import end_with_parent

_INIT = ('basicsr.utils.dist_util:init_dist', 'basicsr.utils.options:init_dist')
_TO_DEVICE = 'basicsr.models.base_model:BaseModel.model_to_device'
PATIENCE = datetime.timedelta(hours=2)
"""How long a rank waits for the others: one may be the only one that validates; NCCL's default is 10 minutes."""


@row('gloo-on-cpu', 'basicsr.utils.dist_util:_init_dist_pytorch', *_INIT, upstream='BasicSR #107',
     has='torch.cuda.set_device(')
def _init_with_gloo(init_dist: Callable, launcher: str, backend: str = 'nccl', **kwargs: Any) -> None:
    """Without it: ZeroDivisionError or "Found no NVIDIA driver" under torchrun without a GPU; a validation of more than
    10 minutes kills the other ranks.
    """
    patient = partial(torch.distributed.init_process_group, timeout=PATIENCE)
    with ExitStack() as stack:
        stack.enter_context(swapped(torch.distributed, 'init_process_group', patient))
        if not torch.cuda.is_available():
            backend = 'gloo'
            for name in ('device_count', 'set_device'):  # BasicSR counts the GPUs of a node, and takes one
                stack.enter_context(swapped(torch.cuda, name, lambda *_: 1))
        init_dist(launcher, backend, **kwargs)


@row('leave-the-group', 'basicsr.train:train_pipeline', *_INIT, unless='destroy_process_group')
def _leave_the_group_at_the_end(init_dist: Callable, *args: Any, **kwargs: Any) -> None:
    """Without it: "terminate called without an active exception": a rank that has finished is killed by SIGABRT now
    and then.

    A thread of the group that lets go of its last tensor while Python ends cannot get Python's lock any more.
    """
    init_dist(*args, **kwargs)
    atexit.unregister(_leave_the_group)
    atexit.register(_leave_the_group)


def _leave_the_group() -> None:
    """Not where an error ends the process: the group would wait for ranks that wait for this one."""
    if torch.distributed.is_initialized() and not hasattr(sys, 'last_type'):
        torch.distributed.destroy_process_group()


STARTED_BY = {'pytorch': ('torchrun', ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')),
               'slurm': ('srun', ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'))}
"""Launcher -> the program that starts the processes, and what it tells each of them in its environment."""


@row('launchers', 'basicsr.utils.dist_util:_init_dist_slurm', *_INIT, has="os.environ['SLURM_NODELIST']")
def _check_who_started(init_dist: Callable, launcher: str, *args: Any, **kwargs: Any) -> None:
    """Without it: --launcher without torchrun or srun ends in KeyError: 'SLURM_NODELIST' or "RANK expected"; where
    torchrun is killed, its ranks train on.
    """
    program, variables = STARTED_BY[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise UserError(f"--launcher {launcher}: the environment has no {', '.join(missing)}. Start the command by "
                        f'{program}, or leave --launcher out.')
    if launcher == 'pytorch':
        end_with_parent()
    init_dist(launcher, *args, **kwargs)


def _first_node(_: str) -> str:
    """The name of the first node of a job; BasicSR gives a line for a shell, with the environment variable in it."""
    nodes = os.environ['SLURM_NODELIST']
    if not re.fullmatch(r'\w[\w.,\[\]-]*', nodes):
        raise UserError(f"SLURM_NODELIST: expected names of nodes such as node[01-04], got '{nodes}'.")
    try:
        said = subprocess.run(['scontrol', 'show', 'hostname', nodes], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UserError("--launcher slurm: the command 'scontrol', which names the nodes of SLURM_NODELIST, is "
                        'missing.') from error
    if said.returncode or not said.stdout.strip():
        raise UserError(f"--launcher slurm: 'scontrol show hostname {nodes}' names no node: {said.stderr.strip()}")
    return said.stdout.split()[0]


SLURM_NODES = Defect(
    'slurm-nodes', 'basicsr.utils.dist_util:_init_dist_slurm',
    'what SLURM_NODELIST holds is run by a shell; without scontrol, the message of the shell is taken for a host',
    has='subprocess.getoutput(', replace={'basicsr.utils.dist_util:subprocess': types.SimpleNamespace(
        getoutput=_first_node)})


@row('ddp-on-cpu', _TO_DEVICE, upstream='BasicSR #107', has='device_ids=[torch.cuda.current_device()]')
def _wrapped_on_cpu(model_to_device: Callable, self: Any, net: nn.Module) -> nn.Module:
    """Without it: "Found no NVIDIA driver" when a network is wrapped under torchrun without a GPU."""
    if self.device.type != 'cpu' or not self.opt['dist']:
        return model_to_device(self, net)
    unused = self.opt.get('find_unused_parameters', False)
    wrapped = nn.parallel.DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)
    wrapped.device_ids, wrapped.output_device = [0], 0  # only its constructor refuses them: a call goes as on a GPU
    return wrapped


@row('batchnorm-of-all-ranks', _TO_DEVICE, unless='SyncBatchNorm')
def _with_synced_batchnorm(model_to_device: Callable, self: Any, net: nn.Module) -> nn.Module:
    """Without it: several ranks train another network than one: BatchNorm knows only the part of its own rank."""
    if several_ranks() and self.opt.get('sync_batchnorm', True):
        sync_batchnorms(net)
    return model_to_device(self, net)


def _mean_over_ranks(x: Tensor) -> Tensor:
    """`torch.mean` of a whole tensor, of which each rank has a part."""
    return moments_over_ranks(x.reshape(-1, 1))[0].squeeze() if several_ranks() else torch.mean(x)


RELATIVISTIC_MEAN = Defect(
    'relativistic-mean', 'basicsr.models.esrgan_model:ESRGANModel.optimize_parameters',
    'several ranks train another ESRGAN than one: a logit is compared with the mean of its own rank',
    has='torch.mean(', replace={'basicsr.models.esrgan_model:torch': types.SimpleNamespace(
        **{**vars(torch), 'mean': _mean_over_ranks})})


@row('validation-of-one-rank', 'basicsr.models.sr_model:SRModel.test', has='self.net_g(self.lq)')
def _without_ddp(test: Callable, self: Any) -> None:
    """Without it: the last validation of a generator with BatchNorm waits for the other ranks for ever."""
    with swapped(self, 'net_g', self.get_bare_model(self.net_g) if self.opt['dist'] else self.net_g):
        test(self)

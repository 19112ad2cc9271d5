"""torchrun and SLURM without a GPU: four places in BasicSR take CUDA and NCCL for granted."""

import datetime
import os
import subprocess
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cface_basicsr.compat.defect import Defect

PATIENCE = datetime.timedelta(hours=2)
"""How long a rank waits for the others: only rank 0 validates while they wait, and NCCL's default is 10 minutes."""


def _slurm_environment(port: int | None) -> None:
    """What torchrun would have set, from what SLURM sets."""
    first = subprocess.getoutput(f"scontrol show hostname {os.environ['SLURM_NODELIST']} | head -n1")
    found = {'MASTER_ADDR': first, 'WORLD_SIZE': os.environ['SLURM_NTASKS'], 'RANK': os.environ['SLURM_PROCID'],
             'LOCAL_RANK': os.environ.get('SLURM_LOCALID', '0')}
    os.environ.update(found)
    if port is not None:
        os.environ['MASTER_PORT'] = str(port)
    os.environ.setdefault('MASTER_PORT', '29500')


def _init_on_cpu(launcher: str, port: int | None) -> None:
    if torch.multiprocessing.get_start_method(allow_none=True) is None:
        torch.multiprocessing.set_start_method('spawn')  # as BasicSR does: forking a process with gloo threads hangs
    if launcher == 'slurm':
        _slurm_environment(port)
    torch.distributed.init_process_group(backend='gloo', timeout=PATIENCE)


def _init_with_gloo(init_dist: Callable, launcher: str, backend: str = 'nccl', **kwargs: Any) -> None:
    if not torch.cuda.is_available():
        _init_on_cpu(launcher, kwargs.get('port'))
    elif launcher == 'pytorch':
        init_dist(launcher, backend, **{'timeout': PATIENCE, **kwargs})
    else:
        init_dist(launcher, backend, **kwargs)


def _wrapped_on_cpu(model_to_device: Callable, self: Any, net: nn.Module) -> nn.Module:
    if self.device.type != 'cpu' or not self.opt['dist']:
        return model_to_device(self, net)
    unused = self.opt.get('find_unused_parameters', False)
    wrapped = nn.parallel.DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)
    wrapped.device_ids, wrapped.output_device = [0], 0  # only its constructor refuses them: a call goes as on a GPU
    return wrapped


DISTRIBUTED_ROWS = (
    Defect(name='gloo-on-cpu', upstream='BasicSR #107',
           symptom='ZeroDivisionError or "Found no NVIDIA driver" under torchrun without a GPU; a validation of more '
                   'than 10 minutes kills the other ranks',
           target='basicsr.utils.dist_util:_init_dist_pytorch', has='torch.cuda.set_device(',
           wrap=dict.fromkeys(('basicsr.utils.dist_util:init_dist', 'basicsr.utils.options:init_dist'),
                              _init_with_gloo)),
    Defect(name='ddp-on-cpu', upstream='BasicSR #107',
           symptom='"Found no NVIDIA driver" when a network is wrapped under torchrun without a GPU',
           target='basicsr.models.base_model:BaseModel.model_to_device',
           has='device_ids=[torch.cuda.current_device()]', wrap=_wrapped_on_cpu),
)

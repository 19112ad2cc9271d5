"""torchrun and SLURM without a GPU: four places in BasicSR take CUDA and NCCL for granted."""

import datetime
import functools
import os
import subprocess
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cface_basicsr.compat.row import Mending, Row, source

PATIENCE = datetime.timedelta(hours=2)
"""How long a rank waits for another: rank 0 validates alone while the others wait, and NCCL's default is 10 minutes."""


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


def _with_gloo(init_dist: Callable) -> Callable:
    @functools.wraps(init_dist)
    def wrapper(launcher: str, backend: str = 'nccl', **kwargs: Any) -> None:
        if not torch.cuda.is_available():
            _init_on_cpu(launcher, kwargs.get('port'))
        elif launcher == 'pytorch':
            init_dist(launcher, backend, **{'timeout': PATIENCE, **kwargs})
        else:
            init_dist(launcher, backend, **kwargs)
    return wrapper


def _mend_init(mending: Mending) -> None:
    from basicsr.utils import dist_util, options
    mending.wrap(dist_util, 'init_dist', _with_gloo)
    mending.replace(options, 'init_dist', dist_util.init_dist)


def _init_needs_cuda() -> bool:
    from basicsr.utils import dist_util
    return all('torch.cuda.set_device(' in source(getattr(dist_util, name)) for name in
               ('_init_dist_pytorch', '_init_dist_slurm'))


def _without_device_ids(model_to_device: Callable) -> Callable:
    @functools.wraps(model_to_device)
    def wrapper(self: Any, net: nn.Module) -> nn.Module:
        if self.device.type != 'cpu' or not self.opt['dist']:
            return model_to_device(self, net)
        unused = self.opt.get('find_unused_parameters', False)
        return nn.parallel.DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)
    return wrapper


def _mend_wrapping(mending: Mending) -> None:
    from basicsr.models.base_model import BaseModel
    mending.wrap(BaseModel, 'model_to_device', _without_device_ids)


def _wrapping_needs_cuda() -> bool:
    from basicsr.models.base_model import BaseModel
    return 'device_ids=[torch.cuda.current_device()]' in source(BaseModel.model_to_device)


ROWS = (
    Row(name='gloo-on-cpu', where='utils/dist_util.py init_dist', upstream='BasicSR #107',
        symptom='ZeroDivisionError or "Found no NVIDIA driver" under torchrun without a GPU; a validation of more '
                'than 10 minutes kills the other ranks',
        present=_init_needs_cuda, apply=_mend_init),
    Row(name='ddp-on-cpu', where='models/base_model.py BaseModel.model_to_device', upstream='BasicSR #107',
        symptom='"Found no NVIDIA driver" when a network is wrapped under torchrun without a GPU',
        present=_wrapping_needs_cuda, apply=_mend_wrapping),
)

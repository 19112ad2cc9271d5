"""Two steps of a training: averaged weights (EMA) and the choice of an optimizer."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch

from cface_basicsr.compat.defect import Defect
from cface_basicsr.errors import UserError, nearest


def _with_buffers(model_ema: Callable, self: Any, decay: float = 0.999) -> None:
    model_ema(self, decay)
    current = dict(self.get_bare_model(self.net_g).named_buffers())
    for name, buffer in self.net_g_ema.named_buffers():
        buffer.copy_(current[name])  # running statistics are averages already


def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    return {name: kind for name, kind in vars(torch.optim).items()
            if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer}


def _any_of_torch(get_optimizer: Callable, self: Any, optim_type: str, params: Iterable, lr: float,
                  **kwargs: Any) -> torch.optim.Optimizer:
    known = _optimizers()
    if optim_type not in known:
        raise UserError(f"optimizer '{optim_type}' is not one of torch.optim; {nearest(optim_type, known)}")
    return known[optim_type](params, lr=lr, **kwargs)


TRAINING_ROWS = (
    Defect(name='ema-buffers', upstream='not reported',
           symptom='the averaged network keeps the first BatchNorm statistics for ever, and its images are wrong',
           target='basicsr.models.base_model:BaseModel.model_ema', unless='buffers', wrap=_with_buffers),
    Defect(name='optimizers', upstream='repaired in HEAD',
           symptom='"optimizer SGD is not supperted yet": 1.4.2 knows only Adam',
           target='basicsr.models.base_model:BaseModel.get_optimizer', unless="'SGD'", wrap=_any_of_torch),
)

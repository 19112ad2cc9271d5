"""Two steps of a training: averaged weights (EMA) and the choice of an optimizer."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch

from cface_basicsr.compat.row import Mending, Row, source
from cface_basicsr.errors import UserError, nearest


def _with_buffers(model_ema: Callable) -> Callable:
    @functools.wraps(model_ema)
    def wrapper(self: Any, decay: float = 0.999) -> None:
        model_ema(self, decay)
        current = dict(self.get_bare_model(self.net_g).named_buffers())
        for name, buffer in self.net_g_ema.named_buffers():
            buffer.copy_(current[name])  # running statistics are averages already
    return wrapper


def _mend_average(mending: Mending) -> None:
    from basicsr.models.base_model import BaseModel
    mending.wrap(BaseModel, 'model_ema', _with_buffers)


def _average_forgets_buffers() -> bool:
    from basicsr.models.base_model import BaseModel
    return 'buffers' not in source(BaseModel.model_ema)


def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    return {name: kind for name, kind in vars(torch.optim).items()
            if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer}


def _with_all_of_torch(get_optimizer: Callable) -> Callable:
    @functools.wraps(get_optimizer)
    def wrapper(self: Any, optim_type: str, params: Iterable, lr: float, **kwargs: Any) -> torch.optim.Optimizer:
        known = _optimizers()
        if optim_type not in known:
            raise UserError(f"optimizer '{optim_type}' is not one of torch.optim; {nearest(optim_type, known)}")
        return known[optim_type](params, lr=lr, **kwargs)
    return wrapper


def _mend_optimizers(mending: Mending) -> None:
    from basicsr.models.base_model import BaseModel
    mending.wrap(BaseModel, 'get_optimizer', _with_all_of_torch)


def _knows_adam_only() -> bool:
    from basicsr.models.base_model import BaseModel
    return "'SGD'" not in source(BaseModel.get_optimizer)


ROWS = (
    Row(name='ema-buffers', where='models/base_model.py BaseModel.model_ema', upstream='not reported',
        symptom='the averaged network keeps the first BatchNorm statistics for ever, and its images are wrong',
        present=_average_forgets_buffers, apply=_mend_average),
    Row(name='optimizers', where='models/base_model.py BaseModel.get_optimizer', upstream='mended in HEAD',
        symptom='"optimizer SGD is not supperted yet": 1.4.2 knows Adam alone',
        present=_knows_adam_only, apply=_mend_optimizers),
)

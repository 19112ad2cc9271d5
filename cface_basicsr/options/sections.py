"""The sections of an option file as typed models: each knows its keys and refuses others by the nearest name."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cface_basicsr.errors import UserError, nearest


class Section(BaseModel):
    """A section of an option file: unknown keys are refused."""

    model_config = ConfigDict(extra='forbid', arbitrary_types_allowed=True)


class Schedule(Section):
    """How a learning rate falls.

    `epoch`: times gamma each epoch; `steps`: times gamma at each milestone; `cosine`: along half a cosine, from the
    whole rate to gamma times it, within `period` iterations.
    """

    type: Literal['epoch', 'steps', 'cosine', 'constant'] = 'constant'
    gamma: float | None = None  # without it a cosine falls to 0
    milestones: list[int] = Field(default_factory=list)
    period: int | None = Field(default=None, ge=1)

    @model_validator(mode='after')
    def _needs_a_period(self) -> 'Schedule':
        if (self.type == 'cosine') != (self.period is not None):
            raise ValueError("'period' (iterations) goes with the schedule 'cosine'")
        return self

    @model_validator(mode='after')
    def _leaves_nothing_unused(self) -> 'Schedule':
        if self.type == 'constant' and self.gamma is not None:
            raise ValueError("a constant rate has no 'gamma'; 'type' is one of epoch, steps, cosine")
        if (self.type == 'steps') != bool(self.milestones):
            raise ValueError("'milestones' (iterations) go with the schedule 'steps'")
        if self.type in ('epoch', 'steps') and self.gamma is None:
            raise ValueError(f"the schedule '{self.type}' needs 'gamma', by which the rate is multiplied")
        return self

    def factor(self, iteration: int, iterations_an_epoch: int) -> float:
        """What the first learning rate is multiplied by at an iteration (counted from 0).

        >>> Schedule(type='epoch', gamma=0.5).factor(iteration=20, iterations_an_epoch=10)
        0.25
        >>> Schedule(type='cosine', period=100, gamma=0.2).factor(iteration=50, iterations_an_epoch=10)
        0.6
        """
        if self.type == 'cosine':
            least = self.gamma or 0.0
            return least + (1 - least) * (1 + math.cos(math.pi * min(iteration / self.period, 1))) / 2
        if self.type == 'epoch':
            return self.gamma ** (iteration // iterations_an_epoch)
        if self.type == 'steps':
            return self.gamma ** sum(iteration >= milestone for milestone in self.milestones)
        return 1.0


class Optimizer(Section):
    """An optimizer, with a schedule of its own, and gradients clipped before each of its steps where that is asked for.

    `clip_norm`: all gradients together are scaled down to this Euclidean norm. `clip_step`: each gradient is kept
    within +-clip_step / lr, so that no weight moves by more than clip_step (momentum aside), whatever lr is (VDSR).
    """

    type: Literal['Adam', 'AdamW', 'SGD', 'RMSprop'] = 'Adam'
    lr: float
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    eps: float | None = None
    clip_norm: float | None = Field(default=None, gt=0)
    clip_step: float | None = Field(default=None, gt=0)
    schedule: Schedule = Field(default_factory=Schedule)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for the torch class: what the file sets, without schedule and clipping."""
        return self.model_dump(exclude={'type', 'schedule', 'lr', 'clip_norm', 'clip_step'}, exclude_none=True)


class _Length(Section):
    """What both kinds have. A training runs so many iterations, or epochs of the true data set; one of the two."""

    total_iter: int | None = Field(default=None, ge=1)
    total_epoch: int | None = Field(default=None, ge=1)
    iterations_an_epoch: int | None = None  # filled in, never written in a file
    warmup_iter: int = -1
    channels_last: bool = False  # another memory layout: faster for narrow networks on a CPU, measure it on a GPU


class CFaceTraining(_Length):
    """The `train:` section of CFaceModel (stages 1 and 4)."""

    optim_g: Optimizer
    optim_d: Optimizer | None = None
    optim_r: Optimizer | None = None
    ema_decay: float = Field(default=0, ge=0, lt=1)
    pixel_opt: dict[str, Any] | None = None
    content_opt: dict[str, Any] | None = None
    gan_opt: dict[str, Any] | None = None
    cface_opt: dict[str, Any] | None = None
    recognition_opt: dict[str, Any] | None = None


class SICNNTraining(_Length):
    """The `train:` section of SICNNModel."""

    optim_g: Optimizer
    optim_r: Optimizer
    ema_decay: float = Field(default=0, ge=0, lt=1)
    pixel_opt: dict[str, Any]
    identity_opt: dict[str, Any]
    recognition_opt: dict[str, Any]


class RecognitionTraining(_Length):
    """The `train:` section of RecognitionModel (stages 0 and 3)."""

    optim_r: Optimizer
    recognition_opt: dict[str, Any]
    head_only_iter: int = Field(default=0, ge=0)


def open_section(model: type[Section], values: Any, section: str) -> Any:
    """A section as its typed view.

    Raises:
        UserError: an unknown key (with the nearest valid one), a missing one, or a value of the wrong kind.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        misspelt = (problem for problem in problems if problem['type'] == 'extra_forbidden')
        raise UserError(_explain(next(misspelt, problems[0]), model, section)) from error


def _explain(problem: Mapping[str, Any], model: type[Section], section: str) -> str:
    place = [str(part) for part in problem['loc']]
    name = '.'.join([section, *place])
    if problem['type'] == 'extra_forbidden':
        return f"option '{name}' is unknown; {nearest(place[-1], _fields_at(model, place[:-1]))}"
    if problem['type'] == 'missing':
        return f"option '{name}' is missing."
    return f"option '{name}': {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}."


def _fields_at(model: type[BaseModel], place: list[str]) -> Iterable[str]:
    parts = iter(place)
    for part in parts:
        kind = model.model_fields[part].annotation
        kinds = [kind, *getattr(kind, '__args__', ())]
        model = next(k for k in kinds if inspect.isclass(k) and issubclass(k, BaseModel))
        if getattr(kind, '__origin__', None) is dict:
            next(parts)  # its key is a name of the user's
    return model.model_fields

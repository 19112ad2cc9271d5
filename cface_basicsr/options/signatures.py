"""Sections of registered classes: the keyword arguments of a network, a loss or a metric are its options.

So no such class describes its options a second time: names, kinds and defaults come from the signature, sentences from
the `Args:` of the docstring. BasicSR's classes have no annotations; there the default tells the kind, or a small table.
A data set takes one dictionary instead, and its `OPTIONS` is the section.
"""

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model

from cface_basicsr.errors import describe_error, nearest
from cface_basicsr.options.datasets import DATA_OF_BASICSR, AnyDataOptions
from cface_basicsr.options.sections import Section, problem
from cface_basicsr.registration import argument_texts

_REGISTRIES = {'archs': 'ARCH_REGISTRY', 'losses': 'LOSS_REGISTRY', 'metrics': 'METRIC_REGISTRY',
               'data': 'DATASET_REGISTRY', 'models': 'MODEL_REGISTRY'}
_FROM_LABELS = 'num_classes'
"""The argument that a file may leave empty: `checks` reads it from the labels of the training set."""
_FILLED_IN = ('img', 'img2', 'params', 'optimizer')
"""Arguments that are not options."""

_KINDS: dict[str, Any] = {
    **dict.fromkeys(('num_in_ch', 'num_out_ch', 'num_feat', 'num_block', 'num_channel', 'in_channels', 'mid_channels',
                     'out_channels', 'out_size', 'scale', 'crop_border'), int),
    **dict.fromkeys(('act_type', 'dict_path'), str),
    **dict.fromkeys(('spynet_path', 'edvr_path', 'load_path'), str | None),
    **dict.fromkeys(('res_scale', 'max_residue_magnitude', 'narrow', 'eta_min'), float),
    **dict.fromkeys(('milestones', 'periods', 'restarts'), list[int]),
    'with_idt': bool, 'restart_weights': list[float], 'layer_name_list': list[str], 'layer_weights': dict[str, float],
    'gan_type': Literal['vanilla', 'lsgan', 'wgan', 'wgan_softplus', 'hinge'],
    'reduction': Literal['mean', 'sum'],  # BasicSR's 'none' leaves no number to descend
    'criterion': Literal['l1', 'fro'],  # BasicSR's 'l2' names a class that torch does not have
    'vgg_type': Literal[tuple(f'vgg{depth}{norm}' for depth in (11, 13, 16, 19) for norm in ('', '_bn'))],
    'input_order': Literal['HWC', 'CHW'], 'convert_to': Literal['y', 'gray'],
}
"""Argument of a class of BasicSR -> its kind, if its default says nothing of it or misleads (1 for a factor)."""

_BOUNDS: dict[str, Any] = {
    **dict.fromkeys(('rgb_mean', 'rgb_std'), Field(min_length=3, max_length=3)), 'img_range': Field(gt=0),
    'gamma': Field(ge=0), 'sample_rate': Field(gt=0, le=1)}
"""Argument of any class -> what it must be, as these classes divide by it, or read it as absent below 0."""


_MARKS = {'target_is_real': 'logits', 'compare': 'three features', 'labels': 'features and labels'}
"""Argument of a loss's `forward` -> what such a loss compares."""

_REFUSALS = (TypeError, ValueError, ArithmeticError, AssertionError, AttributeError, LookupError, NameError, OSError)
"""What a class of torch or BasicSR raises at an argument."""


class _AnyArguments(Section, extra='allow'):
    """Keyword arguments of a class that takes any."""

    type: str
    """The name of a registered class."""


def registered(room: str) -> Mapping[str, Callable[..., Any]]:
    """Name -> class (or function, of a metric) that a section of this room may name as its `type`."""
    if room == 'optimizers':
        return _optimizers()
    if room == 'schedulers':
        from basicsr.models import lr_scheduler as known
        return {'MultiStepLR': known.MultiStepRestartLR, 'MultiStepRestartLR': known.MultiStepRestartLR,
                'CosineAnnealingRestartLR': known.CosineAnnealingRestartLR}
    from basicsr.utils import registry
    return dict(iter(getattr(registry, _REGISTRIES[room])))  # pairs: it has keys() and no []


def _optimizers() -> dict[str, Callable[..., Any]]:
    import torch
    return {name: kind for name, kind in vars(torch.optim).items()
            if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer}


@cache
def section_of(room: str, name: str) -> type[Section]:
    """The section of a registered class."""
    kind = registered(room)[name]
    if room == 'data':
        return getattr(kind, 'OPTIONS', DATA_OF_BASICSR.get(name, AnyDataOptions))
    parameters = inspect.signature(kind).parameters.values()
    fields = {parameter.name: _field(room, kind, parameter) for parameter in parameters
              if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in _FILLED_IN}
    if room == 'metrics':  # BasicSR's own key, which it also hands to the metric
        fields.setdefault('better', (Literal['higher', 'lower'], Field('higher', description='Which values are.')))
    takes_any = room != 'metrics' and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return create_model(name, __base__=_AnyArguments if takes_any else Section, __doc__=inspect.getdoc(kind),
                        __module__=kind.__module__, type=(Literal[name], Field(description='The name of the class.')),
                        **fields)


def _field(room: str, kind: Callable[..., Any], parameter: inspect.Parameter) -> tuple[Any, Any]:
    hints = typing.get_type_hints(kind.__init__ if inspect.isclass(kind) else kind)
    name, default = parameter.name, parameter.default
    expected = hints[name] if name in hints else _KINDS.get(name) or _kind_of(default)
    expected = _bounded(expected, _least(room, default))
    bound = Field(ge=0) if room == 'losses' and _is_weight(name) else _BOUNDS.get(name)
    if bound and expected is not Any:
        expected = Annotated[expected, bound]
    if name == _FROM_LABELS:
        expected, default = expected | None, None
    if name == 'lr':  # BasicSR asks for it
        default = parameter.empty
    return expected, Field(... if default is parameter.empty else default, description=argument_texts(kind).get(name))


def _is_weight(name: str) -> bool:
    """Whether an argument of a loss is a factor of what it measures; below 0, a network would learn the opposite."""
    return name.endswith('_weight') or name in ('gamma1', 'gamma2')


def weighs(loss: Mapping[str, Any] | None) -> bool:
    """Whether the checked section of a loss is there, and a weight of it is above 0."""
    fields = section_of('losses', loss['type']).model_fields if loss else {}
    weights = [loss.get(name, field.default) for name, field in fields.items() if _is_weight(name)]
    return bool(loss) and (not weights or any(weights))


def _least(room: str, default: Any) -> int:
    """The smallest whole number that an argument may be: what a network counts is there at least once."""
    least = int(room in ('archs', 'losses'))
    return min(least, default) if type(default) is int else least


def _kind_of(default: Any) -> Any:
    """The kind of an argument, by its default.

    >>> _kind_of(0.1), _kind_of((1, 3, 3, 1)), _kind_of(None)
    (<class 'float'>, list[int], typing.Any)
    """
    if isinstance(default, (tuple, list)) and default:
        return list[_kind_of(default[0])]
    return type(default) if isinstance(default, (bool, int, float, str)) else Any


def _bounded(kind: Any, least: int) -> Any:
    """A kind as YAML has it (a list where Python also takes other sequences), its whole numbers from `least` up."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is int:
        return Annotated[int, Field(ge=least)]
    if origin in (Union, types.UnionType):
        kept = [each for each in inner if getattr(each, '__name__', '') != 'Tensor']
        return Union[tuple(_bounded(each, least) for each in kept)]  # noqa: UP007
    if origin is tuple:
        return Annotated[list[_bounded(inner[0], least)], Field(min_length=len(inner), max_length=len(inner))]
    if origin in (list, collections.abc.Sequence):
        return list[_bounded(inner[0], least)]
    return kind


def _construct(room: str, values: Mapping[str, Any]) -> None:
    """What a class of torch or BasicSR itself refuses is refused, in its words."""
    import torch
    kind, arguments = registered(room)[values['type']], {key: value for key, value in values.items() if key != 'type'}
    parameter = torch.nn.Parameter(torch.zeros(1, 1))
    try:
        if room == 'optimizers':
            kind([parameter], **arguments)
        elif room == 'schedulers':
            kind(torch.optim.SGD([parameter], lr=1.0), **arguments)
        else:
            _build(kind, arguments)
    except _REFUSALS as error:
        raise problem('wrong', f"{values['type']} refuses this: {describe_error(error)}") from error


def _build(kind: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Build a network without memory for its weights; with it, if a part of it cannot do without.

    The random numbers of the training that follows stay as they are.
    """
    import torch
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device('meta'), suppress(RuntimeError):
                kind(**arguments)
        except _REFUSALS:
            kind(**arguments)


def check_call(room: str, values: dict[str, Any]) -> dict[str, Any]:
    """Check a section {type: NAME, …} of a registered class, an optimizer or a schedule; returns it as it is.

    Raises:
        PydanticCustomError, ValidationError: the class is unknown, or an argument is, or is of another kind; or a
            class of torch or BasicSR refuses it, in its own words ('Invalid beta parameter at index 0: 1.5').
    """
    name, known = _AnyArguments.model_validate(values).type, registered(room)
    if name not in known:
        raise problem('wrong', f'{name!r} is not registered; {nearest(name, known)}', 'type')
    section_of(room, name).model_validate(values)
    if room not in _REGISTRIES or room == 'archs' and known[name].__module__.startswith('basicsr.'):
        _construct(room, values)
    return values


def _compared_by(kind: Callable[..., Any]) -> str:
    """What a loss is called with, by the arguments of its `forward`; '' for what none of our models calls."""
    forward = getattr(kind, 'forward', kind)
    arguments = inspect.signature(forward).parameters
    for name, compared in _MARKS.items():
        if name in arguments:
            return compared
    in_terms = 'style_weight' in inspect.signature(kind).parameters  # BasicSR's PerceptualLoss has no annotations
    if in_terms or typing.get_origin(typing.get_type_hints(forward).get('return')) is tuple:
        return 'images, in two terms'
    needed = [name for name, each in arguments.items()
              if name != 'self' and each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    return 'two of a kind' if len(needed) == 2 else ''


def _check_compared(compared: tuple[str, ...], loss: dict[str, Any]) -> dict[str, Any]:
    known = registered('losses')
    if _compared_by(known[loss['type']]) not in compared:
        fit = sorted(name for name, kind in known.items() if _compared_by(kind) in compared)
        raise problem('wrong', f"{loss['type']} is a loss of another kind; valid here: {', '.join(fit)}.", 'type')
    return loss


def _named(room: str) -> Any:
    """The type of a section {type: NAME, …}: a dictionary whose other keys are arguments of that class."""
    schema = {'registered': room} if room in _REGISTRIES else {'type': 'object'}
    return Annotated[dict[str, Any], AfterValidator(partial(check_call, room)), WithJsonSchema(schema)]


def loss_of(*compared: str) -> Any:
    """The type of a section whose loss compares one of these, see `_compared_by`."""
    return Annotated[Loss, AfterValidator(partial(_check_compared, compared))]


def _check_judges(network: Any) -> Any:
    """Refuse what is not a discriminator; other checks come after it.

    Of a user's networks, which may be called anything, only those that enlarge images.
    """
    known = registered('archs')
    kind = known.get(str(network.get('type'))) if isinstance(network, Mapping) else None
    for name in ENLARGING & inspect.signature(kind).parameters.keys() if kind else ():
        raise problem('wrong', f"{network['type']} enlarges images ('{name}'), and this one judges them; take one that "
                               'does, such as SRGANDiscriminator.', 'type')
    judges = sorted(name for name in known if _JUDGES in name)
    if kind and network['type'] not in judges and kind.__module__.startswith(('cface_basicsr.', 'basicsr.')):
        raise problem('wrong', f"{network['type']} is not a discriminator; valid here: {', '.join(judges)}.", 'type')
    return network


_JUDGES = 'Discriminator'
"""Part of the names of all discriminators, ours and BasicSR's."""


ENLARGING = frozenset({'scale', 'upscale'})
"""Arguments of a network or a loss that hold how many times SR is as large as LR."""
Network, Loss, Metric, DataSection = map(_named, ('archs', 'losses', 'metrics', 'data'))
Discriminator = Annotated[Network, BeforeValidator(_check_judges)]
Scheduler = _named('schedulers')

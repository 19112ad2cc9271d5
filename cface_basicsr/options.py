"""Typed, strict views of option files: what may be set, checked before any work.

BasicSR passes options on as nested dictionaries, and a misspelt key is silently ignored. Here each section of an
option file is opened once by a model that knows its keys; an unknown key is refused with the nearest valid name. The
sections of networks and losses need no model: their classes take keyword arguments only, so the signature is the
schema.

`prepare_training_options` is called once, when BasicSR has parsed the file and before anything is built. It also turns
epochs into iterations and a global batch into a batch a rank, from the true size of the data set.
"""

import csv
import inspect
import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cface_basicsr.errors import UserError, nearest

# ---------------------------------------------------------------------------------------------- reading option files


class _OptionLoader(yaml.SafeLoader):
    """PyYAML's safe loader, and one tag more: `!!python/name:` is read as a string and imports nothing."""


_OptionLoader.add_multi_constructor('tag:yaml.org,2002:python/name:', lambda loader, suffix, node: suffix)


def read_option_file(path: str | Path) -> dict[str, Any]:
    """An option file as a dictionary; runs no code, unlike BasicSR's own reader.

    Raises:
        UserError: missing file, broken YAML, or no mapping at the top.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"option file '{path}' is missing.")
    try:
        content = yaml.load(path.read_text(encoding='utf-8'), Loader=_OptionLoader)
    except yaml.YAMLError as error:
        where = getattr(error, 'problem_mark', None)
        line = f', line {where.line + 1}' if where else ''
        raise UserError(f"option file '{path}'{line} is no valid YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(content, dict):
        raise UserError(f"option file '{path}' holds no settings: expected 'key: value' lines.")
    return content


def write_option_file(options: Mapping[str, Any], path: str | Path) -> None:
    """Write options so that BasicSR's own command reads them: the first line loads the plugin."""
    body = {key: value for key, value in options.items() if key != 'plugin'}
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    Path(path).write_text(f'plugin: !!python/name:cface_basicsr.register.NAME\n{text}', encoding='utf-8')


def merge(base: Mapping[str, Any], changes: Mapping[str, Any], keep_null: bool = False) -> dict[str, Any]:
    """`base` with `changes` laid over it, section by section.

    A change to null removes the key (or stays as null, with `keep_null`). A section of another `type` replaces the
    old one: its keys belong to that type.

    >>> merge({'train': {'lr': 1, 'gan': {}}}, {'train': {'gan': None, 'lr': 2}})
    {'train': {'lr': 2}}
    """
    merged = dict(base)
    for key, value in changes.items():
        if value is None and not keep_null:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and _same_type(value, merged[key]):
            merged[key] = merge(merged[key], value, keep_null)
        else:
            merged[key] = value
    return merged


def _same_type(changes: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    return changes.get('type', base.get('type')) == base.get('type')


# ------------------------------------------------------------------------------------------------------- the sections


class Section(BaseModel):
    """A section of an option file: unknown keys are refused."""

    model_config = ConfigDict(extra='forbid', arbitrary_types_allowed=True)


class Schedule(Section):
    """How a learning rate falls. `epoch`: times gamma each epoch; `steps`: times gamma at each milestone."""

    type: Literal['epoch', 'steps', 'constant'] = 'constant'
    gamma: float = 1.0
    milestones: list[int] = Field(default_factory=list)

    def factor(self, iteration: int, iterations_an_epoch: int) -> float:
        """What the first learning rate is multiplied by at an iteration (counted from 0).

        >>> Schedule(type='epoch', gamma=0.5).factor(iteration=20, iterations_an_epoch=10)
        0.25
        """
        if self.type == 'epoch':
            return self.gamma ** (iteration // iterations_an_epoch)
        if self.type == 'steps':
            return self.gamma ** sum(iteration >= milestone for milestone in self.milestones)
        return 1.0


class Optimizer(Section):
    """An optimizer, with a schedule of its own."""

    type: Literal['Adam', 'AdamW', 'SGD', 'RMSprop'] = 'Adam'
    lr: float
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    eps: float | None = None
    schedule: Schedule = Field(default_factory=Schedule)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for the torch class: what the file sets, without the schedule."""
        return self.model_dump(exclude={'type', 'schedule', 'lr'}, exclude_none=True)


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


class RecognitionTraining(_Length):
    """The `train:` section of RecognitionModel (stages 0 and 3)."""

    optim_r: Optimizer
    recognition_opt: dict[str, Any]
    head_only_iter: int = Field(default=0, ge=0)


_TRAINING: dict[str, type[_Length]] = {'CFaceModel': CFaceTraining, 'RecognitionModel': RecognitionTraining}

_TOP = {'name', 'plugin', 'model_type', 'scale', 'num_gpu', 'manual_seed', 'datasets', 'network_g', 'network_d',
        'network_r', 'network_c', 'path', 'train', 'val', 'logger', 'dist_params', 'find_unused_parameters',
        'rank', 'world_size', 'dist', 'auto_resume', 'is_train', 'root_path'}

_PATH = {f'{key}_{net}' for net in 'gdrc' for key in ('pretrain_network', 'param_key', 'strict_load')} | {
    'resume_state', 'experiments_root', 'results_root', 'ignore_resume_networks', 'models', 'training_states', 'log',
    'visualization'}

_VAL = {'val_freq', 'save_img', 'metrics', 'pbar', 'suffix', 'num_tb_images'}

_LOGGER = {'print_freq', 'save_checkpoint_freq', 'use_tb_logger', 'wandb'}


_NEEDED = ('name', 'model_type', 'num_gpu', 'datasets', 'path')
"""What BasicSR's own parser reads; a training needs `train` and `logger` besides."""


def _refuse_unknown(keys: Iterable[str], valid: Iterable[str], section: str) -> None:
    for key in keys:
        if key not in valid:
            raise UserError(f"option '{section}{key}' is unknown; {nearest(str(key), valid)}")


def _need(values: Mapping[str, Any], keys: Iterable[str], section: str = '') -> None:
    for key in keys:
        if values.get(key) is None:
            raise UserError(f"option '{section}{key}' is missing.")


def refuse_broken_frame(opt: Mapping[str, Any]) -> None:
    """Refuse a file of ours in which a section is misspelt that BasicSR's parser reads before it asks anyone.

    Raises:
        UserError: a needed section is missing; names the misspelt one, where one is near.
    """
    for key in _NEEDED:
        if key not in opt:
            _refuse_unknown([name for name in get_close_matches(key, opt) if name not in _TOP], _TOP, '')
            raise UserError(f"option '{key}' is missing.")


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


# ------------------------------------------------------------------------------- sections that name a registered class


def _check_by_signature(registry: Any, values: Mapping[str, Any], section: str) -> None:
    """A section {'type': NAME, …} against the signature of the class that NAME is registered for."""
    known = {name for name, _ in registry}
    if values.get('type') not in known:
        raise UserError(f"option '{section}.type': {values.get('type')!r} is not registered; "
                        f"{nearest(str(values.get('type')), known)}")
    parameters = inspect.signature(registry.get(values['type'])).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    _refuse_unknown((key for key in values if key != 'type'), set(parameters) - {'self'}, f'{section}.')
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in values:
            raise UserError(f"option '{section}.{name}' is missing ({values['type']} needs it).")


def _check_networks_and_losses(opt: Mapping[str, Any]) -> None:
    from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
    for key, values in opt.items():
        if key.startswith('network_'):
            _check_by_signature(ARCH_REGISTRY, values, key)
    for key, values in opt.get('train', {}).items():
        if key.endswith('_opt') and isinstance(values, Mapping):
            _check_by_signature(LOSS_REGISTRY, values, f'train.{key}')


def _check_metrics(opt: Mapping[str, Any]) -> None:
    """BasicSR's metrics swallow unknown arguments, and a missing one shows at the first validation only."""
    from basicsr.utils.registry import METRIC_REGISTRY
    known = {name for name, _ in METRIC_REGISTRY}
    for name, values in ((opt.get('val') or {}).get('metrics') or {}).items():
        section = f'val.metrics.{name}'
        if values.get('type') not in known:
            raise UserError(f"option '{section}.type': {values.get('type')!r} is not registered; "
                            f"{nearest(str(values.get('type')), known)}")
        parameters = {key: p for key, p in inspect.signature(METRIC_REGISTRY.get(values['type'])).parameters.items()
                      if p.kind is not p.VAR_KEYWORD and key not in ('img', 'img2')}
        _refuse_unknown(values, {'type', 'better', *parameters}, f'{section}.')
        _need(values, [key for key, p in parameters.items() if p.default is p.empty], f'{section}.')


def _check_frame(opt: Mapping[str, Any]) -> None:
    _refuse_unknown(opt, _TOP, '')
    _need(opt, ('train', 'logger'))
    _refuse_unknown({phase.split('_')[0] for phase in opt['datasets']}, {'train', 'val'}, 'datasets.')
    _refuse_unknown(opt['path'], _PATH, 'path.')
    _refuse_unknown(opt.get('val') or {}, _VAL, 'val.')
    _refuse_unknown(opt['logger'], _LOGGER, 'logger.')
    _need(opt['datasets'], ('train',), 'datasets.')
    _need(opt['logger'], ('print_freq', 'save_checkpoint_freq', 'use_tb_logger'), 'logger.')
    _need(opt.get('val') or {}, ('val_freq', 'save_img') if opt.get('val') else (), 'val.')
    _check_metrics(opt)


def _check_datasets(opt: Mapping[str, Any]) -> None:
    """Data sets of the plugin list their keys in `OPTIONS`; stock ones are left to BasicSR."""
    from basicsr.utils.registry import DATASET_REGISTRY
    known = {name for name, _ in DATASET_REGISTRY}
    for phase, values in opt['datasets'].items():
        if values.get('type') not in known:
            raise UserError(f"option 'datasets.{phase}.type': {values.get('type')!r} is not registered; "
                            f"{nearest(str(values.get('type')), known)}")
        valid = getattr(DATASET_REGISTRY.get(values['type']), 'OPTIONS', None)
        if valid:
            _refuse_unknown(values, set(valid), f'datasets.{phase}.')


# ------------------------------------------------------------------------------------------------- sizes of a data set


def roots(dataset: Mapping[str, Any]) -> list[str]:
    """The ground-truth stores of a data set section: one path or several."""
    root = dataset['dataroot_gt']
    return [root] if isinstance(root, str) else list(root)


def count_images(dataset: Mapping[str, Any]) -> int | None:
    """How many images a data set over LMDB stores has, all its stores together; None for other kinds of data."""
    paths = [Path(root) / 'meta_info.txt' for root in roots(dataset)] if dataset.get('dataroot_gt') else []
    if not paths or not all(str(path.parent).endswith('.lmdb') for path in paths):
        return None
    for path in paths:
        if not path.is_file():
            raise UserError(f"data store '{path.parent}' is missing or unfinished (no meta_info.txt).\n"
                            "Make it: cface prepare --layout casia SRC --out DIR --scale 2 4 8 --crop center")
    return sum(1 for path in paths for line in path.read_text(encoding='utf-8').splitlines() if line.strip())


def count_identities(dataset: Mapping[str, Any]) -> int:
    """How many identities the labels of a data set section name."""
    path = Path(dataset.get('identities') or Path(roots(dataset)[0]).parent)
    path = path / 'identities.csv' if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"'{path}' is missing: expected the labels that `cface prepare` writes beside the stores.")
    with open(path, newline='', encoding='utf-8') as file:
        return len({row['label'] for row in csv.DictReader(file)})


def iterations_an_epoch(images: int, world: int, batch_a_rank: int) -> int:
    """Full batches that a rank gets from one pass over the data; BasicSR's loader drops the rest.

    >>> iterations_an_epoch(images=100, world=2, batch_a_rank=16)
    3
    """
    return math.ceil(images / world) // batch_a_rank


def _ranks(opt: Mapping[str, Any]) -> tuple[int, int]:
    """(processes, devices a process feeds): BasicSR multiplies its batch by the second outside of DDP."""
    return opt.get('world_size', 1), 1 if opt.get('dist') else max(1, opt.get('num_gpu', 0))


def _fill_batch(opt: dict[str, Any]) -> None:
    """`batch_size` is global; BasicSR wants the share of one device."""
    train = opt['datasets']['train']
    _need(train, ('num_worker_per_gpu',), 'datasets.train.')
    if 'batch_size' not in train:
        return _need(train, ('batch_size_per_gpu',), 'datasets.train.')
    if 'batch_size_per_gpu' in train:
        raise UserError("options 'datasets.train.batch_size' (global) and 'batch_size_per_gpu' exclude each other.")
    world, devices = _ranks(opt)
    share, rest = divmod(train['batch_size'], world * devices)
    if rest or not share:
        raise UserError(f"option 'datasets.train.batch_size': {train['batch_size']} images cannot be shared by "
                        f'{world * devices} devices; choose a multiple.')
    train['batch_size_per_gpu'] = share
    del train['batch_size']


def _fill_iterations(opt: dict[str, Any]) -> None:
    train, data = opt['train'], opt['datasets']['train']
    images = count_images(data)
    if images is not None:
        world, devices = _ranks(opt)
        a_rank = data['batch_size_per_gpu'] * devices
        seen = images * data.get('dataset_enlarge_ratio', 1)
        train['iterations_an_epoch'] = iterations_an_epoch(seen, world, a_rank)
        if not train['iterations_an_epoch']:
            raise UserError(f"the training set has {images} images, fewer than one batch of {world * a_rank}.\n"
                            "Lower 'datasets.train.batch_size', or train on more images.")
    elif any((section.get('schedule') or {}).get('type') == 'epoch' for key, section in train.items()
             if key.startswith('optim_') and section):
        raise UserError("option 'schedule.type': 'epoch' needs LMDB stores, whose size is known; take 'steps'.")
    if ('total_epoch' in train) == ('total_iter' in train):
        raise UserError("option 'train': expected 'total_epoch' or 'total_iter', "
                        f"got {'both' if 'total_iter' in train else 'neither'}.")
    if 'total_epoch' in train:
        if images is None:
            raise UserError("option 'train.total_epoch' needs LMDB stores, whose size is known; set 'total_iter'.")
        train['total_iter'] = train.pop('total_epoch') * train['iterations_an_epoch']


def _fill_identities(opt: dict[str, Any]) -> None:
    """`network_c.num_classes: ~` is read from the labels; a number that differs from them is refused."""
    head = opt.get('network_c')
    if not head:
        return
    identities = count_identities(opt['datasets']['train'])
    if head.get('num_classes') is None:
        head['num_classes'] = identities
    if head['num_classes'] != identities:
        raise UserError(f"option 'network_c.num_classes' is {head['num_classes']}, but the training set has "
                        f'{identities} identities. Leave it empty (~) to read it from the labels.')


def _check_parts(opt: Mapping[str, Any]) -> None:
    """Losses that need a network, and the other way round."""
    train = opt['train']
    needs = {'gan_opt': ('network_d', 'optim_d'), 'cface_opt': ('network_r',),
             'recognition_opt': ('network_r', 'network_c', 'optim_r')}
    for loss, parts in needs.items():
        for part in parts if train.get(loss) else ():
            if not (opt.get(part) or train.get(part)):
                raise UserError(f"option 'train.{loss}' needs '{part}', which is missing.")
    if train.get('cface_opt') and not (opt['path'].get('pretrain_network_r') or 'file' in opt['network_r']):
        raise UserError("option 'path.pretrain_network_r' is missing: L_CF needs a trained recognizer (stage 0), "
                        'a random one knows no faces.')
    if opt['model_type'] == 'RecognitionModel' and opt.get('val'):
        raise UserError("option 'val': RecognitionModel has no validation of its own; measure with "
                        '`cface evaluate pairs` on identities that it was not trained on.')


def _keep_frozen_recognizer(opt: dict[str, Any]) -> None:
    """A frozen recognizer is not saved with each checkpoint, so a resumed run must read it from its own file."""
    if opt.get('network_r') and not opt['train'].get('recognition_opt'):
        opt['path']['ignore_resume_networks'] = ['network_r']


def _check_classes(opt: dict[str, Any]) -> None:
    from basicsr.utils.registry import MODEL_REGISTRY
    known = {name for name, _ in MODEL_REGISTRY}
    if opt.get('network_c'):
        opt['network_c'].setdefault('num_classes', None)  # read from the labels later
    if opt.get('model_type') not in known:
        raise UserError(f"option 'model_type': {opt.get('model_type')!r} is not registered; "
                        f"{nearest(str(opt.get('model_type')), known)}")
    _check_networks_and_losses(opt)


def prepare_training_options(opt: dict[str, Any]) -> None:
    """Check a training's options and complete them in place; nothing has been built or written yet.

    Raises:
        UserError: one line that names the option, what was expected and what came.
    """
    if 'plugin' not in opt:
        return
    _check_classes(opt)
    if opt['model_type'] in _TRAINING:
        _check_frame(opt)
        open_section(_TRAINING[opt['model_type']], opt['train'], 'train')
    _check_datasets(opt)
    _fill_batch(opt)
    _fill_iterations(opt)
    if opt['model_type'] in _TRAINING:
        _fill_identities(opt)
        _check_parts(opt)
        _keep_frozen_recognizer(opt)
    opt['train'].setdefault('warmup_iter', -1)


def prepare_test_options(opt: dict[str, Any]) -> None:
    """Check the options of `basicsr/test.py`, before anything is built or written.

    Raises:
        UserError: one line that names the option.
    """
    if 'plugin' not in opt:
        return
    _check_classes(opt)
    if opt['model_type'] == 'GenerateModel':
        _refuse_unknown(opt, _TOP - {'train'}, '')
        _refuse_unknown(opt['path'], _PATH, 'path.')
        _refuse_unknown(opt.get('val') or {}, _VAL, 'val.')
        _need(opt, ('network_g',))
        _need(opt['path'], ('pretrain_network_g',), 'path.')
    _check_datasets(opt)

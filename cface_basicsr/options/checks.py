"""What is asked of a whole option file before any work, and what is filled in.

`prepare_training_options` is called once, when BasicSR has parsed the file and before anything is built. It also turns
epochs into iterations and a global batch into a batch a rank, from the true size of the data set. The sections of
networks and losses need no model: their classes take keyword arguments only, so the signature is the schema.
"""

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from cface_basicsr.errors import UserError, nearest
from cface_basicsr.options.basicsr_training import BASICSR_TRAINING
from cface_basicsr.options.sections import CFaceTraining, RecognitionTraining, Section, SICNNTraining, open_section
from cface_basicsr.options.sizes import count_identities, count_images, iterations_an_epoch

_TRAINING: dict[str, type[Section]] = {'CFaceModel': CFaceTraining, 'RecognitionModel': RecognitionTraining,
                                       'SICNNModel': SICNNTraining}
"""The models of ours that train."""

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


def _check_top(opt: Mapping[str, Any], training: type[Section]) -> None:
    """A key that belongs into a section is named with it (one `train:` too few), a misspelt one with the nearest."""
    places = {'train': training.model_fields, 'path': _PATH, 'val': _VAL, 'logger': _LOGGER}
    for key in opt:
        for section, keys in places.items():
            if key in keys and key not in _TOP:
                raise UserError(f"option '{key}' is unknown; did you mean '{section}.{key}'?")
    _refuse_unknown(opt, _TOP, '')


def _check_built(opt: Mapping[str, Any]) -> None:
    """BasicSR's own models build the networks that they know, and leave a section for another one unread."""
    built = BASICSR_TRAINING[opt['model_type']].networks
    for key in opt:
        if key.startswith('network_') and key not in built:
            raise UserError(f"option '{key}': {opt['model_type']} builds {', '.join(sorted(built))} alone.")


def _check_frame(opt: Mapping[str, Any]) -> None:
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
    needs = {'gan_opt': ('network_d', 'optim_d'), 'cface_opt': ('network_r',), 'identity_opt': ('network_r',),
             'recognition_opt': ('network_r', 'network_c', 'optim_r')}
    for loss, parts in needs.items():
        for part in parts if train.get(loss) else ():
            if not (opt.get(part) or train.get(part)):
                raise UserError(f"option 'train.{loss}' needs '{part}', which is missing.")
    for loss, name in (('cface_opt', 'L_CF'), ('identity_opt', 'L_SI')):
        if train.get(loss) and not (opt['path'].get('pretrain_network_r') or 'file' in opt['network_r']):
            raise UserError(f"option 'path.pretrain_network_r' is missing: {name} needs a trained recognizer "
                            '(stage 0), a random one knows no faces.')
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
    training = (_TRAINING | BASICSR_TRAINING).get(opt['model_type'])
    if training:
        _check_top(opt, training)
        _check_frame(opt)
        open_section(training, opt['train'], 'train')
    if opt['model_type'] in BASICSR_TRAINING:
        _check_built(opt)
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
    if opt['model_type'] in BASICSR_TRAINING:
        _check_top(opt, BASICSR_TRAINING[opt['model_type']])
    _check_datasets(opt)

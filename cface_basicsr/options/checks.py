"""The checks of a whole option file before any work, and what is filled in.

`prepare_training_options` is called once, after BasicSR has parsed the file and before anything is built. It also turns
epochs into iterations, by the true size of the data set, and a global batch into the batch of one rank.
"""

from collections.abc import Mapping
from typing import Any

from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import named_recognizer
from cface_basicsr.options.option_file import TRAINING, open_file
from cface_basicsr.options.signatures import ENLARGING, registered, section_of
from cface_basicsr.options.sizes import check_roots, count_identities, count_images, iterations_an_epoch, smallest_side
from cface_basicsr.options.training import OUR_TRAINING, Training, leading_recognizers
from cface_basicsr.registration import offered


def _ranks(opt: Mapping[str, Any]) -> tuple[int, int]:
    """(processes, devices of each process): without DDP, BasicSR multiplies its batch by the second."""
    return opt.get('world_size', 1), 1 if opt.get('dist') else max(1, opt.get('num_gpu', 0))


def _check_loader(train: Mapping[str, Any]) -> None:
    """What BasicSR's loader needs of any training set; `batch_size` is ours, global, and replaces BasicSR's own key."""
    if train.get('num_worker_per_gpu') is None:
        raise UserError("option 'datasets.train.num_worker_per_gpu' is missing.")
    given = [key for key in ('batch_size', 'batch_size_per_gpu') if train.get(key) is not None]
    if not given:
        raise UserError("option 'datasets.train.batch_size' is missing.")
    if len(given) == 2:
        raise UserError("option 'datasets.train.batch_size': (global) and 'batch_size_per_gpu' exclude each other.")


def _check_length(train: Mapping[str, Any]) -> None:
    lengths = [key for key in ('total_epoch', 'total_iter') if train.get(key) is not None]
    if len(lengths) != 1:
        raise UserError("option 'train': expected 'total_epoch' or 'total_iter', got "
                        f"{'both; set one of them to ~' if lengths else 'neither'}.")


def _check_devices(opt: Mapping[str, Any]) -> None:
    """Refuse what asks for a GPU if torch sees none."""
    import torch
    if torch.cuda.is_available():
        return
    if opt['num_gpu']:
        raise UserError(f"option 'num_gpu' is {opt['num_gpu']}, and torch sees no GPU here; take auto or 0, the CPU.")
    for name, section in opt['datasets'].items():
        if section.get('prefetch_mode') == 'cuda':
            raise UserError(f"option 'datasets.{name}.prefetch_mode': torch sees no GPU; take cpu, or leave it out.")


def _pin_only_for_a_gpu(opt: Mapping[str, Any]) -> None:
    """Pinned memory serves nothing without a GPU, and torch would warn."""
    for section in opt['datasets'].values() if not opt['num_gpu'] else ():
        section['pin_memory'] = False


def _fill_batch(opt: dict[str, Any]) -> None:
    """`batch_size` is global; BasicSR needs the share of one device."""
    train = opt['datasets']['train']
    if train.get('batch_size') is None:
        return
    world, devices = _ranks(opt)
    share, rest = divmod(train['batch_size'], world * devices)
    if rest:
        raise UserError(f"option 'datasets.train.batch_size': {train['batch_size']} images cannot be shared by "
                        f'{world * devices} devices; choose a multiple.')
    train['batch_size_per_gpu'] = share
    del train['batch_size']


def _check_parts_of_a_batch(opt: Mapping[str, Any]) -> None:
    share, parts = opt['datasets']['train']['batch_size_per_gpu'], opt['train'].get('accum_iter', 1)
    if share % parts:
        raise UserError(f"option 'train.accum_iter': the {share} images of a device cannot be shared by {parts} parts; "
                        'choose a divisor.')


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
        raise UserError(f"option 'schedule.type': 'epoch' needs LMDB stores (NAME.lmdb), whose size is known, got "
                        f"{data.get('dataroot_gt')!r}; take 'steps'.")
    if train.get('total_epoch') is not None:
        if images is None:
            raise UserError("option 'train.total_epoch' needs LMDB stores (NAME.lmdb), whose size is known, got "
                            f"{data.get('dataroot_gt')!r}; set 'total_iter'.")
        train['total_iter'] = train.pop('total_epoch') * train['iterations_an_epoch']


def _fill_identities(opt: dict[str, Any]) -> None:
    """Read `network_c.num_classes: ~` from the labels; a number that differs from them is refused."""
    head = opt.get('network_c')
    if not head:
        return
    identities = count_identities(opt['datasets']['train'])
    if identities == 1:
        raise UserError("option 'network_c': all images of the training set are of one person, and a classifier needs "
                        'two at least.')
    if head.get('num_classes') is None:
        head['num_classes'] = identities
    if head['num_classes'] != identities:
        raise UserError(f"option 'network_c.num_classes' is {head['num_classes']}, but the training set has "
                        f'{identities} identities. Leave it empty (~) to read it from the labels.')


_READ_FOR = {'network_g': 'dataroot_lq', 'recognition_opt': 'identities', 'cface_opt': 'compare_mode'}
"""What is trained, or its loss -> the key of those data sets that hold what it is trained on."""


def _check_images(opt: Mapping[str, Any], training: Training) -> None:
    """Check that the training set gives what the model reads."""
    kind = opt['datasets']['train']['type']
    for part, key in _READ_FOR.items():
        if not (part in training.networks and opt.get(part) or opt['train'].get(part)):
            continue
        if not section_of('data', kind).knows(key):  # one that is nobody's may have any
            fit = [name for name, each in sorted(offered('data').items()) if key in each.OPTIONS.model_fields]
            raise UserError(f"option 'datasets.train.type': {kind} has no '{key}', which '{part}' needs; take "
                            f"{' or '.join(fit)}.")


def _check_scale(opt: Mapping[str, Any]) -> None:
    """Check that network and losses have the file's scale, where they have one."""
    sections = {'network_g': ('archs', opt.get('network_g')), **{
        f'train.{name}': ('losses', section) for name, section in (opt.get('train') or {}).items()
        if name.endswith('_opt')}}
    for name, (room, section) in sections.items():
        known = isinstance(section, Mapping) and str(section.get('type')) in registered(room)  # others are left alone
        fields = section_of(room, section['type']).model_fields if known else {}
        for key in ENLARGING & fields.keys():
            scale = section.get(key, fields[key].default)
            if opt.get('scale') is not None and scale != opt['scale']:
                raise UserError(f"option '{name}.{key}' is {scale}, but 'scale' is {opt['scale']}.")


def _check_parts(opt: Mapping[str, Any], training: Training) -> None:
    """Check that each loss has the networks that it needs."""
    for loss, parts in training.needs().items():
        for part in parts if getattr(training, loss) else ():
            if not (opt.get(part) or opt['train'].get(part)):
                raise UserError(f"option 'train.{loss}' needs '{part}', which is missing.")
    for loss in training.compared_by_features():
        if not (opt['path'].get('pretrain_network_r') or 'file' in opt['network_r']):
            raise UserError(f"option 'path.pretrain_network_r' is missing: 'train.{loss}' needs a trained recognizer "
                            '(stage 0); a random one knows no faces.')
    leaders = [named_recognizer(file).absolute() for file in leading_recognizers(opt)]
    if twice := next((path for path in leaders if leaders.count(path) > 1), None):
        raise UserError(f"option 'train.more_recognizers': '{twice.name}' leads the loss already; name each recognizer "
                        'once.')
    _check_images(opt, training)
    if opt['datasets']['train'].get('reference_features') == 'file':
        _check_reference_features(opt['train'])
    if opt['model_type'] == 'RecognitionModel' and opt.get('val'):
        raise UserError("option 'val': RecognitionModel has no validation of its own; measure with "
                        '`cface evaluate pairs` on identities that it was not trained on.')


def _check_reference_features(train: Mapping[str, Any]) -> None:
    """The features of an index are unit features of a recognizer that does not change."""
    wrong = {'needs train.cface_opt, the loss that compares features': not train.get('cface_opt'),
             'belongs to a frozen CNN_R; train.recognition_opt (stage 4) changes it in each step':
                 bool(train.get('recognition_opt')),
             'holds features of whole faces; train.views compares other views':
                 bool(train.get('views')),
             'holds the features of one recognizer; train.more_recognizers has no index':
                 bool(train.get('more_recognizers')),
             "holds unit features; 'l2' compares their lengths too":
                 (train.get('cface_opt') or {}).get('distance') == 'l2'}
    for reason, holds in wrong.items():
        if holds:
            raise UserError(f"option 'datasets.train.reference_features': 'file' {reason}. Take compute.")


def _keep_frozen_recognizer(opt: dict[str, Any]) -> None:
    """A frozen recognizer is not saved with each checkpoint, so a resumed run must read it from its own file."""
    if opt.get('network_r') and not opt['train'].get('recognition_opt'):
        opt['path']['ignore_resume_networks'] = ['network_r']


def check_training_options(opt: Mapping[str, Any]) -> None:
    """Check all of a training's options that can be judged without its data; views are, where the data are there.

    Raises:
        UserError: one line that names the option, what was expected and what was given.
    """
    file = open_file(opt)
    for key, section in (('train', opt.get('train')), ('datasets.train', opt['datasets'].get('train'))):
        if not section:  # of a model that is left to BasicSR
            raise UserError(f"option '{key}' is missing.")
    _check_loader(opt['datasets']['train'])
    _check_length(opt['train'])
    _check_scale(opt)
    if opt['model_type'] in TRAINING:
        _check_parts(opt, file.train)
        if (views := getattr(file.train, 'views', None)) and (side := smallest_side(opt['datasets']['train'])):
            views.check_within(side)


def _is_the_plugins(opt: Mapping[str, Any]) -> bool:
    """Whether a file has the plugin line, or must have it, since it names a class of ours."""
    data = opt.get('datasets')
    sections = [section for key, section in opt.items() if key.startswith('network_')]
    sections += data.values() if isinstance(data, Mapping) else ()
    named = [opt.get('model_type'), *(section.get('type') for section in sections if isinstance(section, Mapping))]
    ours = [*offered('models'), *offered('archs'), *offered('data')]
    return 'plugin' in opt or any(name in ours for name in named)


def prepare_training_options(opt: dict[str, Any]) -> None:
    """Check a training's options and complete them in place, before anything is built or written.

    Raises:
        UserError: one line that names the option, what was expected and what was given.
    """
    if not _is_the_plugins(opt):
        return
    check_training_options(opt)
    _check_devices(opt)
    _pin_only_for_a_gpu(opt)
    check_roots(opt['datasets'])
    _fill_batch(opt)
    _fill_iterations(opt)
    if opt['model_type'] in OUR_TRAINING:
        _check_parts_of_a_batch(opt)
        opt['datasets']['train']['uint8'] = True  # our models make floats of bytes on the device
        _fill_identities(opt)
        _keep_frozen_recognizer(opt)
    opt['train'].setdefault('warmup_iter', -1)


def prepare_test_options(opt: dict[str, Any]) -> None:
    """Check the options of `basicsr/test.py`, before anything is built or written.

    Raises:
        UserError: one line that names the option, what was expected and what was given.
    """
    if _is_the_plugins(opt):
        open_file(opt, training=False)
        _check_scale(opt)
        _check_devices(opt)
        check_roots(opt['datasets'])

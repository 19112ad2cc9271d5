"""Where a run writes, and the moment at which its options are checked: before BasicSR makes the first folder."""

import itertools
import os
import secrets
import site
import sysconfig
import types
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cface_basicsr import options
from cface_basicsr.compat.defect import Defect, row, swapped
from cface_basicsr.compat.reading import given_options
from cface_basicsr.compat.verification import check_verification
from cface_basicsr.files.atomic import lock

FOLDERS = ('experiments_root', 'models', 'training_states', 'log', 'visualization', 'results_root')
"""The entries of `path:` that BasicSR itself sets, all of them folders."""


def _is_packages_folder(path: Path) -> bool:
    known = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib'), *site.getsitepackages(),
             site.getusersitepackages()}
    return path.name in ('site-packages', 'dist-packages') or str(path) in known


def writable_root(root: str) -> str:
    """BasicSR's root folder, or the working directory where that root belongs to Python or cannot be written."""
    path = Path(root).resolve()
    inside_packages = any(_is_packages_folder(parent) for parent in (path, *path.parents))
    return os.getcwd() if inside_packages or not os.access(path, os.W_OK) else root


def set_output_folders(opt: dict[str, Any], root: str) -> None:
    """Point `opt['path']` and the TensorBoard log to the folder the user named, or to `root`."""
    key, below = ('experiments_root', 'experiments') if opt['is_train'] else ('results_root', 'results')
    asked = ((given_options() or {}).get('path') or {}).get(key)  # BasicSR 1.4.2 overwrites it while it parses
    home = os.path.expanduser(asked) if asked else os.path.join(root, below)
    run = os.path.join(home, opt['name'])
    opt['path'].update({key: run, 'log': run, 'visualization': os.path.join(run, 'visualization')})
    if opt['is_train']:
        opt['path'].update(models=os.path.join(run, 'models'), training_states=os.path.join(run, 'training_states'))
        opt['root_path'] = home if asked else root  # BasicSR puts tb_logger/<name> below it


def _root_of(opt: dict[str, Any]) -> str:
    """The root that BasicSR took: in a training it says so, in a test it is above the results folder."""
    if opt['is_train']:
        return opt['root_path']
    return str(Path(opt['path']['results_root']).parents[1])


def _expanded(path: Any) -> Any:
    """`os.path.expanduser`, also of a list of paths."""
    return [os.path.expanduser(each) for each in path] if isinstance(path, list) else os.path.expanduser(path)


SEVERAL_ROOTS = Defect(
    'several-roots', 'basicsr.utils.options:parse_options',
    'a list in dataroot_gt (D_HR and D_SR of stage 3) ends in a TypeError',
    has="osp.expanduser(dataset['dataroot_gt'])",
    replace={'basicsr.utils.options:osp': types.SimpleNamespace(**{**vars(os.path), 'expanduser': _expanded})})


@row('path-folders', 'basicsr.utils.misc:make_exp_dirs', 'basicsr.train:make_exp_dirs',
     has='for key, path in path_opt.items()')
def _make_only_folders(make: Callable, opt: dict[str, Any]) -> None:
    """Without it: every entry of `path:`, a file too, is made a folder; a number ends in a TypeError."""
    own = FOLDERS if opt['is_train'] else ('results_root', 'log', 'visualization')
    make({**opt, 'path': {key: value for key, value in opt['path'].items() if key in own and value}})


@row('archive-names', 'basicsr.utils.misc:mkdir_and_rename', 'basicsr.utils.misc:mkdir_and_rename',
     'basicsr.train:mkdir_and_rename', has="'_archived_' + get_time_str()")
def _choose_a_free_name(mkdir_and_rename: Callable, path: str) -> None:
    """Without it: OSError: Directory not empty, when a run is started twice within a second."""
    from basicsr.utils import misc
    archive = f'{path}_archived_'
    free = _free(archive + misc.get_time_str()).removeprefix(archive)
    with swapped(misc, 'get_time_str', lambda: free):
        mkdir_and_rename(path)


def _free(path: str, ending: str = '') -> str:
    """The path, or else the first of PATH_2, PATH_3 … that nothing has yet; the ending stays at the end."""
    name = path.removesuffix(ending)
    paths = itertools.chain((path,), (f'{name}_{number}{ending}' for number in itertools.count(2)))
    return next(each for each in paths if not os.path.exists(each))


@row('log-names', 'basicsr.utils.logger:get_root_logger', 'basicsr.train:get_root_logger',
     has="FileHandler(log_file, 'w')")
def _keep_the_other_log(get: Callable, *args: Any, log_file: str | None = None, **kwargs: Any) -> Any:
    """Without it: a run that is started again within a second overwrites its log."""
    return get(*args, log_file=log_file and _free(log_file, '.log'), **kwargs)


@row('wandb-id', 'basicsr.train:init_wandb_logger', has='wandb.util.generate_id()')
def _with_an_id(init: Callable, opt: dict[str, Any]) -> None:
    """Without it: AttributeError: module 'wandb.util' has no attribute 'generate_id', with a wandb of 2026."""
    import wandb.util
    if not hasattr(wandb.util, 'generate_id'):
        wandb.util.generate_id = lambda: secrets.token_hex(4)
    return init(opt)


@row('wandb-folder', 'basicsr.train:init_wandb_logger', has='sync_tensorboard=True)')
def _in_the_folder_of_the_run(init: Callable, opt: dict[str, Any]) -> None:
    """Without it: Weights & Biases writes a folder `wandb` into the working folder."""
    os.environ.setdefault('WANDB_DIR', opt['path']['experiments_root'])
    return init(opt)


class _Claim:
    """The locks of the folder that this process trains in."""

    held = ExitStack()


def _lock_folder(opt: dict[str, Any]) -> None:
    folder = opt['path']['experiments_root']
    if opt['rank'] == 0 and os.path.isdir(folder):
        _Claim.held.enter_context(lock(folder, "another training is at work in '{}'. Wait for it, or end it, or give "
                                               "this one another 'name'."))


def _claim_what_is_there(load: Callable, opt: dict[str, Any]) -> Any:
    _Claim.held.close()  # of the training before, in the same process
    _Claim.held = ExitStack()
    _lock_folder(opt)
    return load(opt)


def _claim_what_was_made(make: Callable, opt: dict[str, Any]) -> None:
    make(opt)  # it has put aside the folder that was there, whose lock stays: nobody comes between
    if opt['is_train']:
        _lock_folder(opt)


def _free_in_the_end(create: Callable, opt: dict[str, Any], logger: Any) -> Any:
    loaders = create(opt, logger)
    weakref.finalize(loaders[1], _Claim.held.close)  # the sampler goes with the training
    return loaders


ONE_TRAINING = Defect(
    'one-training', 'basicsr.utils.misc:make_exp_dirs',
    'a second training of the same name puts the folder of a running one aside, or writes into it', unless='lock',
    wrap={'basicsr.train:load_resume_state': _claim_what_is_there, 'basicsr.train:make_exp_dirs': _claim_what_was_made,
          'basicsr.train:create_train_val_dataloader': _free_in_the_end})

# Each of these runs before the first function of a pipeline: load_resume_state in a training, make_exp_dirs in a test.

def _choose_folders(function: Callable, opt: dict[str, Any]) -> Any:
    set_output_folders(opt, writable_root(_root_of(opt)))
    return function(opt)


def _choose_folders_of_a_test(make: Callable, opt: dict[str, Any]) -> Any:
    return make(opt) if opt['is_train'] else _choose_folders(make, opt)


def _check_training(load: Callable, opt: dict[str, Any]) -> Any:
    options.prepare_training_options(opt)
    check_verification(opt)
    return load(opt)


def _check_test(make: Callable, opt: dict[str, Any]) -> Any:
    if not opt['is_train']:
        options.prepare_test_options(opt)
    return make(opt)


OUTPUT_ROOT = Defect(
    'output-root', 'basicsr.train:init_tb_loggers',
    '`python -m basicsr.train` writes experiments/ and tb_logger/ into site-packages; 1.4.2 ignores '
    'path.experiments_root and path.results_root, and tb_logger never follows them', has="opt['root_path']",
    wrap={'basicsr.train:load_resume_state': _choose_folders, 'basicsr.train:make_exp_dirs': _choose_folders_of_a_test})
CHECKED_OPTIONS = Defect(
    'checked-options', 'basicsr.train:load_resume_state', 'a misspelt option is silently ignored',
    wrap={'basicsr.train:load_resume_state': _check_training, 'basicsr.train:make_exp_dirs': _check_test})

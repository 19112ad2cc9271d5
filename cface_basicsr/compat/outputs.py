"""Where a run writes, and the moment at which its options are checked: before BasicSR makes the first folder."""

import argparse
import functools
import itertools
import os
import site
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cface_basicsr import options
from cface_basicsr.compat.row import Mending, Row, in_pipelines, source, swapped

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


def asked_in_option_file(key: str) -> str | None:
    """`path.<key>` as the user wrote it: BasicSR 1.4.2 overwrites it while it parses."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('-opt')
    parser.add_argument('--force_yml', nargs='+', default=[])
    given, _ = parser.parse_known_args(sys.argv[1:])
    forced = dict(entry.split('=', 1) for entry in given.force_yml if '=' in entry)
    if f'path:{key}' in forced:
        return forced[f'path:{key}']
    return (options.read_option_file(given.opt).get('path') or {}).get(key) if given.opt else None


def set_output_folders(opt: dict[str, Any], root: str) -> None:
    """Point `opt['path']` and the TensorBoard log to the folder the user named, or to `root`."""
    key, below = ('experiments_root', 'experiments') if opt['is_train'] else ('results_root', 'results')
    asked = asked_in_option_file(key)
    home = os.path.expanduser(asked) if asked else os.path.join(root, below)
    run = os.path.join(home, opt['name'])
    opt['path'].update({key: run, 'log': run, 'visualization': os.path.join(run, 'visualization')})
    if opt['is_train']:
        opt['path'].update(models=os.path.join(run, 'models'), training_states=os.path.join(run, 'training_states'))
        opt['root_path'] = home if asked else root  # BasicSR puts tb_logger/<name> below it


def _root_of(opt: dict[str, Any]) -> str:
    """The root that BasicSR took: in a training it says so, in a test it stands in the results folder."""
    if opt['is_train']:
        return opt['root_path']
    return str(Path(opt['path']['results_root']).parents[1])


def _choosing_folders(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrapper(opt: dict[str, Any]) -> Any:
        set_output_folders(opt, writable_root(_root_of(opt)))
        return function(opt)
    return wrapper


def _in_tests_only(wrapper_of: Callable[[Callable], Callable]) -> Callable[[Callable], Callable]:
    """make_exp_dirs is the first function of a test, load_resume_state that of a training."""
    def wrap(make: Callable) -> Callable:
        mended = wrapper_of(make)

        @functools.wraps(make)
        def wrapper(opt: dict[str, Any]) -> Any:
            return make(opt) if opt['is_train'] else mended(opt)
        return wrapper
    return wrap


def _mend_root(mending: Mending) -> None:
    mending.wrap_in_pipelines('load_resume_state', _choosing_folders)
    mending.wrap_in_pipelines('make_exp_dirs', _in_tests_only(_choosing_folders))


def _only_folders(make: Callable) -> Callable:
    @functools.wraps(make)
    def wrapper(opt: dict[str, Any]) -> None:
        own = FOLDERS if opt['is_train'] else ('results_root', 'log', 'visualization')
        make({**opt, 'path': {key: value for key, value in opt['path'].items() if key in own and value}})
    return wrapper


def _mend_folders(mending: Mending) -> None:
    mending.wrap_in_pipelines('make_exp_dirs', _only_folders)


def _makes_every_entry() -> bool:
    from basicsr.utils import misc
    return 'for key, path in path_opt.items()' in source(misc.make_exp_dirs)


def _free_archive_name(mkdir_and_rename: Callable) -> Callable:
    @functools.wraps(mkdir_and_rename)
    def wrapper(path: str) -> None:
        from basicsr.utils import misc
        now = misc.get_time_str()
        names = itertools.chain((now,), (f'{now}_{number}' for number in itertools.count(2)))
        free = next(name for name in names if not os.path.exists(f'{path}_archived_{name}'))
        with swapped(misc, 'get_time_str', lambda: free):
            mkdir_and_rename(path)
    return wrapper


def _mend_archive(mending: Mending) -> None:
    from basicsr.utils import misc
    mending.wrap(misc, 'mkdir_and_rename', _free_archive_name)
    mending.wrap_in_pipelines('mkdir_and_rename', _free_archive_name)


def _names_by_the_second() -> bool:
    from basicsr.utils import misc
    return "'_archived_' + get_time_str()" in source(misc.mkdir_and_rename)


def _checking(prepare: str) -> Callable[[Callable], Callable]:
    def wrap(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapper(opt: dict[str, Any]) -> Any:
            check = getattr(options, prepare, None)
            if check:
                check(opt)
            return function(opt)
        return wrapper
    return wrap


def _mend_checks(mending: Mending) -> None:
    mending.wrap_in_pipelines('load_resume_state', _checking('prepare_training_options'))
    mending.wrap_in_pipelines('make_exp_dirs', _in_tests_only(_checking('prepare_test_options')))


class _ListPaths:
    """os.path, whose `expanduser` takes a list of paths too."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os.path, name)

    @staticmethod
    def expanduser(path: Any) -> Any:
        return [os.path.expanduser(each) for each in path] if isinstance(path, list) else os.path.expanduser(path)


def _mend_lists(mending: Mending) -> None:
    from basicsr.utils import options as basicsr_options
    mending.replace(basicsr_options, 'osp', _ListPaths())


def _takes_one_root() -> bool:
    from basicsr.utils import options as basicsr_options
    return "osp.expanduser(dataset['dataroot_gt'])" in source(basicsr_options.parse_options)


ROWS = (
    Row(name='several-roots', where='utils/options.py parse_options', upstream='not reported',
        symptom='a list in dataroot_gt (D_HR and D_SR of stage 3) ends in a TypeError',
        present=_takes_one_root, apply=_mend_lists),
    Row(name='path-folders', where='utils/misc.py make_exp_dirs', upstream='not reported',
        symptom='every entry of `path:`, a file too, is made a folder; a number ends in a TypeError',
        present=_makes_every_entry, apply=_mend_folders),
    Row(name='archive-names', where='utils/misc.py mkdir_and_rename', upstream='not reported',
        symptom='OSError: Directory not empty, when a run is started twice within a second',
        present=_names_by_the_second, apply=_mend_archive),
    Row(name='output-root', where='train.py and test.py, __main__', upstream='not reported',
        symptom='`python -m basicsr.train` writes experiments/ and tb_logger/ into site-packages; 1.4.2 ignores '
                'path.experiments_root and path.results_root, and tb_logger never follows them',
        present=lambda: in_pipelines('init_tb_loggers', "opt['root_path']"), apply=_mend_root),
    Row(name='checked-options', where='train.py load_resume_state; test.py make_exp_dirs', upstream='not reported',
        symptom='a misspelt option is silently ignored',
        present=lambda: True, apply=_mend_checks),
)

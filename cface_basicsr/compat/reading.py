"""How BasicSR reads its command line and the option file that it names; both are read here before BasicSR does it."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cface_basicsr import options
from cface_basicsr.compat.defect import row
from cface_basicsr.errors import UserError
from cface_basicsr.files.yaml_file import CONSTRUCTORS

_LOADER = 'CLoader' if hasattr(yaml, 'CLoader') else 'Loader'  # the one that BasicSR takes
_PARSE = 'basicsr.utils.options:parse_options'


def given_options() -> dict[str, Any] | None:
    """The option file after `-opt`, with the changes after `--force_yml`; None if it is missing.

    Raises:
        UserError: the file cannot be read, or a change names a section that it does not have.
    """
    if '-opt' not in sys.argv[:-1] and not any(word.startswith('-opt=') for word in sys.argv):
        return None  # another program, whose `-o` argparse would take for an abbreviation
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('-opt')
    parser.add_argument('--force_yml', nargs='+', default=[])
    given, _ = parser.parse_known_args(sys.argv[1:])
    if not Path(given.opt).is_file():
        return None  # our own programs look for it elsewhere, too
    opt = options.read_option_file(given.opt, any_module=True)  # BasicSR's own program imports it
    for entry in given.force_yml:
        _force(opt, entry)
    return opt


def _force(opt: dict[str, Any], entry: str) -> None:
    """What BasicSR does with one entry of `--force_yml`."""
    from basicsr.utils.options import _postprocess_yml_value
    if entry.count('=') != 1:
        raise UserError(f"--force_yml '{entry}': expected SECTION:KEY=VALUE, such as train:total_iter=1000.")
    place, value = map(str.strip, entry.split('='))
    *sections, key = place.split(':')
    inner: Any = opt
    for section in sections:
        inner = inner.get(section)
        if not isinstance(inner, dict):
            raise UserError(f"--force_yml '{entry}': the option file has no section '{section}'.")
    try:
        inner[key] = _postprocess_yml_value(value)
    except Exception as error:  # it evaluates lists as Python
        raise UserError(f"--force_yml '{entry}': {value} is not a list.") from error


def check_given_options() -> None:
    """Check what BasicSR's parser is about to read: on most of what is wrong there it ends in a KeyError."""
    opt = given_options()
    if opt is not None and 'steps' in opt:
        raise UserError('this file is a recipe, a chain of several trainings: `cface train FILE` runs it.')
    if opt is not None:
        options.check_frame(opt)


# The constructors of the class itself, for the reading that the plugin line interrupts: it goes on with them.
@row('yaml-reader', 'basicsr.utils.options:ordered_yaml', has='construct_pairs',
     replace={f'yaml:{_LOADER}.yaml_constructors': {**getattr(yaml, _LOADER).yaml_constructors, **CONSTRUCTORS}})
def _with_our_constructors(ordered_yaml: Callable) -> tuple[Any, Any]:
    """Without it: of two equal keys the last one wins; 1e-4 is a text; a section merged into another ends in a
    ConstructorError.
    """
    loader, dumper = ordered_yaml()
    for tag, constructor in CONSTRUCTORS.items():
        loader.add_constructor(tag, constructor)
    return loader, dumper


@row('command-line', _PARSE, _PARSE, 'basicsr.train:parse_options', has='eval_str')
def _check_first(parse: Callable, *args: Any, **kwargs: Any) -> Any:
    """Without it: a missing section, a file in UTF-16 or an unknown section after --force_yml ends in a traceback."""
    check_given_options()
    try:
        return parse(*args, **kwargs)
    except yaml.constructor.ConstructorError as error:  # of a tag that only BasicSR's unsafe loader knows
        raise UserError(f"'{error.problem_mark.name}', line {error.problem_mark.line + 1}: {error.problem}. The first "
                        'line must be `plugin: !!python/name:cface_basicsr.register.NAME`.') from error

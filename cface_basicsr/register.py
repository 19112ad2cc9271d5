"""Importing this module registers every class of the plugin with BasicSR and patches BasicSR at run time.

An option file pulls it in by its first line, `plugin: !!python/name:cface_basicsr.register.NAME`: BasicSR reads
options with PyYAML's unsafe loader, which imports the module that the tag names, before anything is built.
"""

import argparse
from collections.abc import Iterable

import yaml
from basicsr.utils import options as basicsr_options
from basicsr.utils import registry

from cface_basicsr import compat, registration
from cface_basicsr.compat.reading import check_given_options
from cface_basicsr.files.yaml_file import Loader
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.runtime import start_computing

NAME = 'cface_basicsr'
"""What the `plugin:` line of an option file evaluates to: a plain string, so that options can be copied."""

_REGISTRIES = {'archs': registry.ARCH_REGISTRY, 'data': registry.DATASET_REGISTRY, 'losses': registry.LOSS_REGISTRY,
               'models': registry.MODEL_REGISTRY, 'metrics': registry.METRIC_REGISTRY}


def register() -> None:
    """Hand everything that our rooms offer to BasicSR's registries. Safe to call again."""
    for room, theirs in _REGISTRIES.items():
        for name, kind in registration.offered(room).items():
            if name not in theirs or theirs.get(name) is not kind:  # a clash with BasicSR is BasicSR's own error
                theirs.register(kind)


def use_plugins(modules: Iterable[str]) -> None:
    """Import the modules that the user has named by `--plugin`, and register what they offer.

    Raises:
        UserError: one is missing, or its import fails.
    """
    for module in modules:
        registration.admit(module)
    register()


def take_arguments(arguments: list[str]) -> None:
    """What our own train.py and test.py do with a command line before BasicSR parses it.

    `--plugin MODULE` is taken out. `-opt` may name an option file of the plugin, as in commands of `cface`. BasicSR
    will read it by our loader: only its own programs import what a file names.

    Raises:
        UserError: the file is missing, or a plugin cannot be imported.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--plugin', action='append', default=[])
    given, arguments[1:] = parser.parse_known_args(arguments[1:])
    use_plugins(given.plugin)
    for place, word in enumerate(arguments):
        if place and arguments[place - 1] == '-opt':
            arguments[place] = str(find_option_file(word))
        elif word.startswith('-opt='):
            arguments[place] = f"-opt={find_option_file(word.removeprefix('-opt='))}"
    basicsr_options.ordered_yaml = lambda: (Loader, yaml.SafeDumper)


start_computing()
register()
compat.apply()
check_given_options()  # the parser of BasicSR is at work already where the plugin line imports this module

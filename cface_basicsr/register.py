"""Importing this module registers every class of the plugin with BasicSR and patches BasicSR at run time.

An option file pulls it in by its first line, `plugin: !!python/name:cface_basicsr.register.NAME`: BasicSR reads
options with PyYAML's unsafe loader, which imports the module that the tag names, before anything is built.
"""

from basicsr.utils import registry

from cface_basicsr import compat, registration
from cface_basicsr.compat.reading import check_given_options
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


def find_named_file(arguments: list[str]) -> None:
    """Let `-opt` name an option file of the plugin too, as in commands of `cface`; for our own train.py and test.py.

    Raises:
        UserError: the file is missing.
    """
    for place, word in enumerate(arguments):
        if place and arguments[place - 1] == '-opt':
            arguments[place] = str(find_option_file(word))
        elif word.startswith('-opt='):
            arguments[place] = f"-opt={find_option_file(word.removeprefix('-opt='))}"


start_computing()
register()
compat.apply()
check_given_options()  # the parser of BasicSR is at work already where the plugin line imports this module

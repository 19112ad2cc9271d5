"""Networks of option files at widths for a test, by the constructors of their classes: a new network needs no entry."""

import inspect
from collections.abc import Mapping
from typing import Any

from cface_basicsr.registration import find_arch

KEPT = ('num_in_ch', 'num_out_ch', 'num_classes')
"""Keywords that count something, and are no width or depth."""


def narrow(section: Mapping[str, Any]) -> dict[str, int]:
    """Changes to a network's section that make it tiny: two of all that it counts, features of length eight.

    >>> narrow({'type': 'VDSR', 'scale': 8})
    {'num_feat': 2, 'num_block': 2}
    """
    names = inspect.signature(find_arch(section['type'])).parameters
    counted = {name: 2 for name in names if name.startswith('num_') and name not in KEPT}
    return counted | ({'feature_length': 8} if 'feature_length' in names else {})


def narrow_networks(opt: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Changes to an option file that make all of its networks tiny: network_x -> `narrow` of its section."""
    return {key: narrow(section) for key, section in opt.items() if key.startswith('network_')}

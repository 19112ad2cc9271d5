"""Identity-preserving face super-resolution (C-Face) as a plugin of BasicSR.

The public names below are imported when they are first asked for, so that `import cface_basicsr` costs nothing.
"""

import importlib
from typing import Any

_PUBLIC = {
    '__version__': 'version:__version__',
    'PhotoSettings': 'enhancing.photo:PhotoSettings',
    'SuperResolver': 'enhancing.load:SuperResolver',
    'UserError': 'errors:UserError',
    'CFaceLoss': 'losses.cface_loss:CFaceLoss',
    'cface_loss': 'losses.cface_loss:cface_loss',
    'load': 'enhancing.load:load',
    'metrics': 'metrics:',
    'protocols': 'evaluation.protocols:',
    'recognizer': 'recognizers.load:load_recognizer',
}
"""Public name -> 'module:name' inside the package; without a name, the module itself."""

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(':')
    found = importlib.import_module(f'{__name__}.{module}')
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

"""The two defects that strike before BasicSR reads an option file, so that no plugin line can reach them.

`cface` and `python -m cface_basicsr.train` call these functions before they import BasicSR; for BasicSR's own commands
`cface doctor --repair` edits the installed files.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = 'torchvision.transforms.functional_tensor'
"""BasicSR 1.4.2 imports rgb_to_grayscale from here; torchvision 0.17 moved it to transforms.functional (#533, #663)."""


class _MovedModule:
    """Finds and loads the module that torchvision took away: the one where its functions live now."""

    def find_spec(self, name: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.rgb_to_grayscale = importlib.import_module('torchvision.transforms.functional').rgb_to_grayscale


def patch_functional_tensor() -> None:
    """Let `import basicsr` 1.4.2 succeed with torchvision >= 0.17. Imports nothing itself; safe to call again.

    The finder comes last, so a torchvision that has the module still answers for itself.
    """
    if not any(isinstance(finder, _MovedModule) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModule())


def accept_local_rank() -> None:
    """Spell `--local-rank` as BasicSR's parser knows it: torch.distributed.launch passes it with a hyphen (#626)."""
    sys.argv[1:] = [argument.replace('--local-rank', '--local_rank', 1) if argument.startswith('--local-rank')
                    else argument for argument in sys.argv[1:]]


def prepare_import() -> None:
    """Both patches; call it before the first `import basicsr`."""
    patch_functional_tensor()
    accept_local_rank()

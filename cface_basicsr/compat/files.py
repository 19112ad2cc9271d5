"""What a checkpoint is and how it gets to disk: whole or not at all, and never ignored when it fails."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from cface_basicsr.compat.row import Mending, Row, source, swapped
from cface_basicsr.files.network_file import save_atomically


def plain(value: Any) -> Any:
    """Dictionaries, lists and numbers of option files as plain Python values, so that a file loads weights-only."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.item() if hasattr(value, 'item') else value


def _saved_by_us(save: Callable) -> Callable:
    """BasicSR gathers the content and calls torch.save; the writing itself happens here, outside of its `try`."""
    @functools.wraps(save)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        wanted: list[tuple[Any, str]] = []
        with swapped(torch, 'save', lambda content, path: wanted.append((content, path))):
            save(self, *args, **kwargs)
        for content, path in wanted:
            save_atomically(content, path)
    return wrapper


def _mend_writing(mending: Mending) -> None:
    from basicsr.models.base_model import BaseModel
    for name in ('save_network', 'save_training_state'):
        mending.wrap(BaseModel, name, _saved_by_us)


def _writes_in_place() -> bool:
    from basicsr.models.base_model import BaseModel
    return 'os.replace' not in source(BaseModel.save_network) + source(BaseModel.save_training_state)


def _says_its_name(save: Callable) -> Callable:
    @functools.wraps(save)
    def wrapper(self: Any, net: Any, net_label: str, *args: Any, **kwargs: Any) -> None:
        options = self.opt.get(f"network_{net_label.removeprefix('net_')}")
        write = torch.save

        def write_with_options(content: dict[str, Any], path: str | os.PathLike) -> None:
            write(content if options is None else {**content, 'network': plain(options)}, path)

        with swapped(torch, 'save', write_with_options):
            save(self, net, net_label, *args, **kwargs)
    return wrapper


def _mend_naming(mending: Mending) -> None:
    from basicsr.models.base_model import BaseModel
    mending.wrap(BaseModel, 'save_network', _says_its_name)


def _is_nameless() -> bool:
    from basicsr.models.base_model import BaseModel
    return "'network'" not in source(BaseModel.save_network)


ROWS = (
    Row(name='network-options', where='models/base_model.py BaseModel.save_network', upstream='not reported',
        symptom='a .pth file does not say which network and scale it is',
        present=_is_nameless, apply=_mend_naming),
    Row(name='whole-files', where='models/base_model.py save_network, save_training_state', upstream='not reported',
        symptom='a kill leaves a cut-off checkpoint; on a full disk "Just ignore it", and training goes on unsaved',
        present=_writes_in_place, apply=_mend_writing),
)

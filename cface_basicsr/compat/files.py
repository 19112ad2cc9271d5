"""What a checkpoint is and how it gets to disk: whole or not at all, and never ignored when it fails."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from cface_basicsr.compat.defect import Defect, swapped
from cface_basicsr.errors import first_few
from cface_basicsr.files.network_file import LED_BY, load_weights, read_network_file, save_atomically
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.options import leading_recognizers

_SAVE_NETWORK = 'basicsr.models.base_model:BaseModel.save_network'


def plain(value: Any) -> Any:
    """Dictionaries, lists and numbers of option files as plain Python values, so that a file loads weights-only."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.item() if hasattr(value, 'item') else value


def _save_ourselves(save: Callable, *args: Any, **kwargs: Any) -> None:
    """BasicSR collects the content and calls torch.save; the writing itself happens here, outside of its `try`."""
    wanted: list[tuple[Any, str]] = []
    with swapped(torch, 'save', lambda content, path: wanted.append((content, path))):
        save(*args, **kwargs)
    for content, path in wanted:
        save_atomically(content, path)


def _say_its_name(save: Callable, self: Any, net: Any, net_label: str, *args: Any, **kwargs: Any) -> None:
    options = self.opt.get(f"network_{net_label.removeprefix('net_')}")
    led_by = _led_by(self.opt) if net_label == 'net_g' else {}
    write = torch.save

    def write_with_options(content: dict[str, Any], path: str | os.PathLike) -> None:
        write(content if options is None else {**content, 'network': plain(options), **led_by}, path)

    with swapped(torch, 'save', write_with_options):
        save(self, net, net_label, *args, **kwargs)


def _led_by(opt: Mapping[str, Any]) -> dict[str, list[str]]:
    """The entry for the recognizers that lead a loss of this training, or led one of the file that it started from."""
    start = (opt.get('path') or {}).get('pretrain_network_g')
    before = read_network_file(start).get(LED_BY) or [] if start and os.path.isfile(start) else []
    found = sorted({*before, *(recognizer_hash(file, 64) for file in leading_recognizers(opt))})
    return {LED_BY: found} if found else {}


def _load_weights_only(load: Callable, self: Any, net: Any, load_path: str, strict: bool = True,
                       param_key: str = 'params') -> None:
    """As BasicSR does, `params` is read where a file has no average of its weights."""
    from basicsr.utils import get_root_logger
    left = load_weights(self.get_bare_model(net), load_path, (param_key, 'params'), strict=strict)
    get_root_logger().info(f"'{load_path}' is loaded" + (f'; as they were: {first_few(left)}.' if left else '.'))


FILE_ROWS = (
    Defect(name='network-options', upstream='not reported',
           symptom='a .pth file does not say which network and scale it is',
           target=_SAVE_NETWORK, unless="'network'", wrap=_say_its_name),
    Defect(name='whole-files', upstream='not reported',
           symptom='a kill leaves a cut-off checkpoint; on a full disk "Just ignore it", and training goes on unsaved',
           target=_SAVE_NETWORK, unless='os.replace',
           wrap=dict.fromkeys((_SAVE_NETWORK, 'basicsr.models.base_model:BaseModel.save_training_state'),
                              _save_ourselves)),
    Defect(name='weights-only', upstream='not reported',
           symptom='a weights file of another network ends in a traceback; code in a file is run by torch before 2.6',
           target='basicsr.models.base_model:BaseModel.load_network', unless='weights_only', wrap=_load_weights_only),
)

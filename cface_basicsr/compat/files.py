"""What a checkpoint is and how it gets to disk: whole or not at all, and never ignored when it fails."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from cface_basicsr.compat.defect import row, swapped
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


@row('network-options', _SAVE_NETWORK, unless="'network'")
def _say_its_name(save: Callable, self: Any, net: Any, net_label: str, *args: Any, **kwargs: Any) -> None:
    """Without it: a .pth file does not say which network and scale it is."""
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


@row('whole-files', _SAVE_NETWORK, _SAVE_NETWORK, 'basicsr.models.base_model:BaseModel.save_training_state',
     unless='os.replace')
def _save_ourselves(save: Callable, *args: Any, **kwargs: Any) -> None:
    """Without it: a kill leaves a cut-off checkpoint; on a full disk "Just ignore it", and training goes on unsaved.

    BasicSR collects the content and calls torch.save; the writing itself happens here, outside of its `try`.
    """
    wanted: list[tuple[Any, str]] = []
    with swapped(torch, 'save', lambda content, path: wanted.append((content, path))):
        save(*args, **kwargs)
    for content, path in wanted:
        save_atomically(content, path)


@row('weights-only', 'basicsr.models.base_model:BaseModel.load_network', unless='weights_only')
def _load_weights_only(load: Callable, self: Any, net: Any, load_path: str, strict: bool = True,
                       param_key: str = 'params') -> None:
    """Without it: a weights file of another network ends in a traceback; code in a file is run by torch before 2.6.

    As BasicSR does, `params` is read where a file has no average of its weights.
    """
    from basicsr.utils import get_root_logger
    left = load_weights(self.get_bare_model(net), load_path, (param_key, 'params'), strict=strict)
    get_root_logger().info(f"'{load_path}' is loaded" + (f'; as they were: {first_few(left)}.' if left else '.'))

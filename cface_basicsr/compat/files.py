"""What a checkpoint is and how it gets to disk: whole or not at all, and never ignored when it fails."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from cface_basicsr.compat.defect import row, swapped
from cface_basicsr.errors import first_few
from cface_basicsr.files.manifest import manifest_template, read_manifest
from cface_basicsr.files.network_file import (
    AVERAGED,
    LED_BY,
    STARTED_FROM,
    TEMPLATE,
    leaders_in,
    load_weights,
    read_network_file,
    save_atomically,
)
from cface_basicsr.files.recognizer_file import recognizer_marks
from cface_basicsr.files.safetensors_file import SAFETENSORS, write_safetensors
from cface_basicsr.options.training import leading_recognizers

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
    facts = {'net_g': _of_generator, 'net_r': _started_from}.get(net_label, lambda opt: {})(self.opt)
    write = torch.save

    def write_with_options(content: dict[str, Any], path: str | os.PathLike) -> None:
        write(content if options is None else {**content, 'network': plain(options), **facts}, path)

    with swapped(torch, 'save', write_with_options):
        save(self, net, net_label, *args, **kwargs)


def _of_generator(opt: Mapping[str, Any]) -> dict[str, Any]:
    return _led_by(opt) | _template(opt)


def _led_by(opt: Mapping[str, Any]) -> dict[str, list[str]]:
    """The entry for the recognizers that lead a loss of this training, or led one of the file that it started from.

    After a stop, BasicSR names the training's own checkpoints as what it starts from: the recognizer among them is the
    first one, only older, and the generator's file knows that one.
    """
    paths = opt.get('path') or {}
    start, own = paths.get('pretrain_network_g'), paths.get('models')
    before = leaders_in(read_network_file(start), start) if start and os.path.isfile(start) else []
    others = [file for file in leading_recognizers(opt) if not own or Path(file).parent != Path(own)]
    found = sorted({*before, *(mark for file in others for mark in recognizer_marks(file))})
    return {LED_BY: found} if found else {}


def _started_from(opt: Mapping[str, Any]) -> dict[str, list[str]]:
    """The entry for the recognizers that this training of one started from; see `_led_by` for a stopped training."""
    paths = opt.get('path') or {}
    start = paths.get('pretrain_network_r') or (opt.get('network_r') or {}).get('file')
    if not start:
        return {}
    own = paths.get('models') and Path(start).parent == Path(paths['models'])
    found = read_network_file(start).get(STARTED_FROM) or () if own else recognizer_marks(start)
    return {STARTED_FROM: sorted(found)} if found else {}


def _template(opt: Mapping[str, Any]) -> dict[str, str]:
    """The entry for how this training's faces were cropped, where the manifest of its store says it."""
    found = {manifest_template(store.parent) for store in _stores(opt)}
    return {TEMPLATE: found.pop()} if len(found) == 1 and None not in found else {}


def _stores(opt: Mapping[str, Any]) -> list[Path]:
    """The HR stores of a training."""
    roots = ((opt.get('datasets') or {}).get('train') or {}).get('dataroot_gt') or []
    return [Path(root) for root in (roots if isinstance(roots, list) else [roots])]


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
        hashes = vars(args[0]).setdefault('hashes_of_files', {})
        hashes[os.path.basename(path)] = save_atomically(content, path)
        if path.endswith('_latest.pth') and 'network' in content:
            weights = next(content[entry] for entry in AVERAGED if entry in content)
            facts = {name: value for name, value in content.items() if name not in AVERAGED}
            write_safetensors(Path(path).with_suffix(SAFETENSORS), weights, facts | _origin(args[0].opt))


def _origin(opt: Mapping[str, Any]) -> dict[str, Any]:
    """Where a network comes from: which training, at which scale, on which stores, by the hashes of their manifest."""
    hashes = {store.name: (read_manifest(store.parent).get('sha256') or {}).get(store.name) for store in _stores(opt)}
    return {'stage': opt.get('name'), 'scale': opt.get('scale'), 'data': hashes,
            'licence': 'These weights may be used where the licences of their training data and of the networks that '
                       'they started from allow it.'}


def states_in(folder: Path) -> list[Path]:
    """The states in a folder, oldest first; files with other names than `<number>.state` are not ours."""
    return sorted((path for path in folder.glob('*.state') if re.fullmatch(r'\d+', path.stem)),
                  key=lambda path: int(path.stem))


def forget_older(model: Any, done: bool = False) -> None:
    """Remove the checkpoints that neither `keep_last` nor `keep_best` of the options keeps, and those that only a stop
    made, as soon as there is a newer one or the training is `done`. Rank 0 does it.
    """
    if model.opt['rank'] != 0:
        return
    logger, folder = model.opt.get('logger') or {}, Path(model.opt['path']['training_states'])
    results = getattr(model, 'best_metric_results', {}).values() if logger.get('keep_best') else ()
    best = {str(metric['iter']) for metrics in results for metric in metrics.values()}
    states = states_in(folder)
    stopped = [path for path in states[:None if done else -1] if path.with_suffix('.stopped').exists()]
    regular = [path for path in states if path not in stopped]
    old = regular[:-logger['keep_last']] if logger.get('keep_last') else []
    for state in [*stopped, *(path for path in old if path.stem not in best)]:
        state.unlink()  # first: networks without a state do not count
        state.with_suffix('.stopped').unlink(missing_ok=True)
        for network in Path(model.opt['path']['models']).glob(f'net_*_{state.stem}.pth'):
            network.unlink()


@row('weights-only', 'basicsr.models.base_model:BaseModel.load_network', unless='weights_only')
def _load_weights_only(load: Callable, self: Any, net: Any, load_path: str, strict: bool = True,
                       param_key: str = 'params') -> None:
    """Without it: a weights file of another network ends in a traceback; code in a file is run by torch before 2.6.

    As BasicSR does, `params` is read where a file has no average of its weights.
    """
    from basicsr.utils import get_root_logger
    left = load_weights(self.get_bare_model(net), load_path, (param_key, 'params'), strict=strict)
    get_root_logger().info(f"'{load_path}' is loaded" + (f'; as they were: {first_few(left)}.' if left else '.'))

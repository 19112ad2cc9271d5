"""An option file at another scale and on other data, for recipes and `cface options show`."""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError
from cface_basicsr.options import check_frame
from cface_basicsr.registration import find_arch

SCALES = (2, 4, 8)
"""The scales of the paper, and of all networks."""

_STORES = ('dataroot_gt', 'dataroot_lq', 'compare_index', 'out')
"""Keys of a data set section that name a store or an index of a prepared folder; several stores may be a list."""


def check_scale(scale: int) -> None:
    """Check that a scale is 2, 4 or 8.

    Raises:
        UserError: it is another; the message gives the nearest.
    """
    if scale not in SCALES:
        near = min(SCALES, key=lambda known: abs(known - scale))
        raise UserError(f'scale {scale} is unknown; nearest: {near} (valid: 2, 4, 8).')


def at_scale(opt: Mapping[str, Any], scale: int | None, data: Path | None = None) -> dict[str, Any]:
    """The options of a training as they would be in a file written for another scale.

    Network, losses and stores get the scale. Where the name of the run and the paths end in the file's own scale
    (edsr_x8, lr_x8.lmdb, experiments/srresnet_x8/…), they end in the new one.

    Args:
        opt: as read from an option file.
        scale: 2, 4 or 8; None: as it is.
        data: a folder that `cface prepare` made, in place of the file's.

    Raises:
        UserError: the scale is another, or the options are broken or, where a scale is given, have no generator.
    """
    if scale is None:
        check_frame(opt)
        return with_stores(opt, lambda path: store_in(data, path)) if data else dict(opt)
    if not isinstance(opt.get('network_g'), Mapping) or not isinstance(opt.get('scale'), int):
        raise UserError("no 'network_g' and 'scale': expected the options of the training of a generator.")
    check_scale(scale)
    check_frame(opt)
    scaled = set_scale(opt, scale)
    scaled |= {key: _renamed(scaled[key], opt['scale'], scale) for key in ('name', 'datasets', 'path')}
    return with_stores(scaled, lambda path: store_in(data, path, scale)) if data else scaled


def set_scale(opt: Mapping[str, Any], scale: int) -> dict[str, Any]:
    """Options whose generator and losses have another scale; options without a generator stay as they are.

    Names and paths stay, too.

    Raises:
        UserError: the generator has no type, or it is unknown or takes no scale.
    """
    network = opt.get('network_g')
    if not isinstance(network, Mapping):
        return dict(opt)
    if not isinstance(network.get('type'), str):
        raise UserError(f"option 'network_g.type': expected the name of a network, got {network.get('type')!r}.")
    argument = scale_argument(network['type'])
    train = {key: values | {'scale': scale} if _is_loss(key, values) and 'scale' in values else values
             for key, values in (opt.get('train') or {}).items()}  # of losses: the depth of WaveletLoss follows it
    return {**opt, 'scale': scale, 'network_g': network | {argument: scale}, **({'train': train} if train else {})}


def _is_loss(key: str, values: Any) -> bool:
    return key.endswith('_opt') and isinstance(values, Mapping)


def scale_argument(network: str) -> str:
    """What a registered network calls its scale: BasicSR's EDSR says `upscale`.

    Raises:
        UserError: no network has that name, or it has no such argument.
    """
    try:
        parameters = inspect.signature(find_arch(network)).parameters
    except UserError as error:
        raise UserError(f"option 'network_g.type': {error}") from error
    for name in ('scale', 'upscale'):
        if name in parameters:
            return name
    raise UserError(f"option 'network_g.type': {network} takes neither 'scale' nor 'upscale', so no recipe can use it.")


def _renamed(value: Any, old: int, new: int) -> Any:
    """`_x<old>` in every text, at any depth, becomes `_x<new>`."""
    if isinstance(value, Mapping):
        return {key: _renamed(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    return re.sub(rf'_x{old}(?!\d)', f'_x{new}', value) if isinstance(value, str) else value


# -------------------------------------------------------------------------------------------------------------- stores

def with_stores(opt: Mapping[str, Any], place: Callable[[str], Path]) -> dict[str, Any]:
    """Options whose data sets read each store and index from the path that `place` gives for it."""
    def placed(value: str | list[str]) -> str | list[str]:
        return [str(place(path)) for path in value] if isinstance(value, list) else str(place(value))
    return {**opt, 'datasets': {
        phase: {**section, **{key: placed(section[key]) for key in _STORES if section.get(key)}}
        if isinstance(section, Mapping) else section for phase, section in opt['datasets'].items()}}


def train_folder(data: Path) -> Path:
    """The identities trained on: `train/` of a folder made with --holdout, or the folder itself."""
    return data / 'train' if (data / 'train').is_dir() else data


def store_in(data: Path, path: str, scale: int | None = None) -> Path:
    """The path in a prepared folder, at a scale (None: its own), of a store that an option file names."""
    folder = data / 'test' if Path(path).parent.name == 'test' else train_folder(data)
    name = Path(path).name
    return folder / (re.sub(r'^(lr|sr)_x\d+', rf'\1_x{scale}', name) if scale else name)

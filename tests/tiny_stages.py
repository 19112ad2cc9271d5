"""The paper's stage option files at tiny widths on tiny data, and the models that they build."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from cface_basicsr import options
from cface_basicsr.options import merge, read_option_file, write_option_file
from cface_basicsr.training.recipe import only_existing
from tests.small_data import write_small_data, write_small_index

REPOSITORY = Path(__file__).parents[1]

TINY: dict[str, Any] = {
    'num_gpu': 0, 'manual_seed': 5,
    'network_g': {'num_feat': 4, 'num_block': 1}, 'network_d': {'num_feat': 2, 'num_dense': 4},
    'network_r': {'num_feat': 2, 'feature_length': 8}, 'network_c': {'feature_length': 8},
    'datasets': {'train': {'batch_size': 4, 'num_worker_per_gpu': 0, 'persistent_workers': False, 'pin_memory': None},
                 'val': {'num_images': 2}},
    'train': {'content_opt': {'type': 'L1Loss', 'loss_weight': 2.0}},  # VGG19 has tests of its own
}


def write_tiny_data(folder: Path, identities: int = 4, images: int = 3) -> Path:
    """train/ (identities * images faces, D_SR and compare index) and test/; weights of a random recognizer."""
    train = write_small_data(folder / 'train', identities=identities, images=images)
    write_small_data(folder / 'test', identities=2, images=2, seed=1)
    write_small_index(train)
    (train / 'sr_x8.lmdb').symlink_to('hr.lmdb')
    write_recognizer(folder / 'net_r.pth')
    write_head(folder / 'net_c.pth', identities)
    return folder


def write_recognizer(path: Path, seed: int = 0, **changes: Any) -> Path:
    """A network file with a random SphereFace20 of the tiny width."""
    section = {'type': 'SphereFace20', 'input_size': [128, 128], **TINY['network_r'], **changes}
    return _write_network(path, seed, section)


def write_head(path: Path, identities: int, step: int = 0) -> Path:
    """A network file with a random classifier that has been trained for `step` steps."""
    _write_network(path, 0, {'type': 'ASoftmaxHead', **TINY['network_c'], 'num_classes': identities})
    content = torch.load(path, weights_only=True)
    content['params']['step'].fill_(step)
    torch.save(content, path)
    return path


def _write_network(path: Path, seed: int, section: dict[str, Any]) -> Path:
    from basicsr.archs import build_network

    import cface_basicsr.register  # noqa: F401
    torch.manual_seed(seed)
    torch.save({'params': build_network(section).state_dict(), 'network': section}, path)
    return path


def stage_options(stage: int, data: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """options/cface_stage<N>.yml, tiny, on `data`, six iterations of four images; `changes` are merged in."""
    return tiny(f'cface_stage{stage}.yml', data, changes, handed_over='rc' if stage > 0 else '')


def tiny(file: str, data: Path, changes: Mapping[str, Any] | None = None, handed_over: str = '') -> dict[str, Any]:
    """An option file of the plugin, tiny, at x8, on `data`; `handed_over`: the networks that start from its files."""
    opt = read_option_file(REPOSITORY / 'options' / file)
    opt = merge(opt, only_existing(TINY, opt))
    opt = merge(opt, {'train': {'total_epoch': None, 'total_iter': 6}})
    opt['path'] = {f'pretrain_network_{label}': str(data / f'net_{label}.pth')
                   for label in handed_over if f'network_{label}' in opt}
    if 'network_g' in opt:
        opt = merge(opt, {'scale': 8, 'network_g': {'scale': 8}})
    for phase, section in opt['datasets'].items():
        opt['datasets'][phase] = section | {key: placed(section[key], data) for key in
                                            ('dataroot_gt', 'dataroot_lq', 'compare_index') if key in section}
    return merge(opt, changes or {})


def placed(path: str | list[str], data: Path) -> Any:
    """The store of a stage file in `data`, at x8."""
    if isinstance(path, list):
        return [placed(each, data) for each in path]
    return str(data / Path(path).parent.name / Path(path).name.replace('x4', 'x8'))


def parsed(opt: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options as BasicSR's own parser reads them from a file, checked and completed as before a training."""
    from basicsr.utils.options import parse_options

    import cface_basicsr.register  # noqa: F401
    from cface_basicsr.compat.outputs import set_output_folders
    folder.mkdir(parents=True, exist_ok=True)
    write_option_file(opt, folder / 'stage.yml')
    before, sys.argv = sys.argv, ['train.py', '-opt', str(folder / 'stage.yml')]
    try:
        opt, _ = parse_options(str(folder), is_train=True)
        set_output_folders(opt, str(folder))
    finally:
        sys.argv = before
    options.prepare_training_options(opt)
    return opt


def build(opt: Mapping[str, Any], folder: Path, dist: bool = False) -> Any:
    """The model of a stage, with its output folders made; `dist`: its networks are wrapped, as under torchrun."""
    from basicsr.models import build_model
    opt = parsed(opt, folder) | {'dist': dist}
    for key in ('experiments_root', 'models', 'training_states'):
        Path(opt['path'][key]).mkdir(parents=True, exist_ok=True)
    return build_model(opt)


def batch_of(model: Any, count: int = 4) -> dict[str, Any]:
    """The first `count` items of the model's training set."""
    from basicsr.data import build_dataset
    data = build_dataset(model.opt['datasets']['train'])
    return default_collate([data[i] for i in range(count)])


def train_one_step(opt: Mapping[str, Any], folder: Path, dist: bool = False) -> Any:
    """Build the model, do one step on a batch, save its networks as `net_*_latest.pth`; returns the model."""
    model = build(opt, folder, dist)
    model.update_learning_rate(1)
    model.feed_data(batch_of(model, model.opt['datasets']['train']['batch_size_per_gpu']))
    model.optimize_parameters(1)
    model.save(-1, -1)
    return model


def parameters(model: Any, label: str) -> dict[str, torch.Tensor]:
    """A copy of a network's parameters and buffers."""
    return {key: value.clone() for key, value in getattr(model, f'net_{label}').state_dict().items()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

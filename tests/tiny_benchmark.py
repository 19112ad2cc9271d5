"""A benchmark file at tiny widths and lengths, and its data."""

from pathlib import Path
from typing import Any

import yaml

from tests.small_data import write_small_data
from tests.tiny_stages import REPOSITORY

BATCH = 4


def tiny_benchmark(**changes: Any) -> dict[str, Any]:
    """EDSR and C-Face-v2 at x8; eight steps of four images a row."""
    return {
        'name': 'tiny', 'systems': ['EDSR', 'C-Face-v2'], 'scales': [8], 'data': 'data', 'out': 'run',
        'budget': {'images': 8 * BATCH}, 'batch': BATCH, 'seeds': [0],
        'steps': {'recognizer': {'options': str(REPOSITORY / 'options/cface_stage0.yml'), 'set': {
            'datasets': {'train': {'batch_size': 8}}, 'train': {'total_iter': 4}}}},
        'recognizers': {'loss': 'recognizer'}, 'tests': {'held-out': {'pairs_per_fold': 8, 'faces': 2}},
        'common': {'network_r': {'num_feat': 4, 'feature_length': 16}, 'network_c': {'feature_length': 16},
                   'datasets': {'train': {'num_worker_per_gpu': 0, 'persistent_workers': False}},
                   'logger': {'print_freq': 1, 'use_tb_logger': False}},
        'widths': {'EDSR': {'num_feat': 4, 'num_block': 1}, 'C-Face-v2': {'num_feat': 8, 'num_block': 1}},
        'shares': {'C-Face-v2': {'warmup': 0.5, 'stage1': 0.25, 'stage3': 0.5, 'stage4': 0.25}},
        'set': {'C-Face-v2': {name: {'network_d': {'num_feat': 4, 'num_dense': 8},
                                     'train': {'content_opt': {'type': 'L1Loss', 'loss_weight': 20.0}}}
                              for name in ('stage1', 'stage4')}},
        'curve_points': 2, **changes}


def write_benchmark(folder: Path, content: dict[str, Any]) -> Path:
    """The file b.yml in a folder."""
    (folder / 'b.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / 'b.yml'


def write_tiny_faces(folder: Path) -> Path:
    """data/ with 8 people to train on and 20 to test, three images each."""
    write_small_data(folder / 'data/train', identities=8, images=3)
    write_small_data(folder / 'data/test', identities=20, images=3, seed=1)
    return folder

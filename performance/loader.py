"""Items a second of CFaceTripletDataset (three images) and of BasicSR's PairedImageDataset (two), on the same LMDB."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from performance.faces_on_disk import photos, prepared
from performance.measure import Finding, ratio, take_turns


def run(*, identities: int = 32, images: int = 8, rounds: int = 9) -> list[Finding]:
    """Measure one pass over the faces in this process, without a loader's workers.

    Args:
        identities, images: of the generated photos.
        rounds: passes of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(photos(Path(folder, 'photos'), identities, images), Path(folder, 'data'))
        sets = data_sets(data)
        times = take_turns({name: _reader(each) for name, each in sets.items()}, rounds)
        count = len(sets['ours'])
    ours, stock = times['ours'], times['stock']
    text = {name: f'{count / each.median:.0f} items/s' for name, each in times.items()}
    return [Finding('loader', f'CFaceTripletDataset, three images an item; {count} faces in LMDB, x8', text['ours'],
                    f"PairedImageDataset, two images: {text['stock']}", ratio(stock.seconds, ours.seconds),
                    target=0.5, at_most=False),
            Finding('loader_cpu', 'the same, by CPU time', f'{count / ours.median_cpu:.0f} items/s',
                    f'{count / stock.median_cpu:.0f} items/s', ratio(stock.cpu, ours.cpu), target=0.5, at_most=False)]


def data_sets(data: Path) -> dict[str, Any]:
    """Both data sets over a prepared folder, with flips."""
    from cface_basicsr.compat.before_import import prepare_import
    prepare_import()
    from basicsr.data import build_dataset

    import cface_basicsr.register  # noqa: F401  registers the classes, shares the LMDB
    common = {'name': 'faces', 'phase': 'train', 'scale': 8, 'dataroot_gt': str(data / 'hr.lmdb'),
              'dataroot_lq': str(data / 'lr_x8.lmdb'), 'use_hflip': True}
    return {'ours': build_dataset(common | {'type': 'CFaceTripletDataset', 'io_backend': {'type': 'lmdb'}}),
            'stock': build_dataset(common | {'type': 'PairedImageDataset', 'io_backend': {'type': 'lmdb'},
                                             'gt_size': 128, 'use_rot': False})}


def _reader(data_set: Any) -> Callable[[], None]:
    def read() -> None:
        for row in range(len(data_set)):
            data_set[row]
    return read

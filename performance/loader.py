"""Items a second of CFaceTripletDataset (three images) and of BasicSR's PairedImageDataset (two), on the same LMDB.

And triplets a second and core as our models get them: batches of bytes, LR left to the device, by form of the store.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import default_collate

from performance.faces_on_disk import photos, prepared, temporary_folder
from performance.limits import Limit
from performance.measure import Finding, ratio, take_turns


def run(*, identities: int = 32, images: int = 8, rounds: int = 9) -> list[Finding]:
    """Measure one pass over the faces in this process, without a loader's workers.

    Args:
        identities, images: of the generated photos.
        rounds: passes of each.
    """
    with temporary_folder() as folder:
        data = prepared(photos(Path(folder, 'photos'), identities, images), Path(folder, 'data'))
        sets = data_sets(data)
        times = take_turns({name: _reader(each) for name, each in sets.items()}, rounds)
        count = len(sets['ours'])
        limit, rows = _limit(sets['ours']), _triplets(Path(folder), rounds)
    ours, stock = times['ours'], times['stock']
    text = {name: f'{count / each.median:.0f} items/s' for name, each in times.items()}
    return [Finding('loader', f'CFaceTripletDataset, three images an item; {count} faces in LMDB, x8', text['ours'],
                    f"PairedImageDataset, two images: {text['stock']}", ratio(stock.seconds, ours.seconds),
                    target=0.5, at_most=False, limit=limit.words(), of_limit=ours.median / limit.seconds),
            Finding('loader_cpu', 'the same, by CPU time', f'{count / ours.median_cpu:.0f} items/s',
                    f'{count / stock.median_cpu:.0f} items/s', ratio(stock.cpu, ours.cpu), target=0.5, at_most=False,
                    limit=limit.words(), of_limit=ours.median_cpu / limit.seconds),
            *rows]


def _limit(data_set: Any) -> Limit:
    """One copy of what a pass reads, HR twice (a face and its compare image), and of what comes out."""
    stored = [np.mean([len(store.content(key)) for key in data_set.keys]) for store in (data_set.hr, data_set.lr)]
    given = sum(data_set[0][name].nbytes for name in ('lq', 'gt', 'compare'))
    return Limit(moved=len(data_set) * (2 * stored[0] + stored[1] + given))


def _triplets(folder: Path, rounds: int) -> list[Finding]:
    """Batches as a worker makes them, by form of the store, with the compare image and with features in its place."""
    from cface_basicsr.data.cface_triplet_dataset import CFaceTripletDataset
    sets = {}
    for form in ('png', 'png0', 'jpeg', 'raw'):
        data = folder / 'data' if form == 'png' else prepared(folder / 'photos', folder / form, form)
        for features in ('compute', 'file'):
            sets[form, features] = CFaceTripletDataset({
                'name': 'faces', 'phase': 'train', 'scale': 8, 'use_hflip': True, 'uint8': True, 'lq_from_gt': True,
                'dataroot_gt': str(data / 'hr.lmdb'), 'reference_features': features})
    times = take_turns({' '.join(key): _batches(each) for key, each in sets.items()}, rounds)
    count = len(sets['png', 'file'])
    return [_finding(*key, each, count / times[' '.join(key)].median_cpu) for key, each in sets.items()]


def _finding(form: str, features: str, data_set: Any, rate: float) -> Finding:
    target = {('png0', 'compute'): 2000, ('png0', 'file'): 2800, ('raw', 'file'): 7000}.get((form, features))
    with_what = 'with the compare image' if features == 'compute' else 'with features from the file'
    what = f'triplets of bytes from `--store {form}`, {with_what}, in batches of 16, LR left to the device; by CPU time'
    stored = np.mean([len(data_set.hr.content(key)) for key in data_set.keys])
    limit = Limit(moved=(1 + (features == 'compute')) * (stored + data_set[0]['gt'].nbytes))
    return Finding(f'triplets_{form}_{features}', what, f'{rate:,.0f}/s', '–', rate, 'triplets/s per core', target,
                   at_most=False, limit=limit.words(), of_limit=1 / rate / limit.seconds)


def _batches(data_set: Any) -> Callable[[], None]:
    from cface_basicsr.data.epoch_index import EpochIndex

    def read() -> None:
        for start in range(0, len(data_set), 16):
            default_collate([data_set[EpochIndex(row)] for row in range(start, min(start + 16, len(data_set)))])
    return read


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

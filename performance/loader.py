"""Items a second of CFaceTripletDataset (three images, and two) and of BasicSR's PairedImageDataset, on the same LMDB.

And triplets a second and core as our models get them: batches of bytes, LR left to the device, by form of the store.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import default_collate

from performance.faces_on_disk import photos, prepared, temporary_folder
from performance.limits import Limit
from performance.measure import Finding, Times, ratio, take_turns
from performance.sides import Job, Side, race


def run(*, identities: int = 32, images: int = 8, rounds: int = 9) -> list[Finding]:
    """Measure one pass over the faces, each side in a process of its own, without a loader's workers.

    Args:
        identities, images: of the generated photos.
        rounds: passes of each.
    """
    with temporary_folder() as folder:
        data = prepared(photos(Path(folder, 'photos'), identities, images), Path(folder, 'data'))
        times = race({kind: Side('performance.loader:make', {'kind': kind, 'data': str(data)}, ours=kind != 'stock')
                      for kind in ('ours', 'two', 'stock')}, rounds)
        count, rows = times['stock'].results[0], _triplets(Path(folder), rounds)
        limits = {kind: _limit(data_set(kind, data)) for kind in ('ours', 'two')}
    what = f'{count} faces in LMDB, x8'
    return [*_against(times, 'ours', 'loader', f'CFaceTripletDataset, three images an item; {what}', limits, 0.5),
            *_against(times, 'two', 'loader_two', f'the same without the compare image, two an item; {what}', limits),
            *rows, _reduced(rounds)]


def _reduced(rounds: int, batch: int = 16, scale: int = 8, size: int = 128) -> Finding:
    """What `lq_from_gt` costs on a CPU: LR of a batch, by two products, one thread."""
    import torch

    from cface_basicsr.data.images.low_resolution import reduce_bytes
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    hr = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    times = take_turns({'reduced': lambda: reduce_bytes(hr, scale)}, 10 * rounds)['reduced']
    torch.set_num_threads(threads)
    small = size // scale
    limit = Limit(operations=2.0 * batch * 3 * (size * size * small + small * size * small))
    each = 1000 * times.median_cpu / batch
    return Finding('reduced', f'LR at x{scale} made from bytes of HR, batches of {batch}, by CPU time',
                   f'{each:.3g} ms a face', '–', each, 'ms a face', limit=limit.words(),
                   of_limit=times.median_cpu / limit.seconds)


def _against(times: dict[str, Times], kind: str, key: str, what: str, limits: dict[str, Limit],
             target: float | None = None) -> Iterator[Finding]:
    """Items a second of ours against BasicSR's, by the clock and by CPU time."""
    count, (ours, stock), limit = times['stock'].results[0], (times[kind], times['stock']), limits[kind]
    yield Finding(key, what, f'{count / ours.median:.0f} items/s',
                  f'PairedImageDataset, two images: {count / stock.median:.0f} items/s',
                  ratio(stock.seconds, ours.seconds), target=target, at_most=False, limit=limit.words(),
                  of_limit=ours.median / limit.seconds)
    yield Finding(f'{key}_cpu', 'the same, by CPU time', f'{count / ours.median_cpu:.0f} items/s',
                  f'{count / stock.median_cpu:.0f} items/s', ratio(stock.cpu, ours.cpu), target=target, at_most=False,
                  limit=limit.words(), of_limit=ours.median_cpu / limit.seconds)


def _limit(data_set: Any) -> Limit:
    """One copy of what a pass reads, HR twice where there is a compare image, and of what comes out."""
    stored = [np.mean([len(store.content(key)) for key in data_set.keys]) for store in (data_set.hr, data_set.lr)]
    compared = data_set.opt.get('compare_mode') != 'none'
    given = sum(data_set[0][name].nbytes for name in ('lq', 'gt', *['compare'] * compared))
    return Limit(moved=len(data_set) * ((1 + compared) * stored[0] + stored[1] + given))


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


def data_set(kind: str, data: Path) -> Any:
    """A data set over a prepared folder, with flips: 'ours', 'two' (ours without a compare image) or 'stock'."""
    from cface_basicsr.compat.before_import import prepare_import
    prepare_import()
    from basicsr.data import build_dataset

    import cface_basicsr.register  # noqa: F401  registers the classes, shares the LMDB
    common = {'name': 'faces', 'phase': 'train', 'scale': 8, 'dataroot_gt': str(data / 'hr.lmdb'),
              'dataroot_lq': str(data / 'lr_x8.lmdb'), 'use_hflip': True, 'io_backend': {'type': 'lmdb'}}
    own = {'ours': {'type': 'CFaceTripletDataset'}, 'two': {'type': 'CFaceTripletDataset', 'compare_mode': 'none'},
           'stock': {'type': 'PairedImageDataset', 'gt_size': 128, 'use_rot': False}}
    return build_dataset(common | own[kind])


def make(kind: str, data: str) -> Job:
    """One pass over a data set of a kind; it returns the number of items."""
    faces = data_set(kind, Path(data))

    def read() -> int:
        for row in range(len(faces)):
            faces[row]
        return len(faces)
    return read

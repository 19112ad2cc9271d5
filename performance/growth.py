"""How start-up and memory of a training process grow with the number of images: made-up keys, images of two pixels."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from performance.limits import Limit
from performance.measure import Finding

IMAGES_A_PERSON = 20
LEAST_AN_IMAGE = 8
"""Bytes: two numbers of 32 bits."""


def run(*, rows: int = 1_000_000) -> list[Finding]:
    """From a prepared folder to the first item of the first epoch, in a process of its own.

    Args:
        rows: images; a tenth and a hundredth of them are measured, too.
    """
    sizes = [rows // 100, rows // 10, rows]
    return [finding for count in sizes for finding in _findings(count)]


def _findings(count: int) -> list[Finding]:
    folder = Path(tempfile.mkdtemp())
    try:
        made_up(folder, count)
        command = [sys.executable, '-m', 'performance.growth', str(folder)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        texts = [folder / 'hr.lmdb/meta_info.txt', folder / 'lr_x2.lmdb/meta_info.txt', folder / 'identities.csv']
        limit = Limit(moved=sum(path.stat().st_size for path in texts))
    finally:
        shutil.rmtree(folder)
    what = f'{count:,} images: CFaceTripletDataset and sampler built, first item read, by CPU time'
    return [Finding(f'start_{count}', what, f"{found['cpu']:.2f} s", f"{found['seconds']:.2f} s by the clock",
                    found['cpu'], 's', 10, limit=f'keys and labels, {limit.words()}',
                    of_limit=found['cpu'] / limit.seconds),
            Finding(f'memory_{count}', f"{count:,} images: memory of the process's own, without mapped files",
                    f"{found['bytes'] / 1e6:.0f} MB", '–', found['bytes'] / count, 'bytes an image',
                    limit=f'a label and a place in the order, {LEAST_AN_IMAGE} bytes',
                    of_limit=found['bytes'] / count / LEAST_AN_IMAGE)]


def made_up(folder: Path, count: int) -> None:
    """A folder as `cface prepare` and `cface index` leave it, with `count` raw images of 2x2 and 1x1 pixels."""
    from cface_basicsr.data.compare_index import keys_sha256
    keys = [f'{row // IMAGES_A_PERSON:08d}/{row % IMAGES_A_PERSON:03d}' for row in range(count)]
    for name, side in (('hr.lmdb', 2), ('lr_x2.lmdb', 1)):
        _write_store(folder / name, keys, side)
    with open(folder / 'identities.csv', 'w') as table:
        table.write('key,label,original_name\n')
        table.writelines(f'{key},{row // IMAGES_A_PERSON},{key}.jpg\n' for row, key in enumerate(keys))
    _write_index(folder / 'index/made_up', count, keys_sha256(keys))


def _write_store(folder: Path, keys: list[str], side: int) -> None:
    import lmdb
    import numpy as np

    from cface_basicsr.files.face_store import encode_image
    image = encode_image(np.zeros((side, side, 3), np.uint8), 'raw')
    folder.mkdir()
    with lmdb.open(str(folder), map_size=1 << 34) as environment, environment.begin(write=True) as transaction:
        transaction.cursor().putmulti(((key.encode(), image) for key in keys), append=True)
    with open(folder / 'meta_info.txt', 'w') as meta_info:
        meta_info.writelines(f'{key}.raw ({side},{side},3) 0\n' for key in keys)


def _write_index(folder: Path, count: int, keys_sha256: str) -> None:
    import numpy as np
    place, k = np.arange(count) % IMAGES_A_PERSON, 5
    near = (np.arange(count) - place)[:, None] + (place[:, None] + np.arange(1, k + 1)) % IMAGES_A_PERSON
    folder.mkdir(parents=True)
    np.save(folder / f'compare_k{k}.npy', np.where(near < count, near, -1).astype(np.int32))
    (folder / 'manifest.json').write_text(json.dumps({'images': count, 'keys_sha256': keys_sha256, 'k': k,
                                                     'feature_length': 8}))


def own_memory() -> int:
    """Bytes of this process that are no file's; 0 where the system does not say."""
    status = Path('/proc/self/status')
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith('RssAnon')), 0)


def start(folder: Path) -> dict[str, float]:
    """Seconds until the first item, and bytes that the process then has more than before."""
    from cface_basicsr.compat.positioned_sampler import PositionedSampler
    from cface_basicsr.data.cface_triplet_dataset import CFaceTripletDataset
    before, clock, cpu = own_memory(), time.perf_counter(), time.process_time()
    faces = CFaceTripletDataset({'name': 'faces', 'phase': 'train', 'scale': 2, 'use_hflip': True,
                                 'dataroot_gt': str(folder / 'hr.lmdb'), 'dataroot_lq': str(folder / 'lr_x2.lmdb')})
    order = iter(PositionedSampler(faces, 1, 0))
    faces[next(order)]
    return {'seconds': time.perf_counter() - clock, 'cpu': time.process_time() - cpu, 'bytes': own_memory() - before}


if __name__ == '__main__':
    print(json.dumps(start(Path(sys.argv[1]))))

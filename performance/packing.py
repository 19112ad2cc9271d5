"""Photos a second of `cface prepare` with one process, against a plain loop of Pillow and OpenCV doing as much."""

import io
import shutil
import tempfile
from pathlib import Path

from performance.faces_on_disk import photos
from performance.measure import Finding, ratio, take_turns

SCALES = (2, 4, 8)


def run(*, identities: int = 40, images: int = 16, rounds: int = 3) -> list[Finding]:
    """Pack generated 250x250 photos at three scales.

    Args:
        identities, images: of the photos; drawn first, not measured.
        rounds: packings of each kind.
    """
    import cv2
    import torch
    cv2.setNumThreads(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what a core does; `cface prepare` gives each of its processes one
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            source = photos(folder / 'photos', identities, images)
            times = take_turns({'ours': lambda: _ours(source, folder / 'ours'),
                                'plain': lambda: plain_loop(source, folder / 'plain.lmdb')}, rounds)
    finally:
        torch.set_num_threads(threads)
    count = identities * images
    ours, plain = times['ours'], times['plain']
    what = f'`cface prepare`, {count} photos of 250x250, x2 x4 x8, one process'
    return [Finding('prepare', f'{what}, by the clock', f'{count / ours.median:.0f} photos/s',
                    f'plain loop: {count / plain.median:.0f} photos/s', count / ours.median, 'photos/s per core', 120,
                    at_most=False),
            Finding('prepare_cpu', 'the same, by CPU time (without waiting for the disk or for other programs)',
                    f'{count / ours.median_cpu:.0f} photos/s',
                    f'plain loop: {count / plain.median_cpu:.0f} photos/s',
                    count / ours.median_cpu, 'photos/s per core', 120, at_most=False),
            Finding('prepare_ratio', 'the same, against the plain loop (time, ours / its)', f'{ours.spread()} s',
                    f'{plain.spread()} s', ratio(ours.seconds, plain.seconds))]


def _ours(source: Path, out: Path) -> None:
    from cface_basicsr.data.prepare.run import PrepareSettings, prepare
    shutil.rmtree(out, ignore_errors=True)
    prepare(source, out, PrepareSettings(scales=SCALES))


def plain_loop(source: Path, out: Path) -> None:
    """What one would write by hand: read, crop, reduce by Pillow, PNG by OpenCV as BasicSR does, into one LMDB."""
    import cv2
    import lmdb
    import numpy as np
    from PIL import Image
    shutil.rmtree(out, ignore_errors=True)
    with lmdb.open(str(out), map_size=1 << 34) as environment, environment.begin(write=True) as transaction:
        for path in sorted(source.glob('*/*.jpg')):
            photo = Image.open(io.BytesIO(path.read_bytes())).convert('RGB')
            left, top = (photo.width - 128) // 2, (photo.height - 128) // 2
            face = photo.crop((left, top, left + 128, top + 128))
            for scale in (1, *SCALES):
                image = face.resize((128 // scale,) * 2, Image.Resampling.BICUBIC) if scale > 1 else face
                png = cv2.imencode('.png', np.asarray(image)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
                transaction.put(f'{scale}/{path.parent.name}/{path.stem}'.encode(), png.tobytes())

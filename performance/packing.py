"""Photos a second of `cface prepare` with one process, against a plain loop of Pillow and OpenCV doing as much.

And what its checks of the files that it reads cost, by CPU time: against itself without them.
"""

import io
import json
import shutil
import tempfile
from pathlib import Path

from performance.faces_on_disk import photos
from performance.limits import Limit
from performance.measure import Finding, ratio
from performance.sides import Job, Side, against, race

SCALES = (2, 4, 8)


def run(*, identities: int = 40, images: int = 16, rounds: int = 3) -> list[Finding]:
    """Pack generated 250x250 photos at three scales; one thread each, as each process of `cface prepare` has.

    Args:
        identities, images: of the photos; drawn first, not measured.
        rounds: packings of each kind.
    """
    with tempfile.TemporaryDirectory() as name:
        source = photos(Path(name, 'photos'), identities, images)
        sides = {kind: Side(f'performance.packing:{kind}', {'source': str(source), 'out': f'{name}/{kind}'})
                 for kind in ('ours', 'plain', 'without_checks')}
        duel = against(sides['ours'], sides['plain'], rounds)
        checked, unchecked = race({kind: sides[kind] for kind in ('ours', 'without_checks')}, rounds).values()
    count = identities * images
    written = sum((128 // scale) ** 2 * 3 for scale in (1, *SCALES))
    limit = Limit(moved=count * (250 ** 2 * 3 + written))
    what, bound = f'`cface prepare`, {count} photos of 250x250, x2 x4 x8, one process', duel.ours.median / limit.seconds
    return [Finding('prepare', f'{what}, by the clock', f'{count / duel.ours.median:.0f} photos/s',
                    f'plain loop: {count / duel.rival.median:.0f} photos/s', count / duel.ours.median,
                    'photos/s per core', 120, False, limit.words(), bound),
            Finding('prepare_ratio', 'the same, against the plain loop (time, ours / its)', f'{duel.ours.spread()} s',
                    f'{duel.rival.spread()} s', ratio(duel.ours.seconds, duel.rival.seconds), limit=limit.words(),
                    of_limit=bound),
            Finding('prepare_checks', 'the same: CPU time of the checks of what it reads',
                    f'{checked.median_cpu:.3g} s', f'without them: {unchecked.median_cpu:.3g} s',
                    100 * (ratio(checked.cpu, unchecked.cpu) - 1), '%', 3, True, limit.words(), bound),
            Finding('prepare_memory', 'the same: peak memory', f'{max(duel.ours.peak):.2f} GB',
                    f'{max(duel.rival.peak):.2f} GB', max(duel.ours.peak), 'GB', None, True,
                    f'its pixels: {count * written / 1e9:.2g} GB', max(duel.ours.peak) * 1e9 / count / written)]


def ours(source: str, out: str) -> Job:
    """`cface prepare` into a new folder."""
    from cface_basicsr.data.prepare.run import PrepareSettings, prepare

    def job() -> None:
        shutil.rmtree(out, ignore_errors=True)
        prepare(Path(source), Path(out), PrepareSettings(scales=SCALES))
    return job


def without_checks(source: str, out: str) -> Job:
    """The same, without the size of a photograph, the schema of the journal and the pages of a store being checked."""
    from cface_basicsr.data.images import face_crop
    from cface_basicsr.data.prepare import packing
    from cface_basicsr.files import face_store
    for module, name, instead in ((face_crop, '_check_amount', lambda photo, most: None),
                                  (packing, 'parse_json', lambda text, *_: json.loads(text)),
                                  (face_store, 'wrong_page', lambda path: '')):
        getattr(module, name)  # it is still called so
        setattr(module, name, instead)
    return ours(source, out)


def plain(source: str, out: str) -> Job:
    """`plain_loop` into a new store."""
    import cv2
    cv2.setNumThreads(1)
    return lambda: plain_loop(Path(source), Path(out))


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

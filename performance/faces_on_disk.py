"""Generated photos and their prepared folder, made once for the benchmarks that need them."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the block. This process's stores in it are closed before it is removed: LMDB goes by the number of a
    file, which the next file may get."""
    from cface_basicsr.files import face_store
    with tempfile.TemporaryDirectory() as name:
        try:
            yield Path(name)
        finally:
            below = [path for path in face_store._environments if path.startswith(os.path.realpath(name))]
            for path in below:
                face_store._environments.pop(path)[1].close()


def photos(folder: Path, identities: int, images: int) -> Path:
    """250x250 JPEG photos in CASIA-WebFace's layout."""
    from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
    workers = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') and identities > 8 else 1
    write_synthetic_faces(folder, TreeSettings(identities=identities, images=images), workers=workers)
    return folder


def prepared(source: Path, out: Path, store: str = 'png') -> Path:
    """hr.lmdb, lr_x2, lr_x4, lr_x8 in a form of `cface prepare --store`, and a compare index of random features."""
    from cface_basicsr.data.compare_index import build_compare_index, keys_sha256
    from cface_basicsr.data.prepare.run import PrepareSettings, prepare
    from cface_basicsr.files.identities import read_identities
    report = prepare(source, out, PrepareSettings(scales=(2, 4, 8), store=store))
    keys, labels = read_identities(out)
    features = np.random.default_rng(0).normal(size=(len(keys), 2, 512)).astype(np.float16)
    index = out / 'index' / 'random'
    index.mkdir(parents=True)
    np.save(index / 'features.npy', features)
    np.save(index / 'compare_k5.npy', build_compare_index(features[:, 0], labels, 5))
    (index / 'manifest.json').write_text(json.dumps(
        {'images': len(keys), 'keys_sha256': keys_sha256(keys), 'k': 5, 'feature_length': 512,
         'store': report.parts[''].files['hr.lmdb']}))
    return out

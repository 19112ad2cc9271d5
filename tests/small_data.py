"""A tiny prepared folder for tests: smooth random faces in the layout that `cface prepare` writes."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cface_basicsr.files import face_store
from cface_basicsr.files.face_store import encode_png
from cface_basicsr.files.store_writer import StoreWriter
from cface_basicsr.ops.resize import bicubic_resize

SCALES = (2, 4, 8)


def smooth_images(count: int, seed: int, size: int = 128) -> np.ndarray:
    """uint8 (count, size, size, 3): blurred noise, so that enlarging a small copy makes sense."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 3, 8, 8, generator=generator)
    images = bicubic_resize(noise, size).clamp(0, 1).mul(255).round().byte()
    return images.permute(0, 2, 3, 1).numpy()


def write_small_data(folder: Path, identities: int = 4, images: int = 3, seed: int = 0,
                     names: Sequence[str] | None = None) -> Path:
    """Write hr.lmdb, lr_x2/4/8.lmdb and identities.csv with identities * images faces; returns the folder.

    Args:
        names: other keys, '<identity>/<image>', sorted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = names or [f'{seed * 1000 + person:07d}/{number:03d}' for person in range(identities)
                      for number in range(images)]
    faces = smooth_images(len(names), seed)
    _write_store(folder / 'hr.lmdb', names, faces)
    for scale in SCALES:
        small = bicubic_resize(torch.from_numpy(faces).permute(0, 3, 1, 2).float(), 128 // scale)
        _write_store(folder / f'lr_x{scale}.lmdb', names,
                     small.clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy())
    with open(folder / 'identities.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['key', 'label', 'original_name'])
        writer.writerows([key, number // images, f'{key}.jpg'] for number, key in enumerate(names))
    return folder


def _write_store(path: Path, names: list[str], images: np.ndarray) -> None:
    with StoreWriter(path) as store:
        for name, image in zip(names, images, strict=True):
            store.put(name, encode_png(np.ascontiguousarray(image)))
        store.finish()


def write_small_index(folder: Path, k: int = 5) -> Path:
    """Write a compare index of random features, as `cface index` would; returns its folder."""
    import json

    from cface_basicsr.data.compare_index import build_compare_index, keys_sha256
    from cface_basicsr.files.identities import read_identities
    keys, labels = read_identities(folder)
    features = np.random.default_rng(0).normal(size=(len(keys), 16)).astype(np.float32)
    index = folder / 'index' / 'testindex'
    index.mkdir(parents=True, exist_ok=True)
    np.save(index / f'compare_k{k}.npy', build_compare_index(features, labels, k))
    (index / 'manifest.json').write_text(json.dumps({'images': len(keys), 'keys_sha256': keys_sha256(keys), 'k': k,
                                                     'feature_length': 16}))
    return index


def close_environment(path: str | Path) -> None:
    """Close this process's environment of a store, if it is open; the next reader opens it again."""
    _, environment = face_store._environments.pop(os.path.realpath(path), (None, None))
    if environment is not None:
        environment.close()

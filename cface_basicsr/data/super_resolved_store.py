"""Stage 2: a whole store of LR faces through a generator into D_SR, a store with the same keys."""

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.manifest import read_manifest, write_manifest
from cface_basicsr.files.store_writer import StoreWriter

_COMMIT_EVERY = 16
"""Batches between two commits: what a kill costs at most."""


def write_super_resolved_store(network: Callable[[Tensor], Tensor], lq_store_path: str | Path, out_path: str | Path, *,
                               batch_size: int = 32, device: str | torch.device = 'cpu',
                               manifest: dict[str, Any] | None = None,
                               progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Super-resolve every image of a store; a killed run continues, a finished one is left as it is.

    Args:
        network: (B, 3, h, w) RGB in [0, 1] -> (B, 3, H, W), on `device`; a module is put into eval mode meanwhile.
        lq_store_path: LMDB store of LR faces.
        out_path: LMDB store to make, ending in '.lmdb'; appears when it is whole.
        manifest: where the pictures come from (the generator's hash): only the same facts continue an unfinished
            store.
        progress: called with (images done, images in all).

    Returns:
        out_path.

    Raises:
        UserError: the store exists or was begun with other facts, or the network gives NaN or infinity.
    """
    out_path, lr = Path(out_path), FaceStore(lq_store_path)
    facts = {'product': 'super-resolved faces', 'source': str(lr.path.absolute())} | (manifest or {})
    if _is_finished(out_path, facts):
        progress(len(lr), len(lr))
        return out_path
    with StoreWriter(out_path) as writer:
        _claim(writer.aside, facts)
        # The same batches as in an unbroken run: sums in a convolution may depend on what else is in its batch.
        start = len(writer) // batch_size * batch_size
        for number, first in enumerate(range(start, len(lr), batch_size)):
            keys = lr.keys[first:first + batch_size]
            images = np.stack([lr.image(key) for key in keys])
            names = [f"'{key}' of '{lr.path}'" for key in keys]
            sr = super_resolve(network, images, batch_size=batch_size, device=device, names=names)
            for key, image in zip(keys, sr, strict=True):
                writer.put(key, encode_png(image))
            if number % _COMMIT_EVERY == _COMMIT_EVERY - 1:
                writer.commit()
            progress(first + len(keys), len(lr))
        writer.finish(facts | {'versions': {name: version(name) for name in ('torch', 'cface-basicsr')}})
    return out_path


def parameters_sha256(network: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers with their names."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + b'\0' + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _is_finished(out: Path, facts: dict[str, Any]) -> bool:
    if not out.exists():
        return False
    _compare(out, read_manifest(out), facts)
    return True


def _claim(aside: Path, facts: dict[str, Any]) -> None:
    if begun := read_manifest(aside):
        _compare(aside, begun, facts)
    write_manifest(aside, facts)


def _compare(path: Path, theirs: dict[str, Any], facts: dict[str, Any]) -> None:
    for key, value in facts.items():
        if theirs.get(key) != json.loads(json.dumps(value)):
            raise UserError(f"store '{path}' was made with {key} = {theirs.get(key)!r}, now asked for {value!r}.\n"
                            'Name another store, or delete that one.')

"""Stage 2: a generator makes D_SR, a store with the same keys, from a whole store of LR faces."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr.data.images.image_tensor import byte_tensor, unit_range
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.manifest import check_made_with, file_hash, read_manifest, write_manifest
from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.files.store_writer import StoreWriter
from cface_basicsr.ops.ranks import gathered, of_all_ranks, place_among_ranks

_COMMIT_EVERY = 16
"""Batches of each rank between two commits; at most this many are lost by a kill."""


def write_super_resolved_store(network: Callable[[Tensor], Tensor], lq_store_path: str | Path, out_path: str | Path, *,
                               batch_size: int = 32, device: str | torch.device = 'cpu',
                               manifest: dict[str, Any] | None = None,
                               progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Super-resolve every image of a store; a killed run is continued, a finished one is left as it is.

    Where several ranks call this together, they share the batches, and rank 0 writes: the store is the same.

    Args:
        network: (B, 3, h, w) RGB in [0, 1] -> (B, 3, H, W), on `device`; a module is in eval mode during the run.
        lq_store_path: LMDB store of LR faces.
        out_path: LMDB store to make, ending in '.lmdb'; it appears under this name when it is complete.
        batch_size: images at a time.
        device: where the network is.
        manifest: facts about the origin of the images (the generator's hash); an unfinished store is continued only
            with the same facts.
        progress: called with (images done, images in all).

    Returns:
        out_path.

    Raises:
        UserError: the store exists or was started with other facts, or the network gives NaN or infinity.
    """
    out_path, lr = Path(out_path), FaceStore(lq_store_path)
    facts = {'product': 'super-resolved faces', 'source': str(lr.path.absolute())} | (manifest or {})
    rank, ranks = place_among_ranks()
    if of_all_ranks(out_path.exists())[0]:
        check_made_with(out_path, read_manifest(out_path), facts)
        progress(len(lr), len(lr))
        return out_path
    with StoreWriter(out_path) if rank == 0 else nullcontext() as writer:
        # The same batches as in an uninterrupted run, since sums in a convolution may depend on the rest of the batch.
        start = of_all_ranks(_begin(writer, facts) if writer else 0)[0] // batch_size * batch_size
        for number, first in enumerate(range(start, len(lr), ranks * batch_size)):
            mine = lr.keys[first + rank * batch_size:first + (rank + 1) * batch_size]
            parts = gathered(list(_super_resolved(network, lr, mine, device)))
            for key, content in chain.from_iterable(parts):
                writer.put(key, content)
            if writer and number % _COMMIT_EVERY == _COMMIT_EVERY - 1:
                writer.commit()
            progress(min(first + ranks * batch_size, len(lr)), len(lr))
        if writer:
            writer.finish(facts | {'versions': {name: version(name) for name in ('torch', 'cface-basicsr')}})
    of_all_ranks(None)  # when this returns, the store is there, whichever the rank
    return out_path


def _begin(writer: StoreWriter, facts: dict[str, Any]) -> int:
    """The number of images that an unfinished store with these facts holds already."""
    if begun := read_manifest(writer.aside):
        check_made_with(writer.aside, begun, facts)
    write_manifest(writer.aside, facts)
    return len(writer)


def _super_resolved(network: Callable[[Tensor], Tensor], lr: FaceStore, keys: Sequence[str],
                    device: str | torch.device) -> Iterator[tuple[str, bytes]]:
    """Key and PNG of each image of a batch."""
    if keys:
        images = unit_range(torch.stack([byte_tensor(lr.planes(key)) for key in keys]))  # laid out as in training
        names = [f"'{key}' of '{lr.path}'" for key in keys]
        sr = super_resolve(network, images, batch_size=len(keys), device=device, names=names)
        yield from zip(keys, map(encode_png, sr), strict=True)


def super_resolve_folder(weights: Path, folder: Path, scale: int, out: Path, *, device: torch.device,
                         progress: Callable[[int, int], None], batch_size: int = 32) -> Path:
    """Stage 2 from files: the LR faces of a prepared folder by the generator of a network file.

    The other arguments and the result are those of `write_super_resolved_store`.
    """
    manifest = {'generator': str(weights), 'generator_sha256': file_hash(weights, 64)}
    return write_super_resolved_store(
        build_network_from_file(weights).to(device), folder / f'lr_x{scale}.lmdb', out, batch_size=batch_size,
        device=device, manifest=manifest, progress=progress)


def parameters_sha256(network: nn.Module) -> str:
    """SHA-256, as hexadecimal digits, of a network's parameters and buffers with their names."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + b'\0' + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

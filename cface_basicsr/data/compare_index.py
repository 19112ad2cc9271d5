"""The compare index (section 3.3): for each face, the most similar other faces of the same identity.

Similarity is the normalized distance of eq. (4) between features of a recognizer. Each index is a folder,
`index/<recognizer hash>/`, with features.npy (N, 2, D), float16 of unit length, phi(HR) and phi(mirrored HR);
compare_k<k>.npy (N, k) int32; and manifest.json. Rows are those of identities.csv.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import TypedDict

from cface_basicsr.data.dataset_options import labelled_keys
from cface_basicsr.data.identity_rows import IdentityRows
from cface_basicsr.data.images.image_tensor import byte_tensor, unit_range
from cface_basicsr.errors import UserError
from cface_basicsr.files.array_file import read_npy
from cface_basicsr.files.atomic import lock, naming, publish, replacing, reserve, unfinished, write_text
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.key_list import KeyList
from cface_basicsr.files.manifest import file_hash, manifest_hashes, write_manifest
from cface_basicsr.ops.recognizer_input import feature_batch, recognizer_features, unit

INDEX_COMMAND = '`cface index DIR --recognizer FILE --k 5`'
_ROWS_AT_ONCE = 4096
_CHECKED_AT_ONCE = 1 << 16
_DOUBT = 4e-6
"""Cosines that differ by more than this in float32 also differ in float64, in the same direction."""
_COMMIT_EVERY = 2048
"""Images between two commits of a running index; about this many are lost by a kill."""


_AGAIN = f'Delete its folder and make it with {INDEX_COMMAND}.'


class _Index(TypedDict):
    """What the manifest of an index must say."""

    k: Annotated[int, Field(ge=1, le=1 << 16)]
    images: int
    keys_sha256: str
    feature_length: Annotated[int, Field(ge=1, le=1 << 20)]


def build_compare_index(features: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """For each row, the k most similar rows of the same identity.

    It works on identities of the same size at a time, so time is linear in their number, and only one batch is in
    memory: `features` may be a memory-mapped file larger than that.

    Args:
        features: (N, D) floats of any length and precision; they are scaled to unit length.
        labels: (N,) ints, in any order.
        k: number of rows to find.

    Returns:
        (N, k) int32 rows without the row itself: the smallest normalized distance first, equal ones (to nine digits)
        in the order of rows; -1 where the identity has too few images.
    """
    if k < 1:
        raise ValueError(f'expected k >= 1, got {k}.')
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(f'expected features (N, D) and labels (N,), got {features.shape} and {np.shape(labels)}.')
    index = np.full((len(labels), k), -1, np.int32)
    with _single_threads() as threads, ThreadPoolExecutor(threads) as pool:  # each thread has its own identities
        for _ in pool.map(partial(_fill, index, features), _batches_of_equal_size(labels)):
            pass
    return index


@contextmanager
def _single_threads() -> Iterator[int]:
    """Let PyTorch use one thread per operation during the block; yields the number of threads that it used before.

    Half of the time goes into operations that use only one thread, so computing whole batches in parallel keeps all
    cores busy.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _batches_of_equal_size(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Rows (B, n) of B identities with n images each, n > 1; at most _ROWS_AT_ONCE rows, or one identity."""
    for size, identities in groupby(sorted(IdentityRows(labels), key=len), key=len):
        rows = list(identities)
        step = max(1, _ROWS_AT_ONCE // size)
        for start in range(0, len(rows) if size > 1 else 0, step):
            yield np.stack(rows[start:start + step])


def _fill(index: np.ndarray, features: np.ndarray, batch: np.ndarray) -> None:
    """Enter the neighbours of a batch of identities (B, n) into the index (N, k)."""
    vectors = torch.from_numpy(np.take(features, batch.ravel(), 0)).float().view(*batch.shape, -1)
    lengths = _lengths(vectors)
    k = min(index.shape[1], batch.shape[1] - 1)
    for start in range(0, batch.shape[1], _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        # PyTorch's product, since the threads of NumPy's BLAS and those of PyTorch would compete for the cores.
        likeness = torch.matmul(vectors[:, block], vectors.mT).div_(lengths[:, None]).numpy()  # (B, Q, n)
        found, value = _take_largest(likeness, start, k)
        doubt = _DOUBT * lengths[:, block].numpy()
        apart = value[..., :-1] - value[..., 1:] > doubt[..., None]  # False for NaN
        first = len(batch[0]) * np.arange(len(batch))[:, None, None]
        index[batch[:, block], :k] = batch.ravel().take(found[..., :k] + first)
        for number in np.flatnonzero(~apart.all((1, 2))):
            rows, doubtful = batch[number], np.flatnonzero(~apart[number].all(1))
            # Those as near as the k-th, as far as float32 can tell; what was taken is no longer in `likeness`.
            near = ~(likeness[number, doubtful] < (value[number, doubtful, k - 1] - doubt[number, doubtful])[:, None])
            others = np.union1d(found[number, doubtful], np.flatnonzero(near.any(0)))
            queries = start + doubtful
            order = _nearest_in_order(features[rows[queries]], features[rows[others]], queries[:, None] == others, k)
            index[rows[queries], :k] = rows[others[order]]


def _lengths(features: Tensor) -> Tensor:
    """(…,) lengths of features (…, D); 1 for zeros, which then stay zero."""
    lengths = torch.linalg.vector_norm(features, dim=-1)  # where float32 overflows, float64 will decide
    return torch.where(lengths > 0, lengths, 1)


def _take_largest(likeness: np.ndarray, start: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and values of the k + 1 largest of likeness (B, Q, n), or n - 1 if that is less; largest first.

    Likeness is the cosine times the query's length, which does not change the order; eq. (4) is 2 - 2 cos. Values that
    are taken become -inf, and so does the query itself, at start + q in row q.

    Returns:
        Two arrays (B, Q, min(k + 1, n - 1)).
    """
    query = np.arange(likeness.shape[1])
    likeness[:, query, start + query] = -np.inf
    flat, size = likeness.reshape(-1), likeness.shape[2]
    rows = flat.reshape(-1, size)
    first = size * np.arange(len(rows))
    found = np.empty((min(k + 1, size - 1), len(rows)), np.int64)
    value = np.empty(found.shape, flat.dtype)
    for turn in range(len(found)):  # for a small k, removing the largest again and again is the fastest
        rows.argmax(1, out=found[turn])
        place = found[turn] + first
        value[turn] = flat.take(place)
        flat[place] = -np.inf
    shape = (*likeness.shape[:2], -1)
    return found.T.reshape(shape), value.T.reshape(shape)


def _nearest_in_order(queries: np.ndarray, others: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Positions (Q, k) of the nearest others (C, D) to queries (Q, D), in float64; equal ones in order.

    Rounding makes equal images tie, whatever the order of the sums in BLAS. `own` (Q, C) marks the query itself.
    """
    queries, others = (vectors.astype(np.float64) for vectors in (queries, others))
    lengths = [np.sqrt(np.einsum('nd,nd->n', vectors, vectors)) for vectors in (queries, others)]
    products = np.einsum('qd,cd->qc', queries, others)
    with np.errstate(divide='ignore', invalid='ignore'):
        cosine = products / (lengths[0][:, None] * lengths[1])
    distance = np.round(2 - 2 * np.where(products == 0, 0, cosine), 9)
    distance[own] = np.inf
    return np.argsort(distance, axis=1, kind='stable')[:, :k]


def build_index(folder: str | Path, recognizer: nn.Module, recognizer_hash: str, *, k: int = 5,
                batch_size: int | None = None, device: str | torch.device = 'cpu', facts: dict[str, Any] | None = None,
                progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Make the compare index of a prepared folder; a killed run is continued, a finished index is left as it is.

    If there is an index with another `k`, its features are kept, and only the neighbours are computed.

    Args:
        folder: made by `cface prepare` (hr.lmdb and identities.csv).
        recognizer: CNN_R in eval mode on `device`, with `input_spec` and `feature_length`.
        recognizer_hash: names the index, index/<recognizer_hash>/.
        k: number of neighbours.
        batch_size: images at a time; None: `ops.recognizer_input.feature_batch`.
        device: where the recognizer is.
        facts: additional entries for manifest.json (the recognizer's file).
        progress: called with (images done, images in all).

    Returns:
        The folder of the index.

    Raises:
        UserError: the folder is not a prepared one, the index is of another data set or of images that were prepared
            otherwise, or features are NaN or infinite.
    """
    store = FaceStore(Path(folder, 'hr.lmdb'))
    keys, labels = labelled_keys([store], str(folder))
    batch_size = batch_size or feature_batch(device)
    out = Path(folder, 'index', recognizer_hash)
    manifest = {'product': 'compare index', 'recognizer': recognizer_hash, 'images': len(keys),
                'keys_sha256': keys_sha256(keys), 'store': _store_hash(Path(folder)),
                'feature_length': recognizer.feature_length, 'input_spec': vars(recognizer.input_spec),
                'distance': 'normalized, eq. (4)'} | (facts or {})
    if not (out / 'manifest.json').is_file():
        aside = unfinished(out)
        aside.mkdir(parents=True, exist_ok=True)
        with lock(aside):
            _write_features(aside, store, keys, recognizer, batch_size, device, progress)
            _write_neighbours(aside, keys, labels, k, manifest)
            (aside / 'rows_done').unlink()
            publish(aside, out)
    else:
        _continue_finished(out, keys, labels, k, manifest)
    load_compare_index(out, keys, labels)
    progress(len(keys), len(keys))
    return out


def _continue_finished(out: Path, keys: Sequence[str], labels: np.ndarray, k: int, manifest: dict[str, Any]) -> None:
    """Write the neighbours of a finished index if they are asked for by another `k`."""
    finished = read_index_manifest(out)
    made_of, now = finished.get('store'), manifest['store']  # older ones do not say
    if made_of and now and made_of != now:
        raise UserError(f"compare index '{out}' was made of other images than hr.lmdb has now: the folder was prepared "
                        'again since. Delete the index; the same command makes it anew.')
    if finished['k'] != k:
        _write_neighbours(out, keys, labels, k, manifest | {'store': made_of})


def _write_features(aside: Path, store: FaceStore, keys: Sequence[str], recognizer: nn.Module, batch_size: int,
                    device: str | torch.device, progress: Callable[[int, int], None]) -> None:
    """Write features.npy, continuing where a killed run stopped; `rows_done` counts the rows that are on the disk."""
    path, counter = aside / 'features.npy', aside / 'rows_done'
    shape = (len(keys), 2, recognizer.feature_length)
    claim = keys_sha256([keys_sha256(keys), str(_store_hash(store.path.parent))])  # of other images it is started again
    before, _, rows = (counter.read_text() if counter.is_file() else '').partition(' ')
    done = int(rows) if before == claim and path.is_file() else 0
    with naming(path):
        features = np.lib.format.open_memmap(path, 'r+' if done else 'w+', np.float16, None if done else shape)
    if features.shape != shape:
        raise _damaged(path, str(shape), str(features.shape))
    reserve(path, path.stat().st_size)
    for start in range(done, len(keys), batch_size):
        batch = keys[start:start + batch_size]
        features[start:start + len(batch)] = _face_features(recognizer, store, batch, device)
        progress(start + len(batch), len(keys))
        if (start + batch_size) // _COMMIT_EVERY > start // _COMMIT_EVERY and len(batch) == batch_size:
            features.flush()
            write_text(counter, f'{claim} {start + batch_size}')
    features.flush()
    write_text(counter, f'{claim} {len(keys)}')


@torch.no_grad()
def _face_features(recognizer: nn.Module, store: FaceStore, keys: Sequence[str],
                   device: str | torch.device) -> np.ndarray:
    """(B, 2, D) float16: unit-length features of images and of their mirror images."""
    images = unit_range(torch.stack([byte_tensor(store.planes(key)) for key in keys]).to(device))
    both = torch.stack([unit(recognizer_features(recognizer, images)),
                        unit(recognizer_features(recognizer, images.flip(-1)))], dim=1).cpu()
    bad = ~torch.isfinite(both).flatten(1).all(1)
    if bad.any():
        raise UserError(f"the recognizer gives NaN or infinity for '{keys[int(bad.nonzero()[0])]}' of '{store.path}'. "
                        'Its training has diverged: take an earlier checkpoint.')
    return both.to(torch.float16).numpy()


def _write_neighbours(folder: Path, keys: Sequence[str], labels: np.ndarray, k: int, manifest: dict[str, Any]) -> None:
    """Write compare_k<k>.npy, then the manifest that names it."""
    features = _load(folder / 'features.npy', (len(keys), 2, manifest['feature_length']), np.float16)
    path = folder / f'compare_k{k}.npy'
    with replacing(path) as aside, open(aside, 'wb') as file:  # numpy.save would add an ending to a path
        np.save(file, build_compare_index(features[:, 0], labels, k))
    files = {name: file_hash(folder / name, 64) for name in ('features.npy', path.name)}
    content = manifest | {'k': k, 'sha256': files,
                          'versions': {name: version(name) for name in ('cface-basicsr', 'torch', 'numpy')}}
    write_manifest(folder, content)


def keys_sha256(keys: Sequence[str]) -> str:
    """SHA-256, as hexadecimal digits, of the keys, one per line: it tells which data set an index belongs to."""
    if isinstance(keys, KeyList):
        return keys.sha256
    return hashlib.sha256('\n'.join(keys).encode('ascii')).hexdigest()


def find_index(folder: str | Path) -> Path:
    """The folder of one index.

    Args:
        folder: the index itself, or an `index/` that holds only one.

    Raises:
        UserError: there is none, or there are several.
    """
    folder = Path(folder)
    if (folder / 'manifest.json').is_file():
        return folder
    found = [path.parent for path in sorted(folder.glob('*/manifest.json')) if not path.parent.name.startswith('.')]
    if not found:
        raise UserError(f"compare index '{folder}' is missing. Expected index/<recognizer hash>/ with features.npy and "
                        f'compare_k5.npy.\nMake it with {INDEX_COMMAND}.')
    if len(found) > 1:
        raise UserError(f"'{folder}' holds {len(found)} compare indexes: {', '.join(path.name for path in found)}.\n"
                        "Name one of these folders in the option 'datasets.train.compare_index'.")
    return found[0]


def read_index_manifest(folder: Path) -> dict[str, Any]:
    """The manifest.json of an index.

    Raises:
        UserError: it is missing or damaged.
    """
    return read_json(folder / 'manifest.json', _Index, _AGAIN)


def _manifest_for(folder: Path, keys: Sequence[str]) -> dict[str, Any]:
    """The manifest of an index that must be of the data set with these keys."""
    manifest = read_index_manifest(folder)
    if manifest['images'] != len(keys) or manifest['keys_sha256'] != keys_sha256(keys):
        raise UserError(f"compare index '{folder}' was made for another data set: it has {manifest['images']} images, "
                        f'this one {len(keys)}. Make it again with {INDEX_COMMAND}.')
    return manifest


def load_features(folder: str | Path, keys: Sequence[str], store: str | Path) -> np.ndarray:
    """The stored features of a data set, memory-mapped: (N, 2, D) float16 of unit length, of images and mirror images.

    Args:
        folder: see `find_index`.
        keys: of the data set that the index was made for.
        store: of HR, whose images the features must be of; the manifest next to it has its hash.

    Raises:
        UserError: the index is missing, damaged, of another data set, or of other images under the same names.
    """
    folder, store = find_index(folder), Path(store)
    manifest = _manifest_for(folder, keys)
    if manifest.get('store') != _store_hash(store.absolute().parent, store.name):
        raise UserError(f"compare index '{folder}': expected features of the images in '{store}', but they are of "
                        'another crop or form, or these were prepared again since. If it is next to them, delete it; '
                        f'make one with {INDEX_COMMAND}.')
    return _load(folder / 'features.npy', (len(keys), 2, manifest['feature_length']), np.float16)


def _store_hash(folder: Path, name: str = 'hr.lmdb') -> str | None:
    """SHA-256 of a prepared folder's store, as its manifest has it; None where it has none."""
    return manifest_hashes(folder).get(name)


def load_compare_index(folder: str | Path, keys: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """The stored neighbours (N, k) int32 of a data set, memory-mapped.

    Args:
        folder: see `find_index`.
        keys, labels: from the identities.csv of the data set that the index was made for.

    Raises:
        UserError: the index is missing, damaged, or of another data set.
    """
    folder = find_index(folder)
    manifest = _manifest_for(folder, keys)
    index = _load(folder / f'compare_k{manifest["k"]}.npy', (len(keys), manifest['k']), np.int32)
    for start in range(0, len(keys), _CHECKED_AT_ONCE):
        rows, own = index[start:start + _CHECKED_AT_ONCE], labels[start:start + _CHECKED_AT_ONCE, None]
        there = (rows >= 0) & (rows < len(keys))
        wrong = np.where(there, labels[np.where(there, rows, 0)] != own, rows != -1)
        if wrong.any():
            row = start + int(np.flatnonzero(wrong.any(1))[0])
            raise UserError(f"compare index '{folder}': row {row} ('{keys[row]}') names an image of another identity.\n"
                            f'The labels have changed since it was made. Delete it and make it with {INDEX_COMMAND}.')
    return index


def _load(path: Path, shape: tuple[int, ...], kind: type) -> np.ndarray:
    array = read_npy(path, _AGAIN)
    if array.shape != shape or array.dtype != kind:
        raise _damaged(path, f'{np.dtype(kind).name} {shape}', f'{array.dtype} {array.shape}')
    return array


def _damaged(path: Path, expected: str, got: str) -> UserError:
    return UserError(f"'{path}' is damaged: expected {expected}, got {got}. {_AGAIN}")

"""The measurer: one system's faces by some recognizers and protocols, in numbers.

The faces are those of a prepared folder at one scale, read a few hundred at a time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.data.images.degradations import DegradedFaces
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import Embedded, compute_quantities, embedded_of, quantities_of
from cface_basicsr.evaluation.features import Images
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import manifest_hash, read_manifest
from cface_basicsr.measuring.feature_cache import FeatureCache
from cface_basicsr.measuring.finished_images import FinishedImages
from cface_basicsr.measuring.protocol import Features, Outcome, Protocol
from cface_basicsr.measuring.results import DataSet, Measured
from cface_basicsr.recognizers.load import crop_note
from cface_basicsr.runtime import pick_device

Chunks = Iterator[tuple[Images, Images | None]]
FaceSource = str | nn.Module | FinishedImages
"""'HR', 'Bicubic', 'LR', a super-resolution network, or pictures that are there already."""


@dataclass(frozen=True)
class FaceSet:
    """A prepared folder at one scale, or some of its faces.

    Attributes:
        keys, labels: of the N images, in one order; labels are (N,).
        hr, lr: the stores.
    """

    folder: Path
    scale: int
    keys: list[str]
    labels: NDArray[np.int64]
    hr: FaceStore
    lr: FaceStore | DegradedFaces

    @classmethod
    def open(cls, folder: Path, scale: int) -> 'FaceSet':
        """All faces of a folder.

        Raises:
            UserError: a store or identities.csv is missing or broken, or they hold different images.
        """
        keys, labels = read_identities(folder)
        hr, lr = FaceStore(folder / 'hr.lmdb'), FaceStore(folder / f'lr_x{scale}.lmdb')
        for store in (hr, lr):
            differing = set(keys) ^ set(store.keys)
            if differing:
                raise UserError(f"'{store.path}' and identities.csv differ in {len(differing)} keys, for example "
                                f"'{min(differing)}'. Make the folder again with `cface prepare`.")
        return cls(folder, scale, keys, np.asarray(labels, dtype=np.int64), hr, lr)

    def part(self, rows: NDArray[np.int64]) -> 'FaceSet':
        """The faces of some rows (n,), in their order."""
        return replace(self, keys=[self.keys[row] for row in rows], labels=self.labels[rows])

    def of_different_people(self, count: int) -> NDArray[np.int64]:
        """Rows (N,) of the first face of N = `count` people, evenly spread; of all people where there are fewer."""
        first = np.unique(self.labels, return_index=True)[1]
        count = min(count, len(first))
        return first[np.linspace(0, len(first) - 1, count).astype(int)] if count else first[:0]

    def chunks(self, system: FaceSource, *, batch_size: int = 32, at_once: int = 256,
               device: str | torch.device = 'cpu', progress: Callable[[int], None] = lambda done: None) -> Chunks:
        """(images, originals) of a system in the order of the keys, each (n, H, W, 3) uint8 RGB.

        The LR images have no originals of their size.

        Args:
            system: see `FaceSource`.
            batch_size: faces that a network is given at a time.
            at_once: n, faces in memory; a multiple of batch_size, so that all batches but the last are whole.
            progress: called with the number of images done.
        """
        network = BicubicUpsampler(scale=self.scale) if system == 'Bicubic' else system
        for start in range(0, len(self.keys), at_once):
            keys = self.keys[start:start + at_once]
            if system == 'LR':
                yield _stack(self.lr, keys), None
            else:
                originals = _stack(self.hr, keys)
                if isinstance(network, FinishedImages):
                    yield network.stack(keys, originals.shape[1:3]), originals
                else:
                    yield originals if system == 'HR' else super_resolve(
                        network, _stack(self.lr, keys), batch_size=batch_size, device=device,
                        names=[f"'{key}'" for key in keys]), originals
            progress(start + len(keys))

    def embed(self, system: FaceSource, recognizers: Mapping[str, nn.Module], *, originals: bool = True,
              unit_length: bool = True, keep: Collection[int] = (), kept: FeatureCache | None = None,
              batch_size: int = 32, at_once: int = 256, device: str | torch.device | None = None,
              start: Callable[[int], None] = lambda total: None, progress: Callable[[int], None] = lambda done: None,
              **how: Any) -> Embedded:
        """What the recognizers see in a system's N faces, and its PSNR and SSIM.

        Args:
            system, batch_size, at_once, progress: see `chunks`.
            originals: whether PSNR and SSIM are measured.
            unit_length: of the features; otherwise they are as the networks give them.
            keep: rows whose images are returned.
            kept: values of earlier runs, and those that are computed now; None: all is computed.
            device: None: the GPU where there is one.
            start: called with the number of images that have to be computed.
            how: see `evaluation.face_systems.quantities_of`.

        Raises:
            UserError: there are no faces.
        """
        if not self.keys:
            raise UserError('no images to evaluate.')
        device = pick_device() if device is None else device
        quantities = quantities_of(recognizers, len(self.keys), originals=originals and system != 'LR', device=device,
                                   **how)
        with kept.filled(quantities, system, self.hr, self.lr, self.scale, self.keys) if kept else nullcontext():
            rows = np.unique(np.concatenate([np.flatnonzero(quantity.todo) for quantity in quantities.values()]
                                            + [np.array([*keep], dtype=int)]))
            start(len(rows))
            chunks = self.part(rows).chunks(system, batch_size=batch_size, at_once=at_once, device=device,
                                            progress=progress)
            images = compute_quantities(chunks, quantities, rows, set(keep))
        return embedded_of(quantities, images, unit_length=unit_length)

    def data_set(self, name: str, protocols: Sequence[Protocol], like: Any = None) -> DataSet:
        """What the record says of it."""
        return DataSet(name, 'test', manifest_hash(self.folder), len(np.unique(self.labels)), len(self.keys),
                       [each.compared for each in protocols], like)

    def notes(self, recognizers: Mapping[str, nn.Module]) -> list[str]:
        """What a reader must know: crops that a recognizer was not made for, equal pictures of different people."""
        notes = [crop_note(self.folder, name, network) for name, network in recognizers.items()]
        return [note for note in (*notes, self._equal_pictures()) if note]

    def _equal_pictures(self) -> str | None:
        """One line where pictures are there under another identity, too, here or in the training part.

        The manifest of a held-out part lists groups of equal faces, including those of the other part.
        """
        groups, keys = read_manifest(self.folder).get('duplicates', []), set(self.keys)
        mixed = [group for group in groups if len({key.split('/')[0] for key in group}) > 1 and keys & set(group)]
        trained = sum(len(keys & set(group)) for group in mixed if not keys.issuperset(group))
        if not mixed:
            return None
        held_out = sum(len(keys & set(group)) for group in mixed)
        return (f'The data has equal pictures under different identities: {held_out} held-out pictures, {trained} of '
                'them also in the training set. They count as what they are labelled.')


def check_stores(folder: Path, scale: int) -> None:
    """Check that the images of a prepared folder are there.

    Raises:
        UserError: a store is missing; it names the command that makes it.
    """
    for store in ('hr.lmdb', f'lr_x{scale}.lmdb'):
        if not (folder / store).is_dir():
            raise UserError(f"'{folder}' has no {store}: expected a folder that `cface prepare` made.\nMake it: cface "
                            f'prepare --layout casia SRC --out DIR --scale {scale} --crop center --holdout N --seed 0')


def _stack(store: FaceStore | DegradedFaces, keys: list[str]) -> Images:
    """(n, H, W, 3)."""
    return np.stack([store.image(key) for key in keys])


def measure(system: str | nn.Module, faces: FaceSet, recognizers: Mapping[str, nn.Module],
            protocols: Sequence[Protocol], **how: Any) -> Measured:
    """All numbers of one system; both sides of a pair are super-resolved.

    Args:
        system: 'HR', 'Bicubic', 'LR', or a super-resolution network (B, 3, h, w) in [0, 1] -> (B, 3, s h, s w).
        recognizers: name -> network that carries `input_spec`.
        how: see `FaceSet.embed`.
    """
    unit_length = all(each.unit_length for each in protocols)
    return judge(faces.embed(system, recognizers, unit_length=unit_length, **how), protocols)[0]


def judge(right: Embedded, protocols: Sequence[Protocol],
          left: Mapping[str, Features] | None = None) -> tuple[Measured, dict[str, Outcome]]:
    """The second half of `measure`: what each recognizer's features say.

    Args:
        right: of the system.
        left: recognizer -> features (N, D) of the first image of each pair, where they are another system's.

    Returns:
        the numbers, those of the later protocol where two have one of the same name; and for each recognizer the
        outcome that has the scores of pairs, where there is one.
    """
    measured, scored = Measured(dict(right.restoration())), {}
    for name, features in right.features.items():
        for protocol in protocols:
            outcome = protocol.measure(name, *([features] if left is None else [left[name], features]))
            measured.numbers |= outcome.numbers
            measured.per_fold |= outcome.per_fold
            scored |= {name: outcome} if outcome.scores is not None else {}
    return measured, scored

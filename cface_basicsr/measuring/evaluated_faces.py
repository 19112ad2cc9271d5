"""The faces that `cface evaluate` measures: a prepared folder, read chunk by chunk; or the keys of features alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features_file import IMAGE_SUFFIXES, keys_file
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import manifest_settings

Images = NDArray[np.uint8]
Chunks = Iterator[tuple[Images, Images | None]]
_Progress = Callable[[int], None]


@dataclass
class EvaluatedFaces:
    """A prepared folder at one scale.

    Attributes:
        keys, labels: of the images, in one order.
        hr, lr: the stores.
    """

    folder: Path
    scale: int
    keys: list[str]
    labels: NDArray[np.int64]
    hr: FaceStore
    lr: FaceStore

    def chunks(self, system: str | nn.Module, *, batch_size: int, device: str, progress: _Progress) -> Chunks:
        """(images, originals) of a system in the order of the keys; the LR images have no originals of their size.

        Args:
            system: 'HR', 'Bicubic', 'LR', or a super-resolution network.
            progress: called with the number of images done.
        """
        network = BicubicUpsampler(scale=self.scale) if system == 'Bicubic' else system
        for start in range(0, len(self.keys), batch_size):
            part = self.keys[start:start + batch_size]
            if system == 'LR':
                yield self._stack(self.lr, part), None
            else:
                originals = self._stack(self.hr, part)
                yield originals if system == 'HR' else super_resolve(
                    network, self._stack(self.lr, part), batch_size=batch_size, device=device), originals
            progress(start + len(part))

    def _stack(self, store: FaceStore, keys: list[str]) -> Images:
        """(n, H, W, 3)."""
        return np.stack([store.image(key) for key in keys])

    def settings(self) -> dict[str, Any]:
        """How the folder was prepared, as its manifest says; empty without one."""
        return manifest_settings(self.folder)


def read_faces(folder: Path, scale: int) -> EvaluatedFaces:
    """Open a prepared folder.

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
    return EvaluatedFaces(folder, scale, keys, labels, hr, lr)


def keys_of_features(path: Path) -> list[str]:
    """The images of a features file where nothing else says which there are: 'folder/name' or 'name' of each row.

    Raises:
        UserError: there is no list of keys beside the file.
    """
    names = keys_file(path)
    if not names.is_file():
        raise UserError(f"'{names}' is missing. Expected one line a row of '{path.name}': the image's key "
                        '(<identity>/<image>) or file name.')
    lines = [PurePosixPath(line.strip().replace('\\', '/')) for line in
             names.read_text(encoding='utf-8-sig').rstrip().splitlines()]
    return ['/'.join((line.with_suffix('') if line.suffix.lower() in IMAGE_SUFFIXES else line).parts[-2:])
            for line in lines]

"""Features, PSNR and SSIM that were computed before: kept in a folder, so that nobody waits for them twice.

One file holds what one recognizer sees in one system's images, or in their mirror images; others hold their PSNR and
SSIM, their LPIPS, or their DISTS. Its name is a hash of all that decides the values besides the images: the system and
the recognizer by the bytes of their files, the record of the recognizer's input, mirror or not, the kind of device, our
own code, and the libraries that compute. Each value belongs to a hash of its image's key and of the stored bytes that
it was computed from, so crop and degradation are part of it, and images of several folders may share a file.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.data.images.degradations import DegradedFaces
from cface_basicsr.errors import visible
from cface_basicsr.evaluation.face_systems import Quantities
from cface_basicsr.files.array_file import read_npz
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.face_store import FaceStore, add_entry
from cface_basicsr.runtime import installed_version

_LIBRARIES = ('torch', 'basicsr', 'onnx2torch')


class FeatureCache:
    """A folder of values. Where it cannot be written, one line on stderr says so, and nothing else changes."""

    def __init__(self, folder: Path, recognizers: Mapping[str, str], networks: Mapping[nn.Module, str],
                 device: str | torch.device) -> None:
        """
        Args:
            folder: made when there is something to keep.
            recognizers: name -> hash of its files; '' where that is not known, and then nothing is kept.
            networks: super-resolution network -> hash of its file.
            device: on which values are computed.
        """
        self.folder, self._recognizers, self._networks = folder, recognizers, networks
        self._writable = True
        self._computed_by = {'device': torch.device(device).type, 'code': code_sha256(),
                             'libraries': {name: installed_version(name) for name in _LIBRARIES}}
        self._hashes: dict[tuple[Path, str], bytes] = {}

    @contextmanager
    def filled(self, quantities: Quantities, system: str | nn.Module, hr: FaceStore,
               lr: FaceStore | DegradedFaces, scale: int, keys: Sequence[str]) -> Iterator[None]:
        """Enter what is known into quantities; after the block, also after an error in it, keep what is new.

        Args:
            quantities: of the N images.
            system: 'HR', 'Bicubic', 'LR', or a network.
            hr, lr: the stores, lr at `scale`.
            keys: N.
        """
        made = {'system': system if isinstance(system, str) else self._networks[system],
                'scale': scale if system == 'Bicubic' else None}
        opened = []
        for (name, what), quantity in quantities.items():
            recognizer = self._recognizers[name] if name else None
            if recognizer == '':
                continue
            file = _File(self.folder, self._computed_by | made | quantity.facts
                         | {'recognizer': recognizer, 'what': what})
            stores = [hr, lr] if not name else [hr if system == 'HR' else lr]
            images = {int(row): self._hash(keys[row], stores) for row in np.flatnonzero(quantity.todo)}
            known = file.read()
            there = [row for row, image in images.items() if image in known]
            if there:
                quantity.put(np.array(there), np.stack([known[images[row]] for row in there]))
            opened.append((file, quantity, {row: image for row, image in images.items() if quantity.todo[row]}))
        try:
            yield
        finally:
            for file, quantity, images in opened:
                done = [row for row in images if not quantity.todo[row]]
                self._keep(file, {images[row]: quantity.values[row] for row in done})

    def _hash(self, key: str, stores: Sequence[FaceStore | DegradedFaces]) -> bytes:
        """Of a key, and of the bytes that these stores have for it."""
        digest = hashlib.sha256(key.encode())
        for store in stores:
            if (store.path, key) not in self._hashes:
                self._hashes[store.path, key] = hashlib.sha256(store.content(key)).digest()
            digest.update(self._hashes[store.path, key])
        return digest.digest()

    def _keep(self, file: '_File', new: '_Known') -> None:
        if not new or not self._writable:
            return
        try:
            file.add(new)
        except OSError as error:
            self._writable = False
            reason = error.strerror or error
            print(visible(f"cface: features are not kept in '{self.folder}' ({reason}); --cache DIR names "
                          'another folder.'), file=sys.stderr, flush=True)


_Known = dict[bytes, NDArray]
"""Hash of an image -> its values (width,)."""


class _File:
    """The values of one quantity of one system."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        """
        Args:
            about: all that decides the values, besides the images.
        """
        self._about = json.dumps(about, sort_keys=True)
        self._path = folder / f'{hashlib.sha256(self._about.encode()).hexdigest()[:32]}.npz'

    def read(self) -> _Known:
        """What the file holds; nothing where it is missing, damaged or of something else."""
        try:
            arrays = read_npz(self._path)
            about, images, values, digest = (arrays[name] for name in ('about', 'images', 'values', 'sha256'))
            if images.shape != (len(values), 32) or str(about) != self._about or str(digest) != self._sha256(images,
                                                                                                            values):
                return {}
        except Exception:  # a damaged archive fails in many ways; all that is lost is time
            return {}
        return dict(zip(map(bytes, images), values, strict=True))

    def add(self, new: _Known) -> None:
        """Write the file with more values; those that another process has added by now stay."""
        known = self.read() | new
        images, values = np.array([list(image) for image in known], np.uint8), np.stack(list(known.values()))
        with replacing(self._path, shared=True) as aside, open(aside, 'wb') as file:
            np.savez(file, about=self._about, images=images, values=values, sha256=self._sha256(images, values))

    def _sha256(self, images: NDArray[np.uint8], values: NDArray) -> str:
        digest = hashlib.sha256(f'{self._about} {values.dtype} {values.shape}'.encode())
        digest.update(images.tobytes() + values.tobytes())
        return digest.hexdigest()


@cache
def code_sha256() -> str:
    """A hash of this package's modules: other code may compute other values."""
    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(root.rglob('*.py')):
        add_entry(digest, str(path.relative_to(root)).encode(), path.read_bytes())
    return digest.hexdigest()

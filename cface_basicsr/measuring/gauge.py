"""One test set at one scale: its faces, its pairs, and every number of a network on them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.benchmark.file import HeldOut
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import verification_numbers
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.evaluation.verification import FoldedPairs
from cface_basicsr.files.face_store import encode_png
from cface_basicsr.files.manifest import manifest_hash
from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.measuring.held_out_lists import read_lists
from cface_basicsr.measuring.recipe_rows import Images, all_images
from cface_basicsr.measuring.results import DataSet, Measured, save_scores
from cface_basicsr.runtime import pick_device

CHUNK = 256
CURVE_IMAGES = 300
"""Images that an accuracy along the way is taken from, at most."""


@dataclass(frozen=True)
class Recognizer:
    """A recognizer that measures: its network and the hash of its file."""

    network: nn.Module
    sha256: str


class Gauge:
    """Measures networks on one test set at one scale; every network by the same images, pairs and recognizers."""

    def __init__(self, name: str, options: HeldOut, folder: Path, scale: int,
                 recognizers: Mapping[str, Recognizer]) -> None:
        """
        Args:
            name: of the test set in tables and files.
            options: of the benchmark file.
            folder: that `cface prepare` made.
            scale: 2, 4 or 8.
            recognizers: name -> recognizer.

        Raises:
            UserError: a store is missing, or the lists do not fit.
        """
        need_stores(name, folder, scale)
        self.name, self.options, self.folder, self.scale, self.recognizers = name, options, folder, scale, recognizers
        self.lists = lists = read_lists(options, folder)
        self.keys, self.labels, self.pairs, self.open_set = lists.keys, lists.labels, lists.pairs, lists.open_set
        self.hr, self.lr = (all_images(folder / store, self.keys) for store in ('hr.lmdb', f'lr_x{scale}.lmdb'))

    def data_set(self) -> DataSet:
        """What a report says of it."""
        return DataSet(self.name, 'test', manifest_hash(self.folder), len(set(self.labels.tolist())), len(self.keys),
                       len(self.pairs.same), self.protocol(), self.options.far, self.options.like)

    def protocol(self) -> str:
        """How it is measured, in words."""
        folds, pairs = len(set(self.pairs.fold.tolist())), len(self.pairs.same)
        return (f'{folds} folds, {pairs // folds} pairs each, both sides super-resolved, threshold from the other folds'
                + ('' if self.options.pairs else ', drawn with seed 0') + f'. {self.open_set.words}')

    def mark(self) -> str:
        """A hash of all that decides the numbers but the network: data, protocol, recognizers."""
        options = self.options.model_dump(exclude={'faces', 'like', 'data', 'pairs', 'blufr'})
        facts = [manifest_hash(self.folder), options, self.scale, self.lists.sha256(),
                 {name: recognizer.sha256 for name, recognizer in self.recognizers.items()}]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    # ----------------------------------------------------------------------------------------------------- measuring

    def super_resolved(self, weights: Path | None, rows: NDArray[np.int64] | None = None) -> Images:
        """(N, H, W, 3): the faces (of some rows) through a generator's file; None: bicubic."""
        network = build_network_from_file(weights) if weights else BicubicUpsampler(scale=self.scale)
        return super_resolve(network, self.lr if rows is None else self.lr[rows], device=pick_device())

    def measure(self, images: Images, scores: Path) -> Measured:
        """All numbers of a system's images (N, H, W, 3); its scores are kept in an .npz."""
        measured = Measured(self._restoration(images, self.hr))
        kept = {}
        for name, recognizer in self.recognizers.items():
            features = extract_features(recognizer.network, images, device=pick_device())
            kept[name] = cosine_scores(features, self.pairs.pairs)
            numbers, measured.per_fold[name] = verification_numbers(name, kept[name], self.pairs.same, self.pairs.fold,
                                                                    self.options.far)
            measured.numbers |= numbers | self.open_set.numbers(name, features)
        save_scores(scores, self.pairs.same, kept)
        return measured

    def _restoration(self, images: Images, hr: Images) -> dict[str, float | None]:
        if images is self.hr:
            return {'psnr': None, 'ssim': 1.0}
        parts = [psnr_ssim(*(part[start:start + CHUNK].transpose(0, 3, 1, 2) for part in (images, hr)))
                 for start in range(0, len(hr), CHUNK)]
        psnr, ssim = (np.concatenate([part[i].numpy() for part in parts]) for i in (0, 1))
        return {'psnr': float(psnr.mean()), 'ssim': float(ssim.mean())}

    def along_the_way(self, weights: Path) -> dict[str, float]:
        """PSNR, and accuracy by each recognizer, of a checkpoint, on a part of the pairs that has few images."""
        pairs = few_pairs(self.pairs, CURVE_IMAGES)
        rows, places = np.unique(pairs.pairs, return_inverse=True)
        images = self.super_resolved(weights, rows)
        numbers = {'psnr': self._restoration(images, self.hr[rows])['psnr']}
        for name, recognizer in self.recognizers.items():
            scores = cosine_scores(extract_features(recognizer.network, images, device=pick_device()),
                                   places.reshape(pairs.pairs.shape))
            measured, _ = verification_numbers(name, scores, pairs.same, pairs.fold, self.options.far)
            numbers[name] = measured[f'{name}/accuracy']
        return numbers

    # --------------------------------------------------------------------------------------------------------- faces

    def shown(self) -> NDArray[np.int64]:
        """Rows of the faces in the grid: the first of so many people, spread evenly."""
        first = np.unique(self.labels, return_index=True)[1]
        count = min(self.options.faces, len(first))
        return first[np.linspace(0, len(first) - 1, count).astype(int)] if count else first[:0]

    def save_faces(self, images: Images, folder: Path, root: Path) -> dict[str, str]:
        """Key -> path relative to `root` of the shown faces' PNG files."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = {}
        for row in self.shown():
            path = folder / f"{self.keys[row].replace('/', '__')}.png"
            path.write_bytes(encode_png(images[row]))
            paths[self.keys[row]] = str(path.relative_to(root))
        return paths


def need_stores(name: str, folder: Path, scale: int) -> None:
    """The images of a test set must be there.

    Raises:
        UserError: a store is missing; with the command that makes it.
    """
    for store in ('hr.lmdb', f'lr_x{scale}.lmdb'):
        if not (folder / store).is_dir():
            raise UserError(f"test set '{name}': '{folder / store}' is missing.\n"
                            f'Make it: cface prepare … --scale {scale} (for held-out faces: --holdout N --seed S)')


def few_pairs(pairs: FoldedPairs, most: int) -> FoldedPairs:
    """The first pairs of each kind in each fold, as many as keep the number of images at `most` or below.

    At least one pair of each kind in a fold is left, whatever that costs.
    """
    count = max(int((pairs.fold == fold).sum()) for fold in np.unique(pairs.fold))
    while True:
        chosen = np.zeros(len(pairs.same), dtype=bool)
        for fold in np.unique(pairs.fold):
            for same in (True, False):
                chosen[np.flatnonzero((pairs.fold == fold) & (pairs.same == same))[:count]] = True
        if count == 1 or len(np.unique(pairs.pairs[chosen])) <= most:
            return FoldedPairs(pairs.pairs[chosen], pairs.same[chosen], pairs.fold[chosen])
        count = max(1, count * 3 // 4)

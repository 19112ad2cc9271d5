"""A test set of a recipe or a benchmark at one scale: it measures every network by the same images and recognizers."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.data.images.align import find_detector
from cface_basicsr.data.images.face_images import write_face
from cface_basicsr.evaluation.face_systems import Embedded
from cface_basicsr.evaluation.perceptual import PerceptualDistance
from cface_basicsr.evaluation.verification import FoldedPairs
from cface_basicsr.files.manifest import manifest_hash, manifest_settings
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.measuring.landmarks import align_by_landmarks, embed_with_aligned
from cface_basicsr.measuring.measure import FaceSet, check_stores, judge
from cface_basicsr.measuring.protocol import PairsProtocol
from cface_basicsr.measuring.protocols import protocols_of
from cface_basicsr.measuring.request import TestSet
from cface_basicsr.measuring.results import DataSet, Faces, Run, save_mapped, save_scores, step_name
from cface_basicsr.recognizers.load import load_recognizer

MAPPED = 8
"""Faces of each person shown, at most, whose features are kept for a map."""
CURVE_IMAGES = 300
"""At most this many images are measured for an accuracy during training."""


class Recognizer(NamedTuple):
    """A recognizer that measures: its network and the hash of its files."""

    network: nn.Module
    sha256: str

    @classmethod
    def load(cls, path: str | Path) -> 'Recognizer':
        """See `load_recognizer`."""
        return cls(load_recognizer(Path(path)), recognizer_hash(path, 64))


class OpenTestSet:
    """Measures systems on one test set at one scale."""

    def __init__(self, name: str, options: TestSet, folder: Path, scale: int, recognizers: Mapping[str, Recognizer],
                 looks: Mapping[str, PerceptualDistance] = MappingProxyType({})) -> None:
        """
        Args:
            name: in tables and files.
            folder: that `cface prepare` made.
            scale: 2, 4 or 8.
            looks: 'lpips' or 'dists' -> what measures it.

        Raises:
            UserError: a store is missing, or the lists do not fit.
        """
        check_stores(folder, scale)
        self.name, self.options, self.recognizers, self.looks = name, options, recognizers, looks
        self.networks = {who: recognizer.network for who, recognizer in recognizers.items()}
        self.faces = FaceSet.open(folder, scale)
        self.chips = [who for who, network in self.networks.items() if network.input_spec.template == 'dlib']
        self.aligned, self._notes = None, []
        if self.chips and manifest_settings(folder).get('crop') == 'center':
            self.aligned, note = align_by_landmarks(self.faces, find_detector(None), folder / 'features')
            self._notes = [note]
        self.protocols = protocols_of(options, self.faces.keys, self.faces.labels, f'tests.{name}')
        self.shown = self.faces.of_different_people(options.faces).tolist()
        self.mapped = [row for first in self.shown for row in np.flatnonzero(
            self.faces.labels == self.faces.labels[first])[:MAPPED].tolist()]

    def data_set(self) -> DataSet:
        """What the record says of it."""
        return self.faces.data_set(self.name, self.protocols, self.options.like)

    def notes(self) -> list[str]:
        """What a reader must know; see `FaceSet.notes`."""
        return [*self._notes, *self.faces.notes({who: network for who, network in self.networks.items()
                                                 if not (self.aligned and who in self.chips)})]

    def fingerprint(self) -> str:
        """A hash of everything that decides the numbers and the faces shown, except the network."""
        facts = [manifest_hash(self.faces.folder), self.faces.scale, self.shown,
                 self.options.model_dump(exclude={'like', 'data', 'pairs', 'blufr'}),
                 [each.compared.sha256 for each in self.protocols],
                 {name: recognizer.sha256 for name, recognizer in self.recognizers.items()},
                 *(look.facts for look in self.looks.values()), *(['aligned'] if self.aligned else [])]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    # ----------------------------------------------------------------------------------------------------- measuring

    def embed(self, system: str | nn.Module, networks: Mapping[str, nn.Module] | None = None) -> Embedded:
        """See `FaceSet.embed`: by the recognizers of this set, or by others; HR is not compared with itself."""
        networks = self.networks if networks is None else networks
        chips = [who for who, network in networks.items() if network.input_spec.template == 'dlib']
        also = {'originals': system != 'HR', 'keep': self.shown, 'looks': self.looks}
        return embed_with_aligned(self.faces, self.aligned, chips, system, networks, also)

    def measure(self, run: Run, embedded: Embedded, root: Path) -> None:
        """Put a system's numbers into its run; scores of pairs, some features and faces into files below `root`."""
        place = [f'x{run.scale}', step_name(run.system) + ('' if run.seed is None else f'_seed{run.seed}')]
        measured, scored = judge(embedded, self.protocols)
        measured.numbers |= {'psnr': None, 'ssim': 1.0} if run.system == 'HR' else {}
        scores = save_scores(root / 'scores' / f"{'_'.join([*place, self.name])}.npz", self.protocols[0].folded.same,
                             {name: outcome.scores for name, outcome in scored.items()})
        measured.scores = str(scores.relative_to(root))
        if self.mapped:
            features = save_mapped(root / 'features' / scores.name, [self.faces.keys[row] for row in self.mapped],
                                     {name: each[self.mapped] for name, each in embedded.features.items()})
            measured.features = str(features.relative_to(root))
        run.measured[self.name] = measured
        run.faces |= self._save(embedded.kept, root / 'faces' / self.name / Path(*place), root)

    def along_the_way(self, network: nn.Module) -> dict[str, float]:
        """PSNR in dB, and accuracy in [0, 1] by each recognizer, of a checkpoint, on a part of the pairs."""
        pairs = few_pairs(self.protocols[0].folded, CURVE_IMAGES)
        rows, places = np.unique(pairs.pairs, return_inverse=True)
        faces = self.faces.part(rows)
        protocol = PairsProtocol(pairs._replace(pairs=places.reshape(pairs.pairs.shape)), faces.keys, 'a part',
                                 far=self.options.far)
        embedded = embed_with_aligned(faces, self.aligned and self.aligned.part(rows), self.chips, network,
                                      self.networks, {})
        numbers = judge(embedded, [protocol])[0].numbers
        return {'psnr': numbers['psnr']} | {name: numbers[f'{name}/accuracy'] for name in self.networks}

    # --------------------------------------------------------------------------------------------------------- faces

    def save_low(self, entry: Faces, root: Path) -> Faces:
        """Add the faces at this scale, LR, to those of the set's grid, and the other photos of the people shown; they
        are written below `root`.
        """
        entry.keys = [self.faces.keys[row] for row in self.shown]
        scale = self.faces.scale
        entry.low[scale] = self._save({row: self.faces.lr.image(self.faces.keys[row]) for row in self.shown},
                                      root / 'faces' / self.name / f'x{scale}' / 'LR', root)
        others = self._others()
        saved = self._save({row: self.faces.hr.image(self.faces.keys[other]) for row, other in others.items()},
                           root / 'faces' / self.name / 'compare', root)
        entry.compare = {self.faces.keys[row]: (self.faces.keys[other], saved[self.faces.keys[row]])
                         for row, other in others.items()}
        return entry

    def _others(self) -> dict[int, int]:
        """Row of a face shown -> that of another photo of the person, where there is one."""
        labels = self.faces.labels
        return {row: other for row in self.shown
                if (other := next((each for each in self.mapped if each != row and labels[each] == labels[row]), None))
                is not None}

    def _save(self, images: Mapping[int, NDArray[np.uint8]], folder: Path, root: Path) -> dict[str, str]:
        """Key -> path relative to `root` of each image's PNG file, in the order of `shown`."""
        paths = {}
        for row in filter(images.__contains__, self.shown):
            path = folder / f"{self.faces.keys[row].replace('/', '__')}.png"
            write_face(path, images[row], overwrite=True)
            paths[self.faces.keys[row]] = str(path.relative_to(root))
        return paths


def few_pairs(pairs: FoldedPairs, most: int) -> FoldedPairs:
    """The first pairs of each kind in each fold, reduced until they have `most` images or fewer.

    At least one pair of each kind is left in each fold, even if that is too many images.
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

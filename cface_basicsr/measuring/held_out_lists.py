"""What a test set of a benchmark is measured by: its pairs, and the galleries and probes of open-set identification."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from cface_basicsr.benchmark.file import HeldOut
from cface_basicsr.evaluation import blufr
from cface_basicsr.evaluation.open_set import GalleryAndProbe, draw_galleries, open_set_rate
from cface_basicsr.evaluation.pairs_file import pairs_sha256, read_pairs
from cface_basicsr.evaluation.unit_features import unit_features
from cface_basicsr.evaluation.verification import FoldedPairs, Ints, allowed_at_far, make_pairs
from cface_basicsr.files.identities import read_identities
from cface_basicsr.measuring.set_protocols import lists_sha256

RANK = 1


class DrawnOpenSet:
    """DIR of a set without official lists: galleries are drawn, with seed 0."""

    facts = 'drawn'

    def __init__(self, labels: Ints, far: float) -> None:
        self.labels, self.far, self.draws = labels, far, draw_galleries(labels)
        first = self.draws[0]
        impostors = int((~np.isin(labels[first.probe], labels[first.gallery])).sum())
        self.words = (f'DIR at FAR = {100 * far:g} %: mean of {len(self.draws)} draws with seed 0, '
                      f'{len(first.gallery)} people enrolled with one image each; in the first, {impostors:,} images '
                      f'of others, of which {allowed_at_far(far, impostors)} may raise a false alarm')

    def numbers(self, name: str, features: ArrayLike) -> dict[str, float]:
        """'<name>/dir' and '<name>/dir_std' over the draws. features: (N, D) of all images."""
        units = unit_features(features)
        rates = blufr.summary([self._rate(units, draw) for draw in self.draws])
        return {f'{name}/dir': rates.mean, f'{name}/dir_std': rates.std}

    def _rate(self, units: Tensor, draw: GalleryAndProbe) -> blufr.RateAtFar:
        return open_set_rate(units, self.labels, draw.gallery, draw.probe, self.far, RANK)


class BlufrLists:
    """VR and DIR by the official lists of LFW-BLUFR."""

    def __init__(self, path: Path, keys: list[str], far: float, far_identification: float) -> None:
        self.config, self.far, self.far_identification = blufr.load_config(path), far, far_identification
        self.rows = blufr.rows_of(self.config, keys)
        self.facts = lists_sha256(self.config)
        self.words = (f'VR at FAR = {100 * far:g} % and DIR at FAR = {100 * far_identification:g} %: LFW-BLUFR, means '
                      f'over {len(self.config.trials)} trials')

    def numbers(self, name: str, features: ArrayLike) -> dict[str, float]:
        """'<name>/vr', '<name>/dir' and their '_std' over the trials. features: (N, D) of all images."""
        result = blufr.evaluate(np.asarray(features)[self.rows], self.config, far_verification=self.far,
                                far_identification=self.far_identification, rank=RANK)
        return {f'{name}/vr': result.vr.mean, f'{name}/vr_std': result.vr.std,
                f'{name}/dir': result.dir.mean, f'{name}/dir_std': result.dir.std}


@dataclass(frozen=True)
class HeldOutLists:
    """Keys and labels (N,) of a test set, the pairs that are compared, and its open-set protocol."""

    keys: list[str]
    labels: Ints
    pairs: FoldedPairs
    open_set: DrawnOpenSet | BlufrLists

    def sha256(self) -> str:
        """A hash of all that is compared, wherever it was read."""
        people = [f'{key},{label}' for key, label in zip(self.keys, self.labels, strict=True)]
        facts = [*people, self.open_set.facts, pairs_sha256(self.pairs, self.keys)]
        return hashlib.sha256('\n'.join(facts).encode()).hexdigest()


def read_lists(options: HeldOut, folder: Path) -> HeldOutLists:
    """The lists of a test set: read from the files that its options name, or drawn.

    Args:
        folder: that `cface prepare` made.

    Raises:
        UserError: a file is missing, or names images that the folder lacks; too few people for so many pairs.
    """
    keys, labels = read_identities(folder)
    labels = np.asarray(labels, dtype=np.int64)
    pairs = read_pairs(options.pairs, keys) if options.pairs else make_pairs(
        labels, folds=options.folds, pairs_per_fold=options.pairs_per_fold, seed=0)
    open_set = BlufrLists(Path(options.blufr), keys, options.far, options.far_identification) if options.blufr else \
        DrawnOpenSet(labels, options.far_identification)
    return HeldOutLists(keys, labels, pairs, open_set)

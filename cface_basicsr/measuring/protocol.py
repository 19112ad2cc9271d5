"""The protocols of `cface evaluate`: what is compared with what, which numbers come of it, and in which columns.

A protocol is made once, from the images' keys and labels; then it measures each system by its features alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.evaluation.face_systems import rate_numbers, verification_numbers
from cface_basicsr.evaluation.features import cosine_scores
from cface_basicsr.evaluation.lfw import lfw_accuracy
from cface_basicsr.evaluation.pairs_file import pairs_sha256
from cface_basicsr.evaluation.roc import FARS, RocCurve, TarAtFar, roc_curve
from cface_basicsr.evaluation.verification import FoldedPairs
from cface_basicsr.measuring.table import Column, Number, Row, Table

Features = NDArray[np.float32]

FEW_PASSING = ('Few passing pairs make a rate a matter of chance; with 0, a pair of one person must score higher than '
               'every pair of different people.')


@dataclass(frozen=True)
class Outcome:
    """What one recognizer says of one system.

    Attributes:
        numbers: '<recognizer>/<number>' -> value; shares in [0, 1].
        per_fold: the same keys -> the value of each fold, trial or part, for paired comparisons.
        behind: the numbers of pairs behind the rates, the same for all systems; '' where there are no rates.
        counts: the same, for JSON.
        curve: ROC, where the protocol has one.
    """

    numbers: dict[str, Number]
    per_fold: dict[str, list[float]]
    behind: str = ''
    counts: dict[str, Any] = field(default_factory=dict)
    curve: RocCurve | None = None


class Protocol(ABC):
    """One way to measure.

    Attributes:
        name: as the command calls it.
        note: one line below the table: what was compared.
        facts: for JSON; `compared_sha256` says which images were compared how, `shared` see `paired_test`.
        flip: whether the features of an image and of its mirror image are joined, unless asked otherwise.
        unit_length: whether features are scaled to unit length before they come here.
        has_sides: whether the two images of a pair can be treated differently.
        has_curve: whether it gives a ROC curve.
    """

    name: str
    flip = False
    unit_length = True
    has_sides = False
    has_curve = False

    def __init__(self, note: str, facts: dict[str, Any]) -> None:
        self.note, self.facts = note, {'protocol': self.name, 'shared': 0.0} | facts

    @abstractmethod
    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """The numbers of one system.

        Args:
            name: of the recognizer; keys begin with it.
            features: (N, D) in the order of the keys.
            right: features of the second image of each pair where they differ; None: the same.
        """

    @abstractmethod
    def columns(self, name: str) -> list[Column]:
        """The main table's columns for one recognizer."""

    def rates(self, name: str, rows: Sequence[Row], outcome: Outcome) -> Table | None:
        """A second table: equal error rate and true accept rates; None where the protocol has no threshold.

        Args:
            outcome: of any row: what stands behind the rates is the same for all.
        """
        if not outcome.behind:
            return None
        columns = [Column(f'{name}/eer', 'EER %', 2, best='min', factor=100)]
        columns += [Column(f'{name}/tar@{far:g}', f'TAR % at FAR {100 * far:g} %', 2, factor=100) for far in FARS]
        return Table(f'Equal error and true accept rates ({name})', columns, rows, [outcome.behind])


def _in_words(rates: Sequence[TarAtFar]) -> str:
    """How many pairs stand behind true accept rates."""
    passing = ', '.join(f'{rate.allowed:,} at {100 * rate.far:g} %' for rate in rates)
    return (f'Behind them: {rates[0].genuine:,} pairs of one person and {rates[0].impostor:,} of different people, of '
            f'which may pass: {passing}. {FEW_PASSING}')


# --------------------------------------------------------------------------------------------------------------- pairs

class PairsProtocol(Protocol):
    """Pairs in folds by plain cosine: accuracy at the threshold of the other folds, rates over all pairs."""

    name = 'pairs'
    has_sides = True
    has_curve = True

    def __init__(self, folded: FoldedPairs, keys: Sequence[str], far: float, source: str, **facts: Any) -> None:
        """
        Args:
            folded: which rows are compared.
            keys: of the rows.
            far: false accept rate of the verification rate.
            source: where the pairs are from, in words.
            facts: more of them, such as the seed.
        """
        self.folded, self.far = folded, far
        pairs, folds = len(folded.same), len(np.unique(folded.fold))
        super().__init__(f'{pairs:,} pairs in {folds} folds, {source}; the threshold of a fold comes from the others, '
                         '± is the standard deviation over the folds.',
                         {'pairs': pairs, 'folds': folds, 'far': far, 'pairs_from': source,
                          'compared_sha256': pairs_sha256(folded, keys)} | facts)

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/accuracy', 'accuracy_std', 'vr', 'eer', 'tar@<far>'."""
        return self._plain(name, *_two_sided(features, right, self.folded))

    def _plain(self, name: str, features: Features, folded: FoldedPairs) -> Outcome:
        scores = cosine_scores(features, folded.pairs)
        numbers, folds = verification_numbers(name, scores, folded.same, folded.fold, self.far)
        rates, behind = rate_numbers(name, scores, folded.same)
        counts = {'genuine': behind[0].genuine, 'impostor': behind[0].impostor,
                  'allowed': {f'{rate.far:g}': rate.allowed for rate in behind}}
        return Outcome(numbers | rates, {f'{name}/accuracy': folds}, _in_words(behind), counts,
                       roc_curve(scores, folded.same))

    def columns(self, name: str) -> list[Column]:
        """See `Protocol.columns`."""
        return [Column(f'{name}/accuracy', f'accuracy % ({name})', 2, factor=100, spread=f'{name}/accuracy_std'),
                Column(f'{name}/vr', f'VR % at FAR {self.far * 100:g} % ({name})', 2, factor=100)]


def _two_sided(left: Features, right: Features | None, folded: FoldedPairs) -> tuple[Features, FoldedPairs]:
    """Features of both sides below one another, and the pairs with their second rows moved there."""
    if right is None:
        return left, folded
    return np.concatenate([left, right]), folded._replace(pairs=folded.pairs + np.array([0, len(left)]))


class LfwProtocol(PairsProtocol):
    """LFW in SphereFace's official way, and by plain cosine beside it.

    The official way joins the features of the image and of its mirror image and takes the training folds' mean away.
    The plain variant has the first half of the same features: those of the image itself.
    """

    name = 'lfw'
    flip = True
    unit_length = False  # the mean is one of features as the network gives them

    def __init__(self, *args: Any, flip: bool = True, joined: bool = True, **facts: Any) -> None:
        """
        Args:
            args, facts: see `PairsProtocol`.
            flip: whether the official way has the mirror image.
            joined: whether features come as image and mirror image; else they are taken whole for both ways.
        """
        super().__init__(*args, **facts)
        self.halved = flip and joined
        ways = "with the mirror image's" if flip and joined else 'as they are'
        self.note += f' Official: features {ways}, less the mean of the other folds; plain: cosine of the image alone.'

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: as `PairsProtocol` by plain cosine, and '<name>/official', 'official_std'."""
        features, folded = _two_sided(features, right, self.folded)
        official = lfw_accuracy(features, folded, subtract_mean=True)
        plain = self._plain(name, features[:, :features.shape[1] // 2] if self.halved else features, folded)
        numbers = {f'{name}/official': official.mean, f'{name}/official_std': official.std} | plain.numbers
        return replace(plain, numbers=numbers,
                       per_fold={f'{name}/official': official.per_fold.tolist()} | plain.per_fold)

    def columns(self, name: str) -> list[Column]:
        """See `Protocol.columns`."""
        official = Column(f'{name}/official', f'LFW official % ({name})', 2, factor=100, spread=f'{name}/official_std')
        accuracy, vr = super().columns(name)
        return [official, Column(accuracy.key, f'plain cosine % ({name})', 2, factor=100, spread=accuracy.spread), vr]

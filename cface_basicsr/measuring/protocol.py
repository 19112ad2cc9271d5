"""What a protocol is, and those of listed pairs.

A protocol says of itself, in its class, what it is called, what it takes and how its numbers can be compared; the
command, `--compare`, the record and the documents read it there. An instance is made once, from the images' keys and
labels; then it measures each system by its features.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import verification_numbers
from cface_basicsr.evaluation.features import cosine_scores
from cface_basicsr.evaluation.pairs_file import pairs_sha256, read_pairs
from cface_basicsr.evaluation.roc import FARS
from cface_basicsr.evaluation.verification import (
    FoldedPairs,
    Ints,
    allowed_at_far,
    asked_pairs,
    count_pairs,
    largest_pairs_per_fold,
    lfw_accuracy,
)
from cface_basicsr.measuring.request import Request, Sides
from cface_basicsr.measuring.results import Compared, file_facts
from cface_basicsr.measuring.table import Column, Number, Row, Table

Features = NDArray[np.float32]

FEW_PASSING = ('Where few pairs may pass, the rate is a matter of chance; with 0, a pair of one person must score '
               'higher than every pair of different people.')
_PARTS = 10
PAIRS_PER_FOLD = 600
"""300 of one person and 300 of different people: with ten folds the paper's 3,000 + 3,000."""


@dataclass(frozen=True)
class Outcome:
    """What one recognizer says of one system.

    Attributes:
        numbers: '<recognizer>/<number>' -> value; shares in [0, 1].
        per_fold: the same keys -> the value of each fold, trial or part, for paired comparisons.
        scores, same: of each pair (P,), its similarity and whether both images show one person; only where the
            protocol has a ROC curve.
    """

    numbers: dict[str, Number]
    per_fold: dict[str, list[float]]
    scores: NDArray[np.float64] | None = None
    same: NDArray[np.bool_] | None = None


class Protocol(ABC):
    """A way to measure, which describes itself.

    Attributes:
        name: in the command and in records.
        help: what is compared with what, in one line.
        gives: which numbers it gives, in one line.
        unit: what ± and comparisons are taken over: 'folds', 'trials' or 'parts'.
        assumption: what a paired test over them assumes; {shared} and {times} are filled in.
        paired: the numbers that are known for each fold, trial or part.
        shown: number, heading and whether its standard deviation is shown; {far} and {far_identification} are per cent.
        takes: options of the request that it uses, besides those of all protocols.
        flip: whether the features of an image and of its mirror image are joined by default.
        unit_length: whether it is given features of unit length.
        has_sides: whether the two images of a pair can be treated differently.
        sides: what is super-resolved by default, one of `request.SIDES`.
        small: whether its images are natively low-resolution, without an HR image.
        has_curve: whether it gives a ROC curve.
        images: (R,) rows of the images that an instance compares, in order; None: all.
        compared: what an instance compares, for the record.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    gives: ClassVar[str]
    unit: ClassVar[str]
    assumption: ClassVar[str]
    paired: ClassVar[tuple[str, ...]]
    shown: ClassVar[tuple[tuple[str, str, bool], ...]]
    takes: ClassVar[tuple[str, ...]] = ()
    flip: ClassVar[bool] = False
    unit_length: ClassVar[bool] = True
    has_sides: ClassVar[bool] = False
    sides: ClassVar[Sides] = 'both'
    small: ClassVar[bool] = False
    has_curve: ClassVar[bool] = False
    images: Ints | None = None

    def __init__(self, note: str, sha256: str, settings: dict[str, Any], counts: dict[str, Any] | None = None,
                 shared: float = 0.0) -> None:
        """See `Compared`."""
        self.compared = Compared(self.name, sha256, note, settings, counts or {}, shared)

    @classmethod
    def from_request(cls, request: Request, keys: Sequence[str], labels: Ints | None) -> 'Protocol':
        """The protocol for a set of images: of keys, labels, and the options that it takes.

        Args:
            keys: of the N images; labels: (N,) their identities, None where they are not known.

        Raises:
            UserError: what it needs is missing, or does not fit the images.
        """
        if labels is None:
            raise UserError(f'{request.protocol} needs to know which images show one person: give a prepared folder or '
                            f"its identities.csv, not '{request.data}'.")
        return cls(keys, labels, **{option: getattr(request, option) for option in cls.takes})

    @classmethod
    def check(cls, request: Request) -> None:
        """Refuse what this protocol cannot do, before anything is read.

        Raises:
            UserError: it names the option.
        """
        if request.sides == 'one' and not cls.has_sides:
            raise UserError(f"--sides one needs pairs; '{cls.name}' has none. Expected both or lr.")
        if request.curves and not cls.has_curve:
            raise UserError(f"'{cls.name}' has no ROC curve to save: leave out --curves.")

    @abstractmethod
    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """The numbers of one system.

        Args:
            name: of the recognizer; keys begin with it.
            features: (N, D) in the order of the keys; only those of `images` count.
            right: features (N, D) of the second image of each pair where they differ; None: the same.
        """

    @classmethod
    def columns(cls, name: str, compared: Compared) -> list[Column]:
        """The main table's columns for one recognizer, from the record."""
        rates = {key: f'{100 * value:g}' for key, value in compared.settings.items() if key.startswith('far')}
        return [Column(f'{name}/{key}', f'{heading.format(**rates)} ({name})', 2, factor=100,
                       spread=f'{name}/{key}_std' if spread else None) for key, heading, spread in cls.shown]

    @classmethod
    def rates(cls, name: str, rows: Sequence[Row], compared: Compared) -> Table | None:
        """A second table: equal error rate and true accept rates; None where the protocol has no threshold."""
        if 'allowed' not in compared.counts:
            return None
        columns = [Column(f'{name}/eer', 'EER %', 2, best='min', factor=100)]
        columns += [Column(f'{name}/tar@{far:g}', f'TAR % at FAR {100 * far:g} %', 2, factor=100) for far in FARS]
        over = '' if cls.unit == 'folds' else f', means over the {cls.unit}'
        return Table(f'Equal error and true accept rates{over} ({name})', columns, rows,
                     [f'{_describe_counts(compared.counts)} {FEW_PASSING}'])


class ListedProtocol(Protocol):
    """A protocol whose comparisons are official lists; `from_request` makes it of where they are, and of the keys.

    Attributes:
        lists: what --config names.
    """

    lists: ClassVar[str]

    @classmethod
    def from_request(cls, request: Request, keys: Sequence[str], labels: Ints | None) -> 'ListedProtocol':
        """See `Protocol.from_request`; the labels are those of the lists."""
        options = {option: getattr(request, option) for option in cls.takes if option != 'config'}
        return cls(request.config or request.data, keys, **options)

    @classmethod
    def check(cls, request: Request) -> None:
        """See `Protocol.check`."""
        super().check(request)
        if request.config is None and not request.features:
            raise UserError(f'{cls.name} needs --config: {cls.lists}.')


def assumption_of_parts(people: str, same: str) -> str:
    """`Protocol.assumption` where `people` are divided into parts that all search the `same` gallery."""
    return (f'{people} are divided into parts, and A and B are means over the parts. All parts search the same {same}, '
            'so p is somewhat too small.')


def parts_of(people: Ints) -> Ints:
    """The part (P,) of each probe by its person (P,), at most ten, so that systems can be compared part by part."""
    number = np.unique(people, return_inverse=True)[1]
    return number % min(_PARTS, int(number.max(initial=0)) + 1)


def outcome_of_parts(found: Mapping[str, NDArray[np.bool_]], part: Ints) -> Outcome:
    """Shares of probes that were found, of all and in each part.

    Args:
        found: key -> (P,); part: (P,) of each probe, see `parts_of`.
    """
    parts = range(int(part.max()) + 1)
    per_part = {key: [float(np.mean(flags[part == each])) for each in parts] for key, flags in found.items()}
    return Outcome({key: float(np.mean(flags)) for key, flags in found.items()}, per_part if len(parts) > 1 else {})


def _describe_counts(counts: Mapping[str, Any]) -> str:
    """How many pairs and probes the rates are based on; of several trials the smallest and largest numbers."""
    passing = ', '.join(f'{_range(allowed)} at {100 * float(far):g} %' for far, allowed in counts['allowed'].items())
    ranges = {key: _range(values) for key, values in counts.items() if key != 'allowed'}
    where = 'Each trial has' if isinstance(counts['genuine'], list) else 'There are'
    text = (f'{where} {ranges["genuine"]} pairs of one person and {ranges["impostor"]} of different people, of which '
            f'these may pass: {passing}.')
    return text if 'false_alarms' not in counts else (
        f'{text} For DIR there are {ranges["genuine_probes"]} probes of people in the gallery and '
        f'{ranges["impostor_probes"]} of others, of which {ranges["false_alarms"]} may raise a false alarm.')


def _range(numbers: int | Sequence[int]) -> str:
    """'3 to 5', or '4' where all are equal."""
    numbers = [numbers] if isinstance(numbers, int) else numbers
    return f'{min(numbers):,} to {max(numbers):,}' if min(numbers) < max(numbers) else f'{numbers[0]:,}'


# --------------------------------------------------------------------------------------------------------------- pairs

class PairsProtocol(Protocol):
    """Pairs in folds by plain cosine: accuracy at the threshold of the other folds, rates over all pairs."""

    name = 'pairs'
    help = 'pairs drawn from any prepared folder, ten folds without a shared identity'
    gives = 'accuracy, VR, EER, TAR'
    unit = 'folds'
    assumption = ('The folds are taken as independent. Their thresholds come from mostly the same pairs (and a pairs '
                  'file may have a person in two folds), so p is somewhat too small.')
    paired = ('accuracy',)
    shown = (('accuracy', 'accuracy %', True), ('vr', 'VR % at FAR {far} %', False))
    takes = ('folds', 'pairs_per_fold', 'seed', 'far')
    has_sides = True
    has_curve = True

    def __init__(self, folded: FoldedPairs, keys: Sequence[str], source: str, *, far: float | None = None,
                 **settings: Any) -> None:
        """
        Args:
            folded: which rows are compared.
            keys: of the rows.
            source: where the pairs come from, for the note.
            far: false accept rate of the verification rate; None: 0.01.
            settings: more facts, such as the seed.
        """
        self.folded, self.far = folded, 0.01 if far is None else far
        self.images, places = np.unique(folded.pairs, return_inverse=True)
        self._places = folded._replace(pairs=places.reshape(-1, 2))  # the same pairs among those images
        pairs, folds, genuine = len(folded.same), len(np.unique(folded.fold)), int(np.sum(folded.same))
        counts = {'genuine': genuine, 'impostor': pairs - genuine,
                  'allowed': {f'{far:g}': allowed_at_far(far, pairs - genuine) for far in FARS}}
        super().__init__(f'{pairs:,} pairs in {folds} folds, {source}; the threshold of a fold comes from the others, '
                         '± is the standard deviation over the folds.', pairs_sha256(folded, keys),
                         {'pairs': pairs, 'folds': folds, 'far': self.far, 'pairs_from': source} | settings, counts)

    @classmethod
    def from_request(cls, request: Request, keys: Sequence[str], labels: Ints | None) -> 'PairsProtocol':
        """See `Protocol.from_request`: drawn, or from the pairs file that is given as data."""
        if labels is None:
            return cls.of_file(request.data, keys, prepared=False, far=request.far)
        count = request.pairs_per_fold
        if count is None:
            count = max(2, min(PAIRS_PER_FOLD, largest_pairs_per_fold(labels, folds=request.folds, seed=request.seed)))
        return cls.drawn(keys, labels, folds=request.folds, pairs_per_fold=count, seed=request.seed, far=request.far,
                         asked_by=('--pairs-per-fold', '--folds'))

    @classmethod
    def of_file(cls, path: Path, keys: Sequence[str], *, prepared: bool = True, **more: Any) -> 'PairsProtocol':
        """The pairs of a file; see `read_pairs`, and `__init__` for `more`."""
        return cls(read_pairs(path, keys, prepared=prepared), keys, f"from '{path.name}'",
                   pairs_file=file_facts(path), **more)

    @classmethod
    def drawn(cls, keys: Sequence[str], labels: Ints, *, folds: int, pairs_per_fold: int | Literal['most', 'all'],
              seed: int,
              far: float | None, asked_by: tuple[str, str] = ('pairs_per_fold', 'folds')) -> 'PairsProtocol':
        """Pairs of N images with labels (N,); 'most': as many as they allow in folds of one size; 'all': in folds of
        their own sizes, see `asked_pairs`.
        """
        count = max(2, largest_pairs_per_fold(labels, folds=folds, seed=seed)) if pairs_per_fold == 'most' else \
            pairs_per_fold
        pairs = asked_pairs(labels, folds=folds, pairs_per_fold=count, seed=seed, asked_by=asked_by)
        source = f'drawn with seed {seed}; folds share no identity'
        if isinstance(pairs_per_fold, str):
            possible = count_pairs(np.unique(labels, return_counts=True)[1])
            room = {'most': 'all have as many pairs as the smallest one has room for',
                    'all': 'each has as many pairs as it has room for'}[pairs_per_fold]
            source += f', and {room}: {int(pairs.same.sum()):,} of the {possible:,} pairs of one person'
        return cls(pairs, keys, source, far=far, seed=seed)

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/accuracy', 'accuracy_std', 'vr', 'eer', 'tar@<far>'."""
        return self._plain(name, *self._two_sided(features, right))

    def _two_sided(self, left: Features, right: Features | None) -> tuple[Features, FoldedPairs]:
        """Features of the images that are compared, those of the right side below, and the pairs as rows of them."""
        if right is None:
            return left[self.images], self._places
        both = np.concatenate([left[self.images], right[self.images]])
        return both, self._places._replace(pairs=self._places.pairs + np.array([0, len(self.images)]))

    def _plain(self, name: str, features: Features, folded: FoldedPairs) -> Outcome:
        scores = cosine_scores(features, folded.pairs)
        numbers, folds = verification_numbers(name, scores, folded.same, folded.fold, self.far)
        return Outcome(numbers, {f'{name}/accuracy': folds}, scores, folded.same)


class LfwProtocol(PairsProtocol):
    """LFW in SphereFace's official way, and by plain cosine.

    The official way joins the features of the image and of its mirror image and subtracts the mean of the training
    folds. The plain way has the first half of the same features: those of the image itself.
    """

    name = 'lfw'
    help = "the pairs of LFW's `pairs.txt` (or of any pairs file), ten folds"
    gives = "accuracy in SphereFace's official way and by plain cosine, VR, EER, TAR"
    paired = ('official', 'accuracy')
    shown = (('official', 'LFW official %', True), ('accuracy', 'plain cosine %', True),
             ('vr', 'VR % at FAR {far} %', False))
    takes = ('pairs', 'far')
    flip = True
    unit_length = False  # the mean is one of features as the network gives them

    def __init__(self, *args: Any, mirrored: bool = True, **settings: Any) -> None:
        """
        Args:
            args, settings: see `PairsProtocol`.
            mirrored: features are those of the image and of its mirror image; otherwise both ways use them whole.
        """
        super().__init__(*args, **settings)
        self.mirrored = mirrored
        ways = ("joined with the mirror image's", 'of the image only') if mirrored else (
            'as they are', 'of the same features')
        self.compared.note += (f' Official: features {ways[0]}, minus the mean of the other folds; plain: cosine '
                               f'{ways[1]}.')

    @classmethod
    def from_request(cls, request: Request, keys: Sequence[str], labels: Ints | None) -> 'LfwProtocol':
        """See `Protocol.from_request`: from the file that is named, or from the folder's pairs.csv."""
        folder = request.data if request.data.is_dir() else request.data.parent
        path = request.pairs or (request.data if labels is None and request.data.is_file() else folder / 'pairs.csv')
        if not path.is_file():
            raise UserError(f"'{path}' is missing: the folder was prepared without pairs. Give LFW's by --pairs FILE.")
        flips = cls.flip if request.flip is None else request.flip
        return cls.of_file(path, keys, prepared=labels is not None, far=request.far,
                           mirrored=flips and not request.features)

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: as `PairsProtocol` by plain cosine, and '<name>/official', 'official_std'."""
        features, folded = self._two_sided(features, right)
        official = lfw_accuracy(features, folded, subtract_mean=True)
        plain = self._plain(name, features[:, :features.shape[1] // 2] if self.mirrored else features, folded)
        numbers = {f'{name}/official': official.mean, f'{name}/official_std': official.std} | plain.numbers
        return replace(plain, numbers=numbers,
                       per_fold={f'{name}/official': official.per_fold.tolist()} | plain.per_fold)

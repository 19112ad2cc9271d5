"""Evidence: what a recognizer that has led no loss sees in a face before and after, compared with photos of the person.

How much a similarity means is in a table of the network's card (`enhancing.impostors`): how often faces of other people
that the same network made of that number of pixels are as similar.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.evaluation.features import extract_features

AlignedFaces = NDArray[np.uint8]
"""(N, 128, 128, 3) RGB, aligned."""
ImpostorTable = Sequence[tuple[float, int]]
"""(score, count), by descending score: at most `count` impostor pairs have that score or a higher one. The last count
is the number of pairs."""
ImpostorTables = Mapping[int, Mapping[float, ImpostorTable]]
"""Scale of a network -> height of faces in pixels -> table."""
FEWEST = 10
"""Impostor pairs that a rate needs: with P pairs, none below FEWEST / P is told."""
_NEAR = 1.25
"""A table is used for faces that are at most this factor higher or lower."""


@dataclass(frozen=True)
class Evidence:
    """What the judge sees in an enhanced face.

    Attributes:
        change: from the bicubic face to the enhanced one, 1 - cosine: 0 to 2.
        similarity, bicubic: cosines of the enhanced and of the bicubic face to the nearest photo of the person; None
            without such photos.
        far: at most this share of faces of other people is as similar; None if that is not known.
        pairs: of different people from which that is known.
        unknown: why it is not.
    """

    change: float
    similarity: float | None = None
    bicubic: float | None = None
    far: float | None = None
    pairs: int = 0
    unknown: str = ''

    @property
    def bicubic_is_nearer(self) -> bool:
        """Whether the person is more similar to the face before."""
        return self.similarity is not None and self.bicubic > self.similarity

    def as_plain(self) -> dict[str, Any]:
        """For JSON; without photos of the person only the change, which is not a verdict."""
        if self.similarity is None:
            return {'change_from_bicubic': round(self.change, 4), 'words': self.words()}
        return {'similarity': round(self.similarity, 4), 'bicubic_similarity': round(self.bicubic, 4),
                'nearer': 'bicubic' if self.bicubic_is_nearer else 'enhanced', 'far': self.far,
                'impostor_pairs': self.pairs, 'far_unknown': self.unknown, 'words': self.words()}

    def words(self) -> str:
        """One line."""
        if self.similarity is None:
            return f'change from bicubic {self.change:.3f}'
        rate = f'; FAR unknown: {self.unknown}' if self.far is None else (
            f'; FAR at most {percent_above(self.far)}, from {self.pairs:,} pairs of different people')
        if self.bicubic_is_nearer:
            return (f'bicubic is nearer to the reference: similarity {self.bicubic:.3f}, enhanced {self.similarity:.3f}'
                    f'{rate}')
        return f'similarity to the reference {self.similarity:.3f}, bicubic {self.bicubic:.3f}{rate}'


def percent_above(share: float) -> str:
    """An upper bound in words: two digits, rounded up.

    >>> percent_above(0.0312), percent_above(0.07), percent_above(1.0)
    ('3.2 %', '7 %', '100 %')
    """
    return f'{float(Context(2, ROUND_CEILING).multiply(Decimal(repr(share)), Decimal(100))):g} %'


@dataclass(frozen=True)
class Judge:
    """A recognizer that looks at enhanced faces.

    Attributes:
        recognizer: has led no loss of the network.
        reference: photos of the person, aligned; none: faces are only compared with their bicubic ones.
        tables: what similarities mean.
        led: scales of networks of which it has led a loss: their faces are not judged.
        device: where the recognizer runs.
    """

    recognizer: nn.Module
    reference: AlignedFaces = field(default_factory=lambda: np.empty((0, 128, 128, 3), np.uint8))
    tables: ImpostorTables = field(default_factory=dict)
    led: Collection[int] = ()
    device: str | torch.device = 'cpu'

    def __post_init__(self) -> None:
        known = self.features(self.reference) if len(self.reference) else None
        object.__setattr__(self, '_known', known)

    def features(self, faces: AlignedFaces) -> NDArray[np.float32]:
        """(N, D) at unit length."""
        return extract_features(self.recognizer, faces, device=self.device)

    def look(self, sr: AlignedFaces, bicubic: AlignedFaces, scale: int, heights: Sequence[float]
             ) -> Sequence[Evidence | None]:
        """The evidence for each face; None where the judge has led the network.

        Args:
            scale: of the network.
            heights: of the aligned squares in the photograph, in pixels.
        """
        if scale in self.led:
            return [None] * len(sr)
        after, before = self.features(sr), self.features(bicubic)
        changes = 1 - np.einsum('nd,nd->n', after, before)
        if self._known is None:
            return [Evidence(float(change)) for change in changes]
        nearest = [(features @ self._known.T).max(1) for features in (after, before)]
        return [self._verdict(*map(float, each), scale, height)
                for *each, height in zip(changes, *nearest, heights, strict=True)]

    def _verdict(self, change: float, similarity: float, bicubic: float, scale: int, height: float) -> Evidence:
        table = table_for(height, self.tables.get(scale, {}))
        if table is None:
            return Evidence(change, similarity, bicubic, unknown=(
                f"the network's card has no impostor scores for faces of {height:.0f} pixels"))
        far, pairs = false_accept_rate(similarity, table, len(self._known)), table[-1][1]
        few = f'fewer than {FEWEST} of {pairs:,} pairs of different people are as similar'
        return Evidence(change, similarity, bicubic, far, pairs, few if far is None else '')


def load_judge(reference: AlignedFaces | None = None, tables: ImpostorTables | None = None,
               device: str | torch.device = 'cpu') -> Judge:
    """dlib's recognizer, which comes with the package, as the judge."""
    from cface_basicsr.recognizers.load import load_recognizer
    found = {'reference': reference, 'tables': tables}
    return Judge(load_recognizer('dlib'), device=device, **{name: value for name, value in found.items()
                                                            if value is not None})


def table_for(height: float, tables: Mapping[float, ImpostorTable]) -> ImpostorTable | None:
    """The table of the nearest height, by ratio; None if none is near."""
    apart, nearest = min(((abs(math.log(height / float(each))), each) for each in tables), default=(math.inf, 0))
    return tables[nearest] if apart <= math.log(_NEAR) + 1e-9 else None


def false_accept_rate(score: float, table: ImpostorTable, photos: int = 1) -> float | None:
    """The share of faces of other people, at most, that are as similar to one of some photos; None if too few are.

    Args:
        score: the similarity to the nearest photo.
        table: made with one photo.
        photos: of the person. One of them is as similar at most as many times as often as a single one is.

    >>> false_accept_rate(0.7, [(0.8, 10), (0.6, 20), (-1.0, 1000)], photos=2)
    0.04
    >>> false_accept_rate(0.9, [(0.8, 10), (0.6, 20), (-1.0, 1000)])
    """
    if score > table[0][0]:
        return None
    count = next((count for least, count in table if score >= least), table[-1][1])
    return min(1.0, photos * count / table[-1][1])

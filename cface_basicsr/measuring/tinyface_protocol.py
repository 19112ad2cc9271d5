"""TinyFace: faces of about twenty pixels, searched among 157,871 others."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.identification import probe_ranks
from cface_basicsr.evaluation.tinyface import DISTRACTOR, read_search
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.measuring.protocol import Features, Outcome, Protocol
from cface_basicsr.measuring.request import Request

_RANKS = (1, 5, 20)
_PARTS = 10


class TinyFaceProtocol(Protocol):
    """Each probe is searched in the gallery and its distractors: is its person among the nearest 1, 5, 20 images?"""

    name = 'tinyface'
    help = "TinyFace's probes, searched in its gallery and distractors by the official lists"
    gives = 'rank 1, rank 5, rank 20'
    unit = 'parts'
    assumption = ('The people of the probes are divided into parts, and A and B are means over the parts. All parts '
                  'search the same gallery, so p is somewhat too small.')
    paired = tuple(f'rank{rank}' for rank in _RANKS)
    shown = tuple((f'rank{rank}', f'rank {rank} %', False) for rank in _RANKS)
    takes = ('config',)

    def __init__(self, config: Path, keys: Sequence[str]) -> None:
        """
        Args:
            config: the folder of the two official lists.
            keys: of the N rows; what the lists do not name is a distractor.

        Raises:
            UserError: see `read_search`.
        """
        self.search = read_search(config, keys)
        labels, gallery, probe = self.search
        people = np.unique(labels[probe], return_inverse=True)[1]
        self.part = people % min(_PARTS, int(people.max()) + 1)  # (P,)
        distractors = int((labels == DISTRACTOR).sum())
        listed = ''.join(f'{key},{label}\n' for key, label in zip(keys, labels, strict=True))
        super().__init__(
            f'TinyFace: each of {len(probe):,} probes is searched among {len(gallery) - distractors:,} gallery images '
            f'and {distractors:,} distractors (officially 3,728, 4,443 and 153,428). Rank k: one of the k nearest '
            'images shows the person. Published: rank 1 of 76.1 % by ViT-KPRPE with AdaFace, as its authors state.',
            hashlib.sha256(listed.encode() + probe.tobytes()).hexdigest(),
            {'probes': len(probe), 'gallery': len(gallery) - distractors, 'distractors': distractors,
             'parts': int(self.part.max()) + 1})

    @classmethod
    def from_request(cls, request: Request, keys: Sequence[str], labels: Ints | None) -> 'TinyFaceProtocol':
        """See `Protocol.from_request`; the labels are those of the lists."""
        return cls(request.config or request.data, keys)

    @classmethod
    def check(cls, request: Request) -> None:
        """See `Protocol.check`."""
        super().check(request)
        if request.config is None and not request.features:
            raise UserError("tinyface needs --config: the folder of TinyFace's two lists (Testing_Set).")

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/rank1', 'rank5', 'rank20'; `right` is not used by this protocol."""
        ranks = probe_ranks(features, *self.search)
        numbers, per_part = {}, {}
        for rank in _RANKS:
            found = ranks <= rank
            numbers[f'{name}/rank{rank}'] = float(np.mean(found))
            per_part[f'{name}/rank{rank}'] = [float(np.mean(found[self.part == part]))
                                              for part in range(int(self.part.max()) + 1)]
        return Outcome(numbers, per_part if len(np.unique(self.part)) > 1 else {})

"""TinyFace: faces of about twenty pixels, searched among 157,871 others."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cface_basicsr.evaluation.identification import probe_ranks
from cface_basicsr.evaluation.listed_search import TINYFACE, read_search
from cface_basicsr.measuring.protocol import Features, ListedProtocol, Outcome, outcome_of_parts, parts_of

_RANKS = (1, 5, 20)


class TinyFaceProtocol(ListedProtocol):
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
    small = True
    lists = "the folder of TinyFace's two lists (Testing_Set)"

    def __init__(self, config: Path, keys: Sequence[str]) -> None:
        """
        Args:
            config: the folder of the two official lists.
            keys: of the N rows; what the lists do not name is a distractor.

        Raises:
            UserError: see `read_search`.
        """
        search = read_search(config, keys, TINYFACE)
        self.labels, self.probe = search.labels, search.probe
        self.gallery = np.concatenate([search.gallery, search.others])
        self.part = parts_of(search.labels[search.probe])  # (P,)
        super().__init__(
            f'TinyFace: each of {len(search.probe):,} probes is searched among {len(search.gallery):,} gallery images '
            f'and {len(search.others):,} distractors (officially 3,728, 4,443 and 153,428). Rank k: one of the k '
            'nearest images shows the person. Published, not measured here: rank 1 of 76.1 % by ViT-KPRPE with '
            'AdaFace, as its authors state.',
            search.sha256(keys),
            {'probes': len(search.probe), 'gallery': len(search.gallery), 'distractors': len(search.others),
             'parts': int(self.part.max()) + 1})

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/rank1', 'rank5', 'rank20'; `right` is not used by this protocol."""
        ranks = probe_ranks(features, self.labels, self.gallery, self.probe)
        return outcome_of_parts({f'{name}/rank{rank}': ranks <= rank for rank in _RANKS}, self.part)

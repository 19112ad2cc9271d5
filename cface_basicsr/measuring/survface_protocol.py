"""QMUL-SurvFace: faces of surveillance cameras, searched in a watch list by the official lists."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.identification import open_set_search
from cface_basicsr.evaluation.listed_search import SURVFACE, read_search
from cface_basicsr.measuring.protocol import Features, ListedProtocol, Outcome, outcome_of_parts, parts_of

_FPIRS = (0.3, 0.2, 0.1, 0.01)
_RANK = 20


class SurvFaceProtocol(ListedProtocol):
    """Probes are searched among enrolled people: those who are enrolled should be found, and others raise no alarm."""

    name = 'survface'
    help = "QMUL-SurvFace's probes, searched among its enrolled people by the official lists"
    gives = f'TPIR at rank {_RANK} and FPIR 30, 20, 10, 1 %'
    unit = 'parts'
    assumption = ('The people of the mated probes are divided into parts, and A and B are means over the parts. All '
                  'parts search the same gallery at the same threshold, so p is somewhat too small.')
    paired = tuple(f'tpir@{fpir:g}' for fpir in _FPIRS)
    shown = tuple((f'tpir@{fpir:g}', f'TPIR{_RANK} % at FPIR {100 * fpir:g} %', False) for fpir in _FPIRS)
    takes = ('config',)
    small = True
    lists = "the folder of QMUL-SurvFace's lists (Face_Identification_Test_Set)"

    def __init__(self, config: Path, keys: Sequence[str]) -> None:
        """
        Args:
            config: the folder of the official lists.
            keys: of the N rows; what the lists do not name is an unmated probe.

        Raises:
            UserError: see `read_search`.
        """
        self.search = search = read_search(config, keys, SURVFACE)
        self.images = np.sort(np.concatenate([search.gallery, search.probe, search.others]))
        self.part = parts_of(search.labels[search.probe])  # (P,)
        people = len(np.unique(search.labels[search.gallery]))
        super().__init__(
            f'QMUL-SurvFace: {len(search.probe):,} probes of {people:,} enrolled people ({len(search.gallery):,} '
            f'images) and {len(search.others):,} of others (in its first release 60,423, 60,294 and 121,736). FPIR: '
            'share of the others whose highest score reaches the threshold; TPIR: share of the former whose person '
            f'does, at rank {_RANK} or better. A person is the mean of his or her unit features. Published, not '
            'measured here: 13.2 % at FPIR 10 % by CentreFace, as the authors of the set state.',
            search.sha256(keys),
            {'probes': len(search.probe), 'people': people, 'gallery': len(search.gallery),
             'unmated': len(search.others), 'rank': _RANK, 'parts': int(self.part.max()) + 1})

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/tpir@<fpir>'; `right` is not used by this protocol."""
        labels, gallery, probe, others = self.search
        people, place = np.unique(labels[gallery], return_inverse=True)
        faces = unit_features(np.asarray(features)[np.concatenate([gallery, probe, others])])
        enrolled = torch.zeros(len(people), faces.shape[1], dtype=faces.dtype)
        enrolled.index_add_(0, torch.from_numpy(place), faces[:len(gallery)])
        units = torch.cat([unit_features(enrolled), faces[len(gallery):]])
        search = open_set_search(units, np.concatenate([people, labels[probe], labels[others]]),
                                 np.arange(len(people)), np.arange(len(people), len(units)))
        return outcome_of_parts({f'{name}/tpir@{fpir:g}': search.found(search.threshold(fpir)[0], _RANK)
                                 for fpir in _FPIRS}, self.part)

"""Searches by official lists, in sets of natively low-resolution faces: TinyFace and QMUL-SurvFace."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.identification import open_set_search, probe_ranks
from cface_basicsr.evaluation.listed_search import SURVFACE, TINYFACE, Lists, Search, check_people, read_search
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.measuring.protocol import (
    Features,
    ListedProtocol,
    Outcome,
    assumption_of_parts,
    outcome_of_parts,
    parts_of,
)
from cface_basicsr.measuring.request import Request


class SearchProtocol(ListedProtocol):
    """Probes are searched in a gallery; the lists say who is on the images of both.

    Attributes:
        official: what its lists are called.
        search: who is searched for among whom.
        part: (P,) of each probe, so that two systems can be compared part by part.
    """

    unit = 'parts'
    takes = ('config',)
    small = True
    official: ClassVar[Lists]

    def __init__(self, config: Path, keys: Sequence[str]) -> None:
        """
        Args:
            config: the folder of the two official lists.
            keys: of the N rows; what no list names is one of the others.

        Raises:
            UserError: see `read_search`.
        """
        self.search = read_search(config, keys, self.official)
        self.part = parts_of(self.search.labels[self.search.probe])
        note, settings = self.describe(self.search)
        super().__init__(f'{self.official.name}: {note}', self.search.sha256(keys),
                         settings | {'gallery': len(self.search.gallery), 'parts': int(self.part.max()) + 1})

    @classmethod
    def from_request(cls, request: Request, keys: Sequence[str], labels: Ints | None) -> 'SearchProtocol':
        """See `Protocol.from_request`; the lists must tell the same people apart as the labels."""
        protocol = super().from_request(request, keys, labels)
        if labels is not None:
            check_people(request.config or request.data, protocol.search, keys, labels)
        return protocol

    @classmethod
    @abstractmethod
    def describe(cls, search: Search) -> tuple[str, dict[str, Any]]:
        """What is compared, for a reader, and the counts for the record, but for those of gallery and parts."""


class TinyFaceProtocol(SearchProtocol):
    """Each probe is searched in the gallery and its distractors: is its person among the nearest 1, 5, 20 images?"""

    name = 'tinyface'
    help = "TinyFace's probes, searched in its gallery and distractors by the official lists"
    gives = 'rank 1, rank 5, rank 20'
    official, lists = TINYFACE, TINYFACE.where
    assumption = assumption_of_parts('The people of the probes', 'gallery')
    ranks = (1, 5, 20)
    paired = tuple(f'rank{rank}' for rank in ranks)
    shown = tuple((f'rank{rank}', f'rank {rank} %', False) for rank in ranks)

    @classmethod
    def describe(cls, search: Search) -> tuple[str, dict[str, Any]]:
        """See `SearchProtocol.describe`."""
        note = (f'each of {len(search.probe):,} probes is searched among {len(search.gallery):,} gallery images and '
                f'{len(search.others):,} distractors (officially 3,728, 4,443 and 153,428). Rank k: one of the k '
                'nearest images shows the person. Published, not measured here: rank 1 of 76.1 % by ViT-KPRPE with '
                'AdaFace, as its authors state.')
        return note, {'probes': len(search.probe), 'distractors': len(search.others)}

    def measure(self, name: str, features: Features, right: Features | None = None) -> Outcome:
        """See `Protocol.measure`: '<name>/rank1', 'rank5', 'rank20'; `right` is not used by this protocol."""
        labels, gallery, probe, others = self.search
        ranks = probe_ranks(features, labels, np.concatenate([gallery, others]), probe)
        return outcome_of_parts({f'{name}/rank{rank}': ranks <= rank for rank in self.ranks}, self.part)


_RANK = 20


class SurvFaceProtocol(SearchProtocol):
    """Probes are searched among enrolled people: those who are enrolled should be found, and others raise no alarm."""

    name = 'survface'
    help = "QMUL-SurvFace's probes, searched among its enrolled people by the official lists"
    gives = f'TPIR at rank {_RANK} and FPIR 30, 20, 10, 1 %'
    official, lists = SURVFACE, SURVFACE.where
    assumption = assumption_of_parts('The people of the mated probes', 'gallery at the same threshold')
    fpirs = (0.3, 0.2, 0.1, 0.01)
    paired = tuple(f'tpir@{fpir:g}' for fpir in fpirs)
    shown = tuple((f'tpir@{fpir:g}', f'TPIR{_RANK} % at FPIR {100 * fpir:g} %', False) for fpir in fpirs)

    @classmethod
    def describe(cls, search: Search) -> tuple[str, dict[str, Any]]:
        """See `SearchProtocol.describe`."""
        people = len(np.unique(search.labels[search.gallery]))
        note = (f'{len(search.probe):,} probes of {people:,} enrolled people ({len(search.gallery):,} images) and '
                f'{len(search.others):,} of others (in its first release 60,423, 60,294 and 121,736). FPIR: share of '
                'the others whose highest score reaches the threshold; TPIR: share of the former whose person does, '
                f'at rank {_RANK} or better. A person is the mean of his or her unit features. Published, not measured '
                'here: 13.2 % at FPIR 10 % by CentreFace, as the authors of the set state.')
        return note, {'probes': len(search.probe), 'people': people, 'unmated': len(search.others), 'rank': _RANK}

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
                                 for fpir in self.fpirs}, self.part)

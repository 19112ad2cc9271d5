"""A protocol of `cface evaluate` for the images at hand: its pairs read or drawn, its lists read and joined."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.pairs_file import read_pairs
from cface_basicsr.evaluation.verification import FoldedPairs, Ints, largest_pairs_per_fold, make_pairs
from cface_basicsr.files.network_file import file_hash
from cface_basicsr.measuring.protocol import LfwProtocol, PairsProtocol, Protocol
from cface_basicsr.measuring.request import Request
from cface_basicsr.measuring.set_protocols import BlufrProtocol, IdentificationProtocol

PAIRS_PER_FOLD = 600
"""300 of one person and 300 of different people: with ten folds the paper's 3,000 + 3,000."""


def make_protocol(request: Request, keys: Sequence[str], labels: Ints | None) -> Protocol:
    """The protocol for a set of images.

    Args:
        keys: of the images; labels: (N,) their people, None where nobody knows.
    """
    if request.protocol == 'blufr':
        return BlufrProtocol(request.config or request.data, keys, far=0.001 if request.far is None else request.far,
                             far_identification=_or(request.far_identification, 0.01))
    if request.protocol == 'identification':
        return IdentificationProtocol(keys, _labels(request, labels))
    far = _or(request.far, 0.01)
    if request.protocol == 'lfw':
        path = request.pairs or (request.data / 'pairs.csv' if request.data.is_dir() else request.data)
        if not path.is_file():
            raise UserError(f"'{path}' is missing: the folder was prepared without pairs. Give LFW's pairs.txt: "
                            '--pairs pairs.txt')
        return LfwProtocol(read_pairs(path, keys), keys, far, f"from '{path.name}'", flip=request.flips,
                           joined=not request.features, pairs_file=file_facts(path))
    if labels is None:
        return PairsProtocol(read_pairs(request.data, keys), keys, far, f"from '{request.data.name}'",
                             pairs_file=file_facts(request.data))
    return PairsProtocol(_drawn(request, labels), keys, far, f'drawn with seed {request.seed}; folds share no identity',
                         seed=request.seed)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _labels(request: Request, labels: Ints | None) -> Ints:
    if labels is None:
        raise UserError(f"{request.protocol} needs to know who is who: give a prepared folder or its identities.csv, "
                        f"not '{request.data}'.")
    return labels


def _drawn(request: Request, labels: Ints) -> FoldedPairs:
    count = request.pairs_per_fold
    if count is None:
        count = max(2, min(PAIRS_PER_FOLD, largest_pairs_per_fold(labels, folds=request.folds, seed=request.seed)))
    return make_pairs(labels, folds=request.folds, pairs_per_fold=count, seed=request.seed)


def file_facts(path: Path) -> dict[str, Any]:
    """A file and its hash."""
    return {'file': str(path), 'sha256': file_hash(path, 64) if path.is_file() else None}

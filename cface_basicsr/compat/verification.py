"""Verification at each validation: what a judge says of pairs of the faces that a generator has made."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.data.face_pair_dataset import FacePairDataset
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.verification import kfold_accuracy, largest_pairs_per_fold, make_pairs
from cface_basicsr.files.recognizer_file import named_recognizer, recognizer_hash
from cface_basicsr.options import open_section
from cface_basicsr.options.option_file import Verification
from cface_basicsr.recognizers.load import crop_note, load_recognizer

VERIFICATION = 'verification'
"""What the log and TensorBoard call the accuracy."""
_DLIB = 'dlib'


class VerifiedFaces:
    """The pairs of a validation set, and the judge.

    Attributes:
        rows: items of the data set that are in a pair.
    """

    def __init__(self, asked: Verification, faces: FacePairDataset) -> None:
        """
        Raises:
            UserError: the set is too small for pairs, or its faces are not what the judge takes.
        """
        people = [faces.keys[row].split('/')[0] for row in faces.rows]
        labels = np.unique(people, return_inverse=True)[1]
        try:
            count = asked.pairs_per_fold
            if count == 'most':
                count = max(2, largest_pairs_per_fold(labels, folds=asked.folds))
            self.pairs = make_pairs(labels, folds=asked.folds, pairs_per_fold=count)
            path = named_recognizer(asked.recognizer)
            self.judge = _load(path, path.stat().st_mtime_ns if path.is_file() else 0)
        except UserError as error:
            raise UserError(f"option 'val.{VERIFICATION}': {error}") from error
        self.rows = frozenset(np.unique(self.pairs.pairs).tolist())
        self.note = crop_note(Path(faces.hr.path).parent, asked.recognizer, self.judge)
        """What a reader must know of the judge; None where there is nothing."""
        if self.note and path.is_file() and recognizer_hash(path) == recognizer_hash(_DLIB):
            raise UserError(f"option 'val.{VERIFICATION}': {self.note}\nPrepare faces with --crop align, or name "
                            "another 'recognizer'.")

    def features(self, pictures: Mapping[int, NDArray[np.uint8]], device: Any) -> dict[int, NDArray[np.float32]]:
        """What the judge sees in pictures (H, W, 3) BGR: row -> (D,); those of one size go through it together."""
        found: dict[int, NDArray[np.float32]] = {}
        for shape in {picture.shape for picture in pictures.values()}:
            alike = {row: picture[..., ::-1] for row, picture in pictures.items() if picture.shape == shape}
            found |= zip(alike, extract_features(self.judge, alike.values(), device=device), strict=True)
        return found

    def accuracy(self, features: Mapping[int, NDArray[np.float32]]) -> float:
        """The mean accuracy over the folds, in [0, 1], of features (D,) of all `rows`."""
        rows = sorted(self.rows)
        places = np.searchsorted(rows, self.pairs.pairs)
        scores = cosine_scores(np.stack([features[row] for row in rows]), places)
        return float(kfold_accuracy(scores, self.pairs.same, self.pairs.fold).mean)


@functools.lru_cache(maxsize=1)
def _load(path: Path, version: int) -> nn.Module:
    """A judge, once for the check before a training and all of its validation sets; `version`: of its file."""
    with torch.random.fork_rng(devices=()):  # a network is built with random weights before it is filled
        return load_recognizer(path)


def check_verification(opt: Mapping[str, Any]) -> None:
    """Check before a training that each of its validation sets can be verified, where that is asked for.

    Raises:
        UserError: see `VerifiedFaces`; or a set's keys do not say who is shown.
    """
    if not (opt.get('val') or {}).get(VERIFICATION):
        return
    for phase, section in opt['datasets'].items():
        if phase.startswith('val'):
            if section.get('type') != FacePairDataset.__name__:
                raise UserError(f"option 'val.{VERIFICATION}': expected 'datasets.{phase}.type' to be "
                                f"{FacePairDataset.__name__}, whose keys say who is shown, got {section.get('type')}.")
            VerifiedFaces(open_section(Verification, opt['val'][VERIFICATION]), FacePairDataset(section))


def verified_faces(model: Any, faces: Any) -> VerifiedFaces | None:
    """The pairs of a model's validation set, made at the first call; None where no verification is asked for."""
    asked = model.opt['val'].get(VERIFICATION)
    if not asked:
        return None
    known = vars(model).setdefault('verified_faces', {})
    if faces.opt['name'] not in known:
        from basicsr.utils import get_root_logger
        found = known[faces.opt['name']] = VerifiedFaces(open_section(Verification, asked), faces)
        if found.note:
            get_root_logger().warning(f'val.{VERIFICATION}: {found.note}')
    return known[faces.opt['name']]

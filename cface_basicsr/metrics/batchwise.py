"""Metrics that see one batch after another: `update`, then `compute`; `reset` begins again.

Where torchmetrics is installed they are its `Metric`s, with its forward, its devices and its sums over ranks. Without
it they have the three methods only.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.roc import tar_at_far
from cface_basicsr.evaluation.verification import kfold_accuracy
from cface_basicsr.ops.recognizer_input import recognizer_features, unit
from cface_basicsr.recognizers.load import load_recognizer
from cface_basicsr.runtime import eval_mode

try:
    from torchmetrics import Metric
except ImportError:
    class Metric(nn.Module):
        """The part of torchmetrics' `Metric` that is needed here."""

        def __init__(self) -> None:
            super().__init__()
            self.started: dict[str, Any] = {}

        def add_state(self, name: str, default: Any, dist_reduce_fx: str | None = None) -> None:
            """A sum or a list that `update` changes and `reset` sets back to `default`."""
            self.started[name] = default
            setattr(self, name, copy.deepcopy(default))

        def reset(self) -> None:
            """Forget all batches."""
            for name, default in self.started.items():
                setattr(self, name, copy.deepcopy(default))


class IdentitySimilarity(Metric):
    """The mean cosine between the identity features of restored faces and of their originals; from -1 to 1.

    Args:
        recognizer: a name or file that `cface_basicsr.recognizer` takes, or such a network. dlib's, 'dlib', takes faces
            that are aligned to ArcFace's template.

    Shape: `update` takes two (B, 3, H, W) RGB in [0, 1]; `compute` gives a scalar.

    >>> similarity = IdentitySimilarity('dlib')
    >>> faces = torch.rand(2, 3, 128, 128)
    >>> similarity.update(faces, faces)
    >>> similarity.compute()
    tensor(1.)
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False

    def __init__(self, recognizer: str | Path | nn.Module) -> None:
        super().__init__()
        self.recognizer = recognizer if isinstance(recognizer, nn.Module) else load_recognizer(recognizer)
        if not hasattr(self.recognizer, 'input_spec'):
            raise UserError(f'{type(self.recognizer).__name__} is not a recognizer: it has no record `input_spec` of '
                            'its input.')
        self.add_state('total', torch.zeros((), dtype=torch.float64), 'sum')
        self.add_state('count', torch.zeros((), dtype=torch.int64), 'sum')

    @torch.no_grad()
    def update(self, restored: Tensor, originals: Tensor) -> None:
        """Add a batch.

        Raises:
            UserError: another shape or type, or values outside [0, 1].
        """
        _check_faces(restored, originals)
        with eval_mode(self.recognizer):
            first, second = (unit(recognizer_features(self.recognizer, faces.float())) for faces in
                             (restored, originals))
        self.total = self.total + (first * second).sum().double().to(self.total.device)
        self.count = self.count + len(restored)

    def compute(self) -> Tensor:
        """The mean over all faces so far, a scalar."""
        if not self.count:
            raise UserError('no face yet: call update first.')
        return (self.total / self.count).float()


class _OfPairs(Metric):
    """Scores of pairs and whether each shows one person; both are kept until `compute`."""

    is_differentiable, higher_is_better, full_state_update = False, True, False

    def __init__(self) -> None:
        super().__init__()
        self.add_state('scores', [], 'cat')
        self.add_state('same', [], 'cat')

    def update(self, scores: Tensor, same: Tensor) -> None:
        """Add pairs.

        Args:
            scores: (P,) similarities, larger = more alike.
            same: (P,) true or 1 where both images show one person.

        Raises:
            UserError: another shape, a score that is NaN or infinite, or a `same` that is neither true nor false.
        """
        if scores.ndim != 1 or scores.shape != same.shape:
            raise UserError(f'scores and same: expected two (P,), got {tuple(scores.shape)} and {tuple(same.shape)}.')
        if not torch.isfinite(scores).all():
            raise UserError('scores: expected finite numbers, got NaN or infinity.')
        if not ((same == 0) | (same == 1)).all():
            raise UserError('same: expected true or false for each pair.')
        self.scores.append(scores.detach().double())
        self.same.append(same.detach().bool())

    def _pairs(self) -> tuple[Any, Any]:
        """Scores and same, (P,) arrays; after a sum over ranks torchmetrics has joined them."""
        joined = (torch.cat(state) if isinstance(state, list) and state else state for state in
                  (self.scores, self.same))
        scores, same = joined
        if not isinstance(scores, Tensor):
            raise UserError('no pair yet: call update first.')
        return scores.cpu().numpy(), same.cpu().numpy()


class VerificationAccuracy(_OfPairs):
    """The share of pairs that are told apart rightly, the threshold of each fold from the others; in [0, 1].

    Args:
        folds: blocks of neighbouring pairs, in the order in which they came.

    Shape: `update` takes (P,) scores and (P,) same; `compute` gives a scalar.

    >>> accuracy = VerificationAccuracy(folds=2)
    >>> accuracy.update(torch.tensor([.9, .1, .8, .3]), torch.tensor([1, 0, 1, 0]))
    >>> accuracy.compute()
    tensor(1.)
    """

    def __init__(self, folds: int = 10) -> None:
        super().__init__()
        if type(folds) is not int or folds < 2:
            raise UserError(f'folds: expected a whole number from 2 up, got {folds!r}.')
        self.folds = folds

    def compute(self) -> Tensor:
        """The mean over the folds, a scalar; see `evaluation.verification.kfold_accuracy`."""
        return torch.tensor(kfold_accuracy(*self._pairs(), self.folds).mean)


class TarAtFar(_OfPairs):
    """The share of pairs of one person that are accepted at a false accept rate; in [0, 1].

    Args:
        far: the share of pairs of different people that may be accepted; 0.01 is 1 %.

    Shape: `update` takes (P,) scores and (P,) same; `compute` gives a scalar.

    >>> rate = TarAtFar(far=0.5)
    >>> rate.update(torch.tensor([.9, .4, .6, .1]), torch.tensor([True, True, False, False]))
    >>> rate.compute()
    tensor(0.5000)
    """

    def __init__(self, far: float = 0.01) -> None:
        super().__init__()
        if not isinstance(far, (int, float)) or not 0 <= far <= 1:
            raise UserError(f'far: expected a share from 0 to 1 (0.01 is 1 %), got {far!r}.')
        self.far = float(far)

    def compute(self) -> Tensor:
        """The rate, a scalar; see `evaluation.roc.tar_at_far`."""
        return torch.tensor(tar_at_far(*self._pairs(), [self.far])[self.far].rate)


class LandmarkDistance(Metric):
    """The mean distance of landmarks from their true places, as a share of the distance between the eyes; from 0 up.

    Shape: `update` takes two (B, N, 2) in pixels, found and true, the two eyes first; `compute` gives a scalar.

    >>> distance = LandmarkDistance()
    >>> true = torch.tensor([[[40., 50.], [80., 50.], [60., 70.]]])
    >>> distance.update(true + torch.tensor([0., 4.]), true)
    >>> distance.compute()
    tensor(0.1000)
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False

    def __init__(self) -> None:
        super().__init__()
        self.add_state('total', torch.zeros((), dtype=torch.float64), 'sum')
        self.add_state('count', torch.zeros((), dtype=torch.int64), 'sum')

    @torch.no_grad()
    def update(self, found: Tensor, true: Tensor) -> None:
        """Add the landmarks of a batch.

        Raises:
            UserError: another shape, NaN, or two eyes at one place.
        """
        if found.ndim != 3 or found.shape != true.shape or found.shape[1] < 2 or found.shape[2] != 2:
            raise UserError(f'landmarks: expected two (B, N, 2), the eyes first, got {tuple(found.shape)} and '
                            f'{tuple(true.shape)}.')
        if not torch.isfinite(found).all() or not torch.isfinite(true).all():
            raise UserError('landmarks: expected finite numbers, got NaN or infinity. Leave out faces without them.')
        found, true = found.double(), true.double()
        eyes = (true[:, 0] - true[:, 1]).norm(dim=1)  # (B,)
        if not (eyes > 0).all():
            raise UserError('landmarks: the first two are the eyes, and in one face they are at the same place.')
        distances = (found - true).norm(dim=2).mean(1) / eyes
        self.total = self.total + distances.sum().to(self.total.device)
        self.count = self.count + len(found)

    def compute(self) -> Tensor:
        """The mean over all faces so far, a scalar."""
        if not self.count:
            raise UserError('no face yet: call update first.')
        return (self.total / self.count).float()


def _check_faces(*batches: Tensor) -> None:
    shapes = ' and '.join(str(tuple(faces.shape)) for faces in batches)
    if len({faces.shape for faces in batches}) > 1 or batches[0].ndim != 4 or batches[0].shape[1] != 3:
        raise UserError(f'faces: expected two (B, 3, H, W) of one shape, got {shapes}.')
    for faces in batches:
        if not faces.is_floating_point():
            raise UserError(f'faces: expected floating point in [0, 1], got {faces.dtype}. Divide 8-bit values by 255.')
        if faces.numel() and not 0 <= float(faces.min()) <= float(faces.max()) <= 1:
            raise UserError(f'faces: expected values in [0, 1], got {float(faces.min()):g} to {float(faces.max()):g}. '
                            'Clamp what a network gives; divide 8-bit values by 255.')

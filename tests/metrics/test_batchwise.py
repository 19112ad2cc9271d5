"""Metrics batch after batch: the same number as all at once by hand, and one sentence about bad input."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cface_basicsr as cface
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import kfold_accuracy, verification_rate_at_far
from cface_basicsr.metrics.batchwise import IdentitySimilarity, LandmarkDistance, TarAtFar, VerificationAccuracy
from cface_basicsr.ops.recognizer_input import RecognizerInput


class MeanColour(nn.Module):
    """A recognizer whose features are the mean red, green and blue."""

    input_spec = RecognizerInput(4, 4, mean=0.0, std=255.0)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def coloured(*colours: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colours).float()[:, :, None, None].expand(-1, 3, 4, 4)


def test_identity_similarity_is_the_mean_cosine_over_all_batches() -> None:
    metric = IdentitySimilarity(MeanColour())
    metric.update(coloured((1, 0, 0), (1, 0, 0)), coloured((1, 0, 0), (0, 1, 0)))  # cosines 1, 0
    metric.update(coloured((1, 0, 0)), coloured((.6, .8, 0)))  # 0.6
    assert metric.compute().item() == pytest.approx(1.6 / 3)
    metric.reset()
    metric.update(coloured((1, 0, 0)), coloured((.6, .8, 0)))
    assert metric.compute().item() == pytest.approx(0.6)


def test_a_recognizer_that_learns_goes_on_learning() -> None:
    network = nn.Sequential(MeanColour(), nn.Dropout(0.5))
    network.input_spec = MeanColour.input_spec
    metric = IdentitySimilarity(network.train())
    metric.update(coloured((1, 1, 1)), coloured((1, 1, 1)))
    assert metric.compute().item() == pytest.approx(1) and network.training


def test_rates_of_pairs_are_those_of_all_pairs_at_once() -> None:
    rng = np.random.default_rng(0)
    same = rng.integers(0, 2, 60).astype(bool)
    scores = rng.normal(size=60) + same
    accuracy, rate = VerificationAccuracy(folds=5), TarAtFar(far=0.1)
    for metric in (accuracy, rate):
        for part in np.array_split(np.arange(60), 4):
            metric.update(torch.from_numpy(scores[part]), torch.from_numpy(same[part]))
    assert accuracy.compute().item() == pytest.approx(kfold_accuracy(scores, same, 5).mean)
    assert rate.compute().item() == pytest.approx(verification_rate_at_far(scores, same, 0.1))
    rate.reset()
    rate.update(torch.tensor([.9, .1]), torch.tensor([1, 0]))
    assert rate.compute().item() == 1


def test_landmark_distance_is_a_share_of_the_eye_distance() -> None:
    true = torch.tensor([[[0., 0.], [10., 0.]], [[0., 0.], [0., 20.]]])
    found = true + torch.tensor([[[3., 4.], [0., 0.]], [[0., 0.], [0., -2.]]])
    metric = LandmarkDistance()
    metric.update(found[:1], true[:1])  # (5 + 0) / 2 / 10
    metric.update(found[1:], true[1:])  # (0 + 2) / 2 / 20
    assert metric.compute().item() == pytest.approx((0.25 + 0.05) / 2)


FACES, POINTS = torch.zeros(2, 3, 4, 4), torch.rand(2, 5, 2)


@pytest.mark.parametrize(('make', 'given', 'message'), [
    (lambda: IdentitySimilarity(MeanColour()), (FACES, FACES[:1]), r'one shape, got \(2, 3, 4, 4\) and \(1, 3, 4, 4\)'),
    (lambda: IdentitySimilarity(MeanColour()), (FACES[0], FACES[0]), r'expected two \(B, 3, H, W\)'),
    (lambda: IdentitySimilarity(MeanColour()), (FACES.byte(), FACES), 'got torch.uint8. Divide 8-bit values by 255'),
    (lambda: IdentitySimilarity(MeanColour()), (FACES + 255, FACES), r'expected values in \[0, 1\], got 255 to 255'),
    (lambda: IdentitySimilarity(MeanColour()), (FACES * torch.nan, FACES), r'expected values in \[0, 1\], got nan'),
    (TarAtFar, (torch.zeros(2), torch.zeros(3)), r'expected two \(P,\), got \(2,\) and \(3,\)'),
    (TarAtFar, (torch.tensor([torch.nan]), torch.tensor([1])), 'expected finite numbers'),
    (TarAtFar, (torch.zeros(1), torch.tensor([2])), 'expected true or false for each pair'),
    (LandmarkDistance, (POINTS, POINTS[:, :1]), r'expected two \(B, N, 2\), the eyes first'),
    (LandmarkDistance, (POINTS * torch.inf, POINTS), 'expected finite numbers'),
    (LandmarkDistance, (POINTS, POINTS * 0), 'the first two are the eyes'),
])
def test_other_shapes_and_ranges_get_a_sentence(make, given: tuple[Tensor, Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make().update(*given)


@pytest.mark.parametrize(('make', 'message'), [
    (lambda: IdentitySimilarity('dlibb'), "recognizer 'dlibb' is missing"),
    (lambda: IdentitySimilarity(nn.Identity()), 'Identity is not a recognizer'),
    (lambda: TarAtFar(far=2), 'far: expected a share'), (lambda: VerificationAccuracy(folds=1), 'folds: expected a'),
    (lambda: IdentitySimilarity(MeanColour()).compute(), 'no face yet'), (lambda: TarAtFar().compute(), 'no pair yet'),
    (lambda: LandmarkDistance().compute(), 'no face yet')])
def test_what_cannot_be_made_or_computed_is_said(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_they_are_torchmetrics_own_where_that_is_installed() -> None:
    torchmetrics = pytest.importorskip('torchmetrics')
    metric = cface.metrics.LandmarkDistance()
    assert isinstance(metric, torchmetrics.Metric)
    true = torch.tensor([[[0., 0.], [10., 0.]]])
    assert metric(true + 1, true).item() == pytest.approx(2 ** 0.5 / 10)
    collected = torchmetrics.MetricCollection([TarAtFar(0.5), VerificationAccuracy(2)])
    collected.update(torch.tensor([.9, .1, .8, .3]), torch.tensor([1, 0, 1, 0]))
    assert {name: value.item() for name, value in collected.compute().items()} == {
        'TarAtFar': 1, 'VerificationAccuracy': 1}

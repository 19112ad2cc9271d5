import numpy as np
import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import (
    compute_quantities,
    embedded_of,
    identity_distances,
    quantities_of,
    verification_numbers,
)
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.roc import equal_error_rate, roc_curve, tar_at_far
from cface_basicsr.evaluation.verification import kfold_accuracy, make_pairs, verification_rate_at_far
from cface_basicsr.ops.recognizer_input import RecognizerInput


class Colours(nn.Module):
    input_spec = RecognizerInput(16, 16)
    feature_length = 12

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


def embed(chunks, recognizers, keep=(), unit_length=True, **how):
    """All of all images."""
    count = sum(len(given) for given, _ in chunks)
    quantities = quantities_of(recognizers, count, originals=chunks[0][1] is not None, **how)
    kept = compute_quantities(chunks, quantities, np.arange(count), keep)
    assert not any(quantity.todo.any() for quantity in quantities.values())
    return embedded_of(quantities, kept, unit_length=unit_length)


@pytest.fixture(scope='module')
def faces():
    """Twelve 'people' of six noisy images each."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 6)
    people = np.kron(random.integers(40, 210, (12, 2, 2, 3)), np.ones((1, 8, 8, 1)))
    return (people[labels] + random.normal(0, 30, (72, 16, 16, 3))).clip(0, 255).astype(np.uint8), labels


def test_numbers_are_those_of_the_parts_whatever_the_chunks(faces):
    hr, labels = faces
    sr = (hr // 32 * 32).astype(np.uint8)
    folded = make_pairs(labels, folds=3, pairs_per_fold=40, seed=0)
    chunks = [(sr[start:start + 7], hr[start:start + 7]) for start in range(0, len(sr), 7)]
    seen = embed(chunks, {'a': Colours()}, keep=[0, 8, 71])
    psnr, ssim = psnr_ssim(sr.transpose(0, 3, 1, 2), hr.transpose(0, 3, 1, 2))
    assert seen.restoration() == pytest.approx({'psnr': psnr.mean().item(), 'ssim': ssim.mean().item()})
    np.testing.assert_allclose(seen.features['a'], extract_features(Colours(), sr), rtol=1e-6)
    assert list(seen.kept) == [0, 8, 71] and all((image == sr[row]).all() for row, image in seen.kept.items())
    scores = cosine_scores(seen.features['a'], folded.pairs)
    accuracy = kfold_accuracy(scores, folded.same, 3)
    numbers, per_fold = verification_numbers('a', scores, folded.same, 3, .05)
    assert list(numbers.items())[:3] == [('a/accuracy', accuracy.mean), ('a/accuracy_std', accuracy.std),
                                         ('a/vr', verification_rate_at_far(scores, folded.same, .05))]
    assert per_fold == accuracy.per_fold.tolist() and numbers['a/accuracy'] > .8


def test_images_without_originals_have_features_and_nothing_else(faces):
    hr, _ = faces
    small = hr[:, ::2, ::2]
    seen = embed([(small[:5], None), (small[5:9], None)], {'a': Colours()}, flip=True, unit_length=False)
    assert seen.psnr is None and seen.restoration() == {}
    np.testing.assert_allclose(seen.features['a'], extract_features(Colours(), small[:9], flip=True, unit_length=False),
                               rtol=1e-5)


def test_only_what_is_to_do_is_computed_and_what_is_known_stays(faces):
    class Counted(Colours):
        seen = 0

        def forward(self, x):
            self.seen += len(x)
            return super().forward(x)
    hr, _ = faces
    network, wanted = Counted(), np.array([1, 5, 6, 30])
    quantities = quantities_of({'a': network}, 72, rows=wanted, flip=True, originals=False)
    quantities['a', False].put(np.array([5, 30]), np.full((2, 12), 7, np.float32))
    rows = np.array([1, 2, 5, 6, 30])
    compute_quantities([(hr[rows[:3]], None), (hr[rows[3:]], None)], quantities, rows)
    found = embedded_of(quantities, {}, unit_length=False).features['a']
    assert network.seen == 2 + 4 and found.shape == (72, 24)
    expected = extract_features(Colours(), hr[wanted], flip=True, unit_length=False)
    np.testing.assert_array_equal(found[[1, 6]], expected[[0, 2]])
    np.testing.assert_array_equal(found[[5, 30], :12], np.full((2, 12), 7))
    np.testing.assert_array_equal(found[[5, 30], 12:], expected[[1, 3], 12:])
    assert np.isnan(np.delete(found, wanted, axis=0)).all()


def test_luma_and_border_reach_psnr(faces):
    hr, _ = faces
    sr = (hr // 32 * 32).astype(np.uint8)
    seen = embed([(sr, hr)], {}, color='y', border=2)
    psnr, ssim = psnr_ssim(sr.transpose(0, 3, 1, 2), hr.transpose(0, 3, 1, 2), color='y', border=2)
    assert (seen.psnr == psnr.numpy()).all() and (seen.ssim == ssim.numpy()).all()


def test_rates_are_those_of_the_curve():
    random = np.random.default_rng(0)
    same = random.random(300) < .5
    scores = random.normal(size=300) + same
    numbers, _ = verification_numbers('a', scores, same, 3, .05)
    rates = {f'a/tar@{far:g}': found.rate for far, found in tar_at_far(scores, same).items()}
    assert list(numbers.items())[3:] == [('a/eer', equal_error_rate(roc_curve(scores, same))), *rates.items()]
    assert list(rates) == ['a/tar@0.1', 'a/tar@0.01', 'a/tar@0.001', 'a/tar@0.0001']


def test_the_hr_row_is_perfect_in_psnr_and_ssim(faces):
    hr, _ = faces
    assert embed([(hr, hr)], {}).restoration() == {'psnr': float('inf'), 'ssim': pytest.approx(1)}


def test_sets_that_do_not_match_are_refused(faces):
    hr, _ = faces
    with pytest.raises(UserError, match='two batches .* of one shape'):
        embed([(hr[:3], hr[:3, :, 1:])], {})


def test_identity_distances_of_a_worked_case():
    hr = np.array([[2., 0], [0, 1], [0, 3]])
    sr = np.array([[0, 5.], [0, 1], [1, 0]])  # squared distances of unit vectors: 0, or 2 at right angles
    found = identity_distances(sr, hr, np.array([[1, 2], [2, 0], [-1, -1]]))
    assert found == {'sr_hr': 1, 'sr_compare': 0, 'hr_compare': 1, 'images': 2}


def test_identity_distances_equal_a_slow_loop():
    random = np.random.default_rng(0)
    sr, hr = random.normal(size=(2, 9, 5))
    compare = np.array([1, 0, 3, 2, -1, 6, 7, 8, 5])
    unit = torch.nn.functional.normalize
    a, b = unit(torch.from_numpy(sr)), unit(torch.from_numpy(hr))
    rows = [i for i in range(9) if compare[i] >= 0]
    expected = [sum(((x[i] - y[j]) ** 2).sum() for i, j in zip(rows, others, strict=True)).item() / 8
                for x, y, others in ((a, b, rows), (a, b, compare[rows]), (b, b, compare[rows]))]
    assert list(identity_distances(sr, hr, compare).values()) == pytest.approx([*expected, 8])


def test_a_compare_index_that_does_not_match_is_refused():
    features = np.eye(3)
    for compare, words in [([1, 1, 0], 'names itself'), ([1, 3, 0], 'outside'), ([-1, -1, -1], 'no identity has a'),
                           ([1, 0], 'N compare rows')]:
        with pytest.raises(UserError, match=words):
            identity_distances(features, features, np.array(compare))

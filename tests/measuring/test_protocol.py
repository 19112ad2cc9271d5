"""Pairs with two different sides, and the two ways of LFW, against their parts."""

import numpy as np
import pytest

from cface_basicsr.evaluation.features import cosine_scores
from cface_basicsr.evaluation.roc import roc_curve
from cface_basicsr.evaluation.verification import FoldedPairs, kfold_accuracy, lfw_accuracy, make_pairs
from cface_basicsr.measuring.protocol import LfwProtocol, PairsProtocol

LABELS = np.repeat(np.arange(8), 5)
KEYS = [f'{label}/{row}' for row, label in enumerate(LABELS)]


@pytest.fixture
def given() -> tuple[np.ndarray, np.ndarray, FoldedPairs]:
    """Features of two sides, of any length, and pairs."""
    random = np.random.default_rng(3)
    people = random.normal(size=(8, 6))[LABELS] + 0.5  # a mean that is worth taking away
    left, right = (3 * people + random.normal(size=(40, 6)) for _ in 'ab')
    return left.astype(np.float32), right.astype(np.float32), make_pairs(LABELS, folds=4, pairs_per_fold=20, seed=0)


def test_the_first_image_of_a_pair_has_the_left_features_the_second_the_right_ones(given: tuple) -> None:
    left, right, folded = given
    outcome = PairsProtocol(folded, KEYS, 'made up', far=0.1).measure('R', left, right)
    scores = [left[a] @ right[b] / np.linalg.norm(left[a]) / np.linalg.norm(right[b]) for a, b in folded.pairs]
    accuracy = kfold_accuracy(np.array(scores, dtype=float), folded.same, folded.fold)
    assert outcome.numbers['R/accuracy'] == pytest.approx(accuracy.mean)
    assert outcome.per_fold == {'R/accuracy': pytest.approx(accuracy.per_fold)}
    np.testing.assert_allclose(roc_curve(outcome.scores, outcome.same).tar, roc_curve(scores, folded.same).tar)
    same_sides = PairsProtocol(folded, KEYS, 'made up', far=0.1).measure('R', left, left)
    assert same_sides.numbers == PairsProtocol(folded, KEYS, 'made up', far=0.1).measure('R', left).numbers


def test_the_official_way_has_all_of_the_feature_and_the_plain_one_its_first_half(given: tuple) -> None:
    image, mirrored, folded = given
    both = np.concatenate([image, mirrored], axis=1)
    numbers = LfwProtocol(folded, KEYS, 'made up', far=0.1).measure('R', both).numbers
    official = lfw_accuracy(both, folded, subtract_mean=True)
    assert (numbers['R/official'], numbers['R/official_std']) == (official.mean, official.std)
    plain = kfold_accuracy(cosine_scores(image, folded.pairs), folded.same, folded.fold)
    assert numbers['R/accuracy'] == plain.mean
    assert official.mean != plain.mean


def test_without_mirror_images_both_ways_have_the_whole_feature(given: tuple) -> None:
    image, _, folded = given
    numbers = LfwProtocol(folded, KEYS, 'made up', far=0.1, mirrored=False).measure('R', image).numbers
    assert numbers['R/official'] == lfw_accuracy(image, folded, subtract_mean=True).mean
    assert numbers['R/accuracy'] == kfold_accuracy(cosine_scores(image, folded.pairs), folded.same, folded.fold).mean


def test_the_rates_say_how_many_pairs_they_rest_on(given: tuple) -> None:
    protocol = PairsProtocol(given[2], KEYS, 'made up', far=0.1)
    assert protocol.compared.counts == {'genuine': 40, 'impostor': 40,
                                        'allowed': {'0.1': 4, '0.01': 0, '0.001': 0, '0.0001': 0}}
    note = protocol.rates('R', [], protocol.compared).notes[0]
    assert '40 pairs of one person and 40 of different people' in note and '4 at 10 %, 0 at 1 %' in note

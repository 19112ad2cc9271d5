import numpy as np
import pytest
import torch

from cface_basicsr.evaluation import pair_search
from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.evaluation.pair_search import rates_at_fars, rates_of_sets
from cface_basicsr.evaluation.verification import verification_rate_at_far


def faces(images=400, people=60, length=6, seed=0, kind=np.float64):
    random = np.random.default_rng(seed)
    labels = random.integers(0, people, images)
    features = 1.5 * random.standard_normal((people, length))[labels] + random.standard_normal((images, length))
    return unit_features(features.astype(kind)), labels


@pytest.mark.parametrize('at_once', [1000, 1 << 22])
def test_several_sets_and_fars_in_one_pass_equal_each_one_from_all_its_scores(at_once, monkeypatch):
    monkeypatch.setattr(pair_search, 'SCORES_AT_ONCE', at_once)
    monkeypatch.setattr(pair_search, '_FEWEST_SORTED', 100)
    units, labels = faces()
    members = np.random.default_rng(1).random((400, 3)) < [.2, .6, 1]
    members[:, 0] &= labels > 50  # a set whose images all come last by label
    fars = (0, 1e-4, 1e-3, 1e-2, .3, 1)
    found = rates_at_fars(units, labels, members, fars)
    for number in range(3):
        rows = np.flatnonzero(members[:, number])
        left, right = np.tril_indices(len(rows), -1)
        scores = (units[rows] @ units[rows].T).numpy()[left, right]
        same = labels[rows[left]] == labels[rows[right]]
        for far in fars:
            rate = found[far][number]
            assert rate.rate == pytest.approx(verification_rate_at_far(scores, same, far))
            assert (rate.genuine, rate.impostor) == (same.sum(), (~same).sum())
            assert rates_of_sets(units, labels, members, far)[number] == rate


def test_only_what_may_be_among_the_largest_is_kept(monkeypatch):
    monkeypatch.setattr(pair_search, 'SCORES_AT_ONCE', 2000)
    monkeypatch.setattr(pair_search, '_FEWEST_SORTED', 100)
    kept = []
    add = pair_search.LargestScores.add

    def noting(self, pairs):
        add(self, pairs)
        kept.append(sum(len(portion.scores) for portion in self._portions))

    monkeypatch.setattr(pair_search.LargestScores, 'add', noting)
    units, labels = faces(images=600)
    rates_of_sets(units, labels, np.ones((600, 1), bool), 1e-3)
    assert max(kept[1:]) <= 800  # of 180,000 pairs 177 may pass; a block has 2,000
    kept.clear()
    rates_of_sets(torch.ones_like(units) / 6**.5, labels, np.ones((600, 1), bool), 1e-3)
    assert kept[-1] <= 2000  # all scores are equal: what comes later is no larger


def test_the_rate_of_float32_features_is_that_of_their_float32_scores():
    units, labels = faces(kind=np.float32)
    assert units.dtype == torch.float32
    left, right = np.tril_indices(400, -1)
    order = np.argsort(labels, kind='stable')
    scores = np.empty((400, 400), np.float32)
    scores[np.ix_(order, order)] = (units[order] @ units[order].T).numpy()
    same = labels[left] == labels[right]
    rate = rates_of_sets(units, labels, np.ones((400, 1), bool), .01)[0]
    impostor = np.sort(scores[left, right][~same])[::-1]
    assert rate.threshold in impostor[rate.allowed - 2:rate.allowed + 1]
    assert rate.rate == pytest.approx(verification_rate_at_far(scores[left, right], same, .01), abs=1 / same.sum())


def test_the_set_without_pairs_is_named():
    units, labels = faces()
    members = np.ones((400, 2), bool)
    members[:, 1] = labels == 3
    with pytest.raises(pair_search.UserError, match='set 2 of 2, .* images of 1 people,\nhas .* and 0'):
        rates_of_sets(units, labels, members, .01)

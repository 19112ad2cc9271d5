"""Rank-k identification against a slow loop, scikit-learn's neighbours and hand-made cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation import identification
from cface_basicsr.evaluation.identification import probe_ranks


def leave_one_out(features, labels):
    """The rank of each image among all others."""
    everyone = np.arange(len(labels))
    return probe_ranks(features, labels, everyone, everyone)


def slow_ranks(features, labels, gallery, probe):
    """Literally, in float64: how many other identities are at least as near as the nearest other image of its own?"""
    ranks = []
    for p in probe:
        cosine = {g: round(float(np.dot(features[p], features[g]) / np.linalg.norm(features[p])
                                 / np.linalg.norm(features[g])), 9) for g in gallery if g != p}
        mates = [score for g, score in cosine.items() if labels[g] == labels[p]]
        ranks.append(1 + sum(score >= max(mates) for g, score in cosine.items() if labels[g] != labels[p])
                     if mates else 0)
    return ranks


small_integers = st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(1, 2)), min_size=2, max_size=14)


@settings(max_examples=150)
@given(small_integers, st.data())
def test_ranks_equal_the_slow_loop_with_ties_and_equal_features(rows, data):
    features, count = np.array(rows, float), len(rows)
    labels = np.array(data.draw(st.lists(st.sampled_from([3, -7, 40]), min_size=count, max_size=count)))
    subset = st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True)
    gallery, probe = (np.array(data.draw(subset)) for _ in 'gp')
    assert probe_ranks(features, labels, gallery, probe).tolist() == slow_ranks(features, labels, gallery, probe)


@pytest.mark.parametrize('scores_at_once', [1, 70, 1 << 23])
def test_leaving_one_out_equals_scikit_learns_neighbours(monkeypatch, scores_at_once):
    monkeypatch.setattr(identification, '_RANKED_AT_ONCE', scores_at_once)  # blocks do not change anything
    random = np.random.default_rng(0)
    labels = random.integers(0, 12, 60)
    labels[:3] = [100, 101, 102]  # people with one image
    features = random.normal(size=(12, 8))[labels % 12] + random.normal(size=(60, 8))
    near = NearestNeighbors(metric='cosine', algorithm='brute').fit(features).kneighbors(n_neighbors=5)[1]
    counts = np.isin(labels, np.flatnonzero(np.bincount(labels) > 1))
    for rank in (1, 2, 5):
        ranks = leave_one_out(features, labels)
        assert ((ranks > 0) == counts).all()
        assert ((ranks[counts] <= rank) == (labels[near[counts, :rank]] == labels[counts, None]).any(1)).all()
    assert (~counts).sum() >= 3


def test_a_tie_with_another_identity_counts_against_the_probe():
    features, labels = np.eye(3)[[0, 1, 1, 2]], [0, 0, 1, 1]  # probe 0 is as far from its mate as from the others
    assert leave_one_out(features, labels).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize('length', [3, 128, 512])
def test_identical_features_are_never_right(length):
    """Of one vector: the sums of a matrix product may differ in their last bits, ties must not."""
    features = np.tile(np.random.default_rng(1).normal(size=(1, length)), (50, 1)) * np.arange(1, 51)[:, None]
    assert (leave_one_out(features, np.arange(50) // 2) == 49).all()


def test_identities_with_one_image_are_skipped_and_counted_but_can_be_mistaken_for():
    angle = np.radians([0, 20, 10, 90])
    features = np.stack([np.cos(angle), np.sin(angle)], 1)
    assert leave_one_out(features, [0, 0, 1, 2]).tolist() == [2, 2, 0, 0]
    assert probe_ranks(features, [0, 0, 1, 2], np.array([0, 1, 3]), np.arange(4)).tolist() == [1, 1, 0, 0]


def test_a_probe_is_searched_for_only_in_the_gallery():
    features, labels = [[1, 0], [1, .1], [0, 1], [.1, 1], [1, .9]], ['a', 'a', 'b', 'b', 'b']
    assert probe_ranks(features, labels, np.array([0, 2]), np.array([1, 3, 4])).tolist() == [1, 1, 2]


def test_input_that_gives_no_number_is_refused():
    features, labels = np.eye(4), [0, 0, 1, 1]
    for bad in (np.nan, np.inf, 0):
        broken = features.copy()
        broken[2, 2] = bad
        with pytest.raises(UserError, match=r'1 of 4 features are NaN, infinite or zero \(first: row 2\)'):
            leave_one_out(broken, labels)
    with pytest.raises(UserError, match=r'label for each feature, got \(5,\) and 4'):
        leave_one_out(features, [0, 0, 1, 1, 2])

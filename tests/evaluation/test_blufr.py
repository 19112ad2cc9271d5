import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation import identification, pair_search
from cface_basicsr.evaluation.blufr import (
    BlufrConfig,
    Trial,
    evaluate,
    identification_rate,
    load_config,
    rows_of,
    verification_rate,
)
from cface_basicsr.evaluation.features import unit_features

OFFICIAL = Path(__file__).parents[3] / 'shared/protocols/blufr_lfw_config.mat'

TABLE = """
    1 2952 10281 231834 52612506 4832 4449 44
    2 3428  9805 218833 47845277 3943 4862 49
    3 3845  9388  59104 44003474 4105 4283 43
    4 3786  9447  88376 44529805 4244 4203 42
    5 3763  9470 185721 44649994 4417 4053 41
    6 3375  9858 215510 48369643 4826 4032 40
    7 3281  9952 223523 49292653 4396 4556 46
    8 3722  9511  65141 45159664 4249 4262 43
    9 3781  9452  78488 44586938 3907 4545 45
   10 3314  9919 202624 48985697 4587 4332 43
"""
"""trial, training and test images, genuine and impostor pairs, genuine and impostor probes, false alarms at 1 %."""


def directions(signs):
    """Unit features whose float32 products are exact, so that equal cosines are equal numbers: (+-1, ..) / sqrt(4)."""
    return np.array(signs, np.float32)


def slow_threshold(impostors, far):
    """EvalROC.m's: (threshold, whether equality passes)."""
    allowed = math.floor(far * len(impostors) + 0.5)
    if allowed == len(impostors):
        return -math.inf
    descending = sorted(impostors, reverse=True)
    return descending[allowed - 1] if allowed else math.nextafter(descending[0], math.inf)


def slow_verification(features, labels, far):
    genuine, impostor = [], []
    for i in range(len(labels)):
        for j in range(i):
            score = sum(float(a) * float(b) for a, b in zip(features[i], features[j], strict=True)) / 4
            (genuine if labels[i] == labels[j] else impostor).append(score)
    if not genuine or not impostor:
        return None
    threshold = slow_threshold(impostor, far)
    return sum(score >= threshold for score in genuine) / len(genuine)


def slow_identification(features, labels, gallery, probe, far, rank):
    """OpenSetROC.m, probe by probe: ranks are positions in a stable descending sort of the gallery."""
    alarms, decided = [], []
    for p in probe:
        scores = [float(features[p].astype(float) @ features[g].astype(float)) / 4 for g in gallery]
        mates = [place for place, g in enumerate(gallery) if labels[g] == labels[p]]
        if mates:
            mate = max(mates, key=lambda place: scores[place])  # the first of equal ones
            ranked = sorted(range(len(gallery)), key=lambda place: -scores[place])  # Python's sort is stable
            decided.append((scores[mate], ranked.index(mate) + 1))
        else:
            alarms.append(max(scores))
    if not alarms or not decided:
        return None
    threshold = slow_threshold(alarms, far)
    return sum(score >= threshold and place <= rank for score, place in decided) / len(decided)


faces = st.lists(st.tuples(st.tuples(*[st.sampled_from([-1, 1])] * 4), st.integers(0, 4)), min_size=4, max_size=16)
shares = st.one_of(st.floats(0, 1), st.sampled_from([0, 1e-3, 1e-2, .5, 1]))


@settings(max_examples=200, deadline=None)
@given(faces, shares, st.sampled_from([1, 7, 1 << 22]))
def test_the_verification_rate_equals_the_double_loop_with_ties(images, far, at_once):
    features, labels = directions([signs for signs, _ in images]), np.array([label for _, label in images])
    expected = slow_verification(features, labels, far)
    with pytest.MonkeyPatch.context() as patch:  # blocks of one row, of a few, of all
        patch.setattr(pair_search, 'SCORES_AT_ONCE', at_once)
        patch.setattr(pair_search, '_FEWEST_SORTED', at_once)
        if expected is None:
            with pytest.raises(UserError, match='same person and of different ones'):
                verification_rate(features, labels, far)
        else:
            assert verification_rate(features, labels, far) == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(faces, shares, st.integers(1, 3), st.data())
def test_the_identification_rate_equals_the_double_loop_with_ties(images, far, rank, data):
    features, labels = directions([signs for signs, _ in images]), np.array([label for _, label in images])
    rows = data.draw(st.permutations(range(len(images))))
    cut = data.draw(st.integers(1, len(rows) - 1))
    gallery, probe = rows[:cut], rows[cut:]
    rank = min(rank, cut)
    expected = slow_identification(features, labels, gallery, probe, far, rank)
    if expected is None:
        with pytest.raises(UserError, match='people in the gallery and of others'):
            identification_rate(features, labels, gallery, probe, far, rank)
    else:
        assert identification_rate(features, labels, gallery, probe, far, rank) == pytest.approx(expected)


def made_up(people=12, most=6, trials=3, seed=0):
    """A protocol in the official format: half of the identities train, some of the others are in the gallery."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(people), random.integers(2, most, people)))
    parts = []
    for _ in range(trials):
        tested = random.permutation(people)[:people // 2]
        test = np.flatnonzero(np.isin(labels, tested))
        gallery = np.array([np.flatnonzero(labels == person)[0] for person in tested[:people // 4]])
        parts.append(Trial(np.setdiff1d(np.arange(len(labels)), test), test, np.sort(gallery),
                           np.setdiff1d(test, gallery)))
    names = tuple(f'face_{row:03d}.jpg' for row in range(len(labels)))
    return BlufrConfig(names, labels, tuple(parts))


@pytest.mark.parametrize('at_once', [1, 50, 1 << 22])
def test_all_trials_together_equal_each_one_by_the_double_loop(at_once, monkeypatch):
    monkeypatch.setattr(pair_search, 'SCORES_AT_ONCE', at_once)
    monkeypatch.setattr(pair_search, '_FEWEST_SORTED', 10)
    for seed in range(4):
        config = made_up(seed=seed)
        features = directions(np.random.default_rng(seed).choice([-1, 1], (len(config.labels), 4)))
        result = evaluate(features, config, far_verification=.1, far_identification=.2, rank=2)
        for trial, rates in zip(config.trials, result.trials, strict=True):
            assert rates.verification.rate == pytest.approx(
                slow_verification(features[trial.test], config.labels[trial.test], .1))
            assert rates.identification.rate == pytest.approx(
                slow_identification(features, config.labels, trial.gallery, trial.probe, .2, 2))
        vr = [rates.verification.rate for rates in result.trials]
        assert result.vr.mean == pytest.approx(sum(vr) / 3)
        assert result.vr.std == pytest.approx(math.sqrt(sum((each - sum(vr) / 3) ** 2 for each in vr) / 2))
        assert result.vr.mean_minus_std == pytest.approx(result.vr.mean - result.vr.std)
        assert result.dir.per_trial.tolist() == [rates.identification.rate for rates in result.trials]


def test_the_verification_rate_is_a_point_of_scikit_learns_roc_curve():
    random = np.random.default_rng(1)
    labels = random.integers(0, 20, 150)
    features = random.standard_normal((20, 6))[labels] + random.standard_normal((150, 6))
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    left, right = np.tril_indices(150, -1)
    false, true, _ = roc_curve(labels[left] == labels[right], (units @ units.T)[left, right], drop_intermediate=False)
    impostors = (labels[left] != labels[right]).sum()
    for far in (1e-3, .01, .1, .5):
        allowed = math.floor(far * impostors + .5)
        expected = true[np.flatnonzero(np.rint(false * impostors) == allowed)[0]]  # at the score of the n-th impostor
        assert verification_rate(features, labels, far) == pytest.approx(expected)


def test_lengths_and_order_of_features_do_not_matter():
    random = np.random.default_rng(2)
    labels = random.integers(0, 15, 90)
    features = random.standard_normal((15, 8))[labels] + random.standard_normal((90, 8))
    rate = verification_rate(features, labels, .01)
    shuffle = random.permutation(90)
    assert 0 < rate < 1
    assert verification_rate((features * random.uniform(.1, 9, (90, 1)))[shuffle], labels[shuffle], .01) == rate
    assert verification_rate(features.astype(np.float32), labels, .01) == pytest.approx(rate, abs=.02)


def test_no_impostor_may_pass_if_far_is_too_small_for_one():
    features = np.array([[1, 0], [4, 3], [3, 4], [0, 1], [1, 0]]) / 1.0
    labels = [0, 0, 1, 1, 2]  # genuine .8 .8; the last one equals the first: an impostor pair of score 1
    assert verification_rate(features, labels, 0) == 0
    assert verification_rate(features, labels, .06) == 0  # 0.48 of 8 pairs: none
    assert verification_rate(features, labels, 1 / 16) == 0  # half a pair counts as one, and its score is 1
    assert verification_rate(features, labels, .5) == 1
    assert verification_rate(features[:4], labels[:4], 0) == 0  # the middle two, .96, are more alike than the mates


def test_far_one_accepts_genuine_pairs_below_every_impostor():
    features, labels = [[1.0, 0], [-1, 0], [.6, .8], [.8, .6]], [0, 0, 1, 2]
    assert verification_rate(features, labels, 1) == 1
    assert verification_rate(features, labels, .8) == 0


def test_an_impostor_before_the_mate_in_the_gallery_wins_a_tie():
    features, labels = [[1.0, 0], [1, 0], [1, 0], [0, 1]], [0, 1, 0, 2]
    assert identification_rate(features, labels, [0, 1], [2, 3]) == 1
    assert identification_rate(features, labels, [1, 0], [2, 3]) == 0
    assert identification_rate(features, labels, [1, 0], [2, 3], rank=2) == 1


@pytest.mark.parametrize('bad', [np.nan, np.inf, 0])
def test_broken_features_are_refused(bad):
    config = made_up()
    features = np.ones((len(config.labels), 3), np.float32)
    features[5] = bad
    for judge in (lambda: evaluate(features, config), lambda: verification_rate(features, config.labels),
                  lambda: identification_rate(features, config.labels, [0], [1, 2])):
        with pytest.raises(UserError, match=r'1 of \d+ features are NaN, infinite or zero \(first: row 5\)'):
            judge()


def test_what_cannot_be_judged_is_refused():
    features, labels = np.eye(4), [0, 0, 1, 2]
    with pytest.raises(UserError, match='labels: expected 4 integers, one per feature'):
        verification_rate(features, [0, 1])
    with pytest.raises(UserError, match='far: expected a share'):
        verification_rate(features, labels, 1.1)
    with pytest.raises(UserError, match=r'4 images of 4 people,\nhas 0 and 6'):
        verification_rate(features, [0, 1, 2, 3])
    with pytest.raises(UserError, match='4 images of 1 people,\nhas 6 and 0'):
        verification_rate(features, [7] * 4)
    with pytest.raises(UserError, match='gallery: expected at least one row number'):
        identification_rate(features, labels, [], [1])
    with pytest.raises(UserError, match='got 0 and 2'):
        identification_rate(features, labels, [0, 1], [2, 3])
    with pytest.raises(UserError, match='got 1 and 0'):
        identification_rate(features, labels, [0], [1])
    with pytest.raises(UserError, match='probe: row numbers from 1 to 4, but there are 4'):
        identification_rate(features, labels, [0], [1, 4])
    with pytest.raises(UserError, match=r'share 1 images \(first: row 1\)'):
        identification_rate(features, labels, [0, 1], [1, 2])
    with pytest.raises(UserError, match='rank: expected from 1 to the size of the gallery .1., got 2'):
        identification_rate(features, labels, [0], [1, 2], rank=2)
    config = made_up()
    with pytest.raises(UserError, match=rf'each of {len(config.names)} images of BLUFR, got 4'):
        evaluate(features, config)


def test_the_rank_is_checked_before_the_search_and_the_threshold_is_sought_once(
        monkeypatch: pytest.MonkeyPatch) -> None:
    labels, units = np.array([0, 0, 1, 2]), unit_features(np.eye(4, 3) + 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(identification, 'open_set_search', lambda *given: pytest.fail('it has searched'))
        with pytest.raises(UserError, match='rank: expected from 1 to the size of the gallery .1., got 2'):
            identification.open_set_rate(units, labels, [0], [1, 2], 0.1, 2)
    sought, threshold_at_far = [], identification.threshold_at_far
    monkeypatch.setattr(identification, 'threshold_at_far', lambda scores, far: (
        sought.append(far), threshold_at_far(scores, far))[1])
    identification.open_set_rate(units, labels, [0], [1, 2], 0.1, 1)
    assert sought == [0.1]


@pytest.mark.skipif(not OFFICIAL.is_file(), reason='needs ../shared/protocols/blufr_lfw_config.mat')
def test_the_official_lists_have_the_counts_of_the_table():
    config = load_config(OFFICIAL)
    assert (len(config.names), config.labels.min(), config.labels.max()) == (13233, 0, 5748)
    assert config.names[:2] == ('Aaron_Eckhart_0001.jpg', 'Aaron_Guiel_0001.jpg')
    people = np.array([name[:-9] for name in config.names])
    assert len(np.unique(people)) == len(set(zip(people, config.labels, strict=True))) == 5749
    features = np.random.default_rng(0).standard_normal((13233, 2), np.float32)
    result = evaluate(features, config)
    rows = [[number + 1, len(lists.train), len(lists.test), rates.verification.genuine, rates.verification.impostor,
             rates.identification.genuine, rates.identification.impostor, rates.identification.allowed]
            for number, (lists, rates) in enumerate(zip(config.trials, result.trials, strict=True))]
    expected = [[int(word) for word in line.split()] for line in TABLE.strip().splitlines()]
    assert rows == expected
    # the toolkit's published 46,960,863 counts the pairs of a test set of the rounded mean size
    assert np.mean([row[4] for row in rows]) == 47_003_565.1
    assert [rates.verification.allowed for rates in result.trials][:2] == [52613, 47845]
    assert all(len(lists.gallery) == 1000 for lists in config.trials)


def official_form(config):
    """The variables of the official file, from 1."""
    def cells(lists):
        cell = np.empty((len(lists), 1), object)
        for number, each in enumerate(lists):
            cell[number, 0] = each
        return cell

    def lists(part):
        return cells([getattr(trial, part)[:, None] + 1 for trial in config.trials])

    return {'imageList': cells(list(config.names)), 'labels': config.labels[:, None] + 1, 'trainIndex': lists('train'),
            'testIndex': lists('test'), 'galIndex': lists('gallery'), 'probIndex': lists('probe')}


def written(folder, fields):
    from scipy.io import savemat
    savemat(folder / 'config.mat', fields)
    return folder / 'config.mat'


def same(one, other):
    assert one.names == other.names
    np.testing.assert_array_equal(one.labels, other.labels)
    for trial, twin in zip(one.trials, other.trials, strict=True):
        for part, again in zip(trial, twin, strict=True):
            np.testing.assert_array_equal(part, again)


@pytest.mark.parametrize('kind', [np.uint16, np.float64])
def test_a_mat_file_is_read_from_zero(tmp_path, kind):
    config = made_up()
    fields = official_form(config)
    fields['labels'] = fields['labels'].astype(kind)
    for cell in ('trainIndex', 'testIndex', 'galIndex', 'probIndex'):
        for number in range(3):
            fields[cell][number, 0] = fields[cell][number, 0].astype(kind)
    same(load_config(written(tmp_path, fields)), config)


def write_lists(folder, config):
    (folder / 'image_list.txt').write_text('\n'.join(config.names) + '\n')
    (folder / 'labels.txt').write_text('\n'.join(str(label + 1) for label in config.labels))
    for part in ('train', 'test', 'gallery', 'probe'):
        blocks = [[str(len(rows)), *(f'{row + 1}, {config.names[row]}' for row in rows)]
                  for rows in (getattr(trial, part) for trial in config.trials)]
        (folder / f'{part}_set.txt').write_text('\n'.join([str(len(blocks)), *sum(blocks, [])]))


def test_the_lists_in_text_files_are_the_same(tmp_path):
    write_lists(tmp_path, made_up())
    same(load_config(tmp_path), made_up())


def test_broken_text_lists_are_refused_with_the_line(tmp_path):
    write_lists(tmp_path, made_up())
    probe = tmp_path / 'probe_set.txt'
    whole = probe.read_text()
    probe.write_text(whole[:whole.rindex('\n')])
    with pytest.raises(UserError, match=r"probe_set.txt' is not in the toolkit's format, or was cut off: \d+ images"):
        load_config(tmp_path)
    probe.write_text(whole.replace('face_0', 'fase_0'))
    with pytest.raises(UserError, match='in image_list.txt, fase_0'):
        load_config(tmp_path)
    probe.unlink()
    with pytest.raises(UserError, match="probe_set.txt' is missing"):
        load_config(tmp_path)


def change(name, value):
    return lambda fields: fields.update({name: value(fields)})


def changed_list(field, number, value):
    def act(fields):
        fields[field][number, 0] = value(fields[field][number, 0])
    return act


@pytest.mark.parametrize(('act', 'message'), [
    (lambda fields: fields.pop('galIndex'), 'lacks galIndex: expected imageList, labels, trainIndex, .*got imageList'),
    (change('testIndex', lambda fields: np.arange(6)), r'testIndex: expected a cell array, got int64'),
    (change('labels', lambda fields: fields['labels'][:-1]), 'expected a label for each image'),
    (change('labels', lambda fields: fields['labels'] - 1), 'whole numbers from 1 as labels, got .* from 0 to 11'),
    (change('labels', lambda fields: fields['labels'] + .5), 'whole numbers from 1'),
    (change('probIndex', lambda fields: fields['probIndex'][:2]), 'train 3, test 3, gallery 3, probe 2'),
    (changed_list('trainIndex', 1, lambda rows: rows - rows.min()), r'train of trial 2: expected indices from 1'),
    (changed_list('testIndex', 0, lambda rows: rows + 1000), r'test of trial 1: expected indices from 1 to \d+, got 1'),
    (changed_list('testIndex', 0, lambda rows: rows + .5), 'test of trial 1: expected a list of whole numbers'),
    (changed_list('testIndex', 0, lambda rows: np.ones((2, 3))), r'expected a list of whole numbers, got .* \(2, 3\)'),
    (changed_list('testIndex', 0, lambda rows: rows[[0, 0, 1]]), 'test of trial 1: 1 indices are repeated'),
    (changed_list('galIndex', 2, lambda rows: rows[1:]), r'trial 3: gallery \(2\) and probe \(\d+\) .* 1 images are'),
    (changed_list('trainIndex', 0, lambda rows: np.arange(rows.max()) + 1),
     r'trial 1: training and test share \d+ identities'),
    (changed_list('imageList', 3, lambda name: 'face_000.png'), "1 names occur twice in the list .*'face_000'"),
    (changed_list('imageList', 3, lambda name: np.arange(3)), 'a list of file names; number 4 is not one'),
])
def test_a_mat_file_in_another_format_is_refused(tmp_path, act, message):
    fields = official_form(made_up())
    act(fields)
    with pytest.raises(UserError, match=message):
        load_config(written(tmp_path, fields))


def test_a_file_that_is_missing_or_cut_off_is_refused(tmp_path):
    with pytest.raises(UserError, match='is missing. Expected BLUFR'):
        load_config(tmp_path / 'none.mat')
    path = written(tmp_path, official_form(made_up()))
    whole = path.read_bytes()
    for length in (0, 5, 300, len(whole) - 9):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match='cannot be read as a MATLAB file|lacks'):
            load_config(path)


def named(*names):
    return SimpleNamespace(names=names)


def test_images_are_joined_by_file_name_whatever_the_order_and_the_folder():
    config = made_up()
    stems = [name[:-4] for name in config.names]
    for keys in ([f'p{row}/{stem}' for row, stem in enumerate(stems)], list(config.names),
                 [f'{stem}.png' for stem in stems]):
        assert rows_of(config, [*keys[::-1], 'somebody/else']).tolist() == list(range(len(keys)))[::-1]


def test_escaped_keys_are_joined_by_the_name_they_came_from():
    from cface_basicsr.files.image_keys import escape
    names = ['Ann_O.K._0001.jpg', 'José_0001.jpg', 'a__b_.jpg', '100%.jpg', 'plain_0001.jpg']
    keys = [f'{escape("J. D.")}/{escape(name[:-4])}' for name in names]
    assert keys[0] == 'J%2E%20D%2E/Ann_O%2EK%2E_0001'
    assert rows_of(named(*names[::-1]), keys).tolist() == [4, 3, 2, 1, 0]
    assert rows_of(named('1.jpg'), ['ann/1+jpg']).tolist() == [0]


def test_missing_and_ambiguous_images_are_named():
    config = named('a_1.jpg', 'a_2.jpg', 'b_1.jpg')
    with pytest.raises(UserError, match=r'2 of 3 images of BLUFR are missing among 1 keys, first a_2.jpg, b_1.jpg'):
        rows_of(config, ['a/a_1'])
    with pytest.raises(UserError, match=r"^BLUFR: 'b_1.jpg' may be 'b/b_1' or 'c/b_1'"):
        rows_of(config, ['a/a_1', 'a/a_2', 'b/b_1', 'c/b_1'])
    assert rows_of(config, ['a/a_1+png', 'a/a_1+jpg', 'a/a_2', 'b/b_1']).tolist() == [1, 2, 3]

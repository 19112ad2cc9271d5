"""LFW's protocol over features, from whatever says which pairs there are."""

from pathlib import Path

import numpy as np
import pytest

import cface_basicsr as cface
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores
from cface_basicsr.evaluation.verification import kfold_accuracy

LABELS = np.repeat(np.arange(8), 4)
FEATURES = np.random.default_rng(0).normal(size=(32, 6)) + 1.5 * np.eye(8, 6)[LABELS]
PAIRS = cface.protocols.make_pairs(LABELS, folds=2, pairs_per_fold=8)
EXPECTED = kfold_accuracy(cosine_scores(FEATURES, PAIRS.pairs), PAIRS.same, PAIRS.fold)


def test_pairs_may_be_drawn_given_as_rows_or_named_in_a_file(tmp_path: Path) -> None:
    keys = [f'person_{label}/person_{label}_{number % 4 + 1:04d}' for number, label in enumerate(LABELS)]
    lines = ['2\t4']
    for (left, right), same in zip(PAIRS.pairs, PAIRS.same, strict=True):
        names = [keys[row].partition('/')[0] for row in (left, right)]
        first, second = left % 4 + 1, right % 4 + 1
        lines.append('\t'.join(map(str, [names[0], first, second] if same else [names[0], first, names[1], second])))
    (tmp_path / 'pairs.txt').write_text('\n'.join(lines) + '\n')
    for found in (cface.protocols.lfw(FEATURES, PAIRS),
                  cface.protocols.lfw(FEATURES, (PAIRS.pairs.tolist(), PAIRS.same.tolist()), folds=2),
                  cface.protocols.lfw(FEATURES, tmp_path / 'pairs.txt', keys)):
        assert found.mean == EXPECTED.mean and (found.per_fold == EXPECTED.per_fold).all()
    assert 0.5 < EXPECTED.mean < 1


@pytest.mark.parametrize(('pairs', 'message'), [
    (([[0, 1]], [True, False]), r'expected row numbers \(P, 2\) and same \(P,\), got \(1, 2\) and \(2,\)'),
    (([0, 1], [True, False]), r'got \(2,\)'), (([],), 'got 1 things'),
    (([[0, 99], [0, 1]], [True, False]), 'row numbers from 0 to 99'),
    ('pairs.txt', "pairs 'pairs.txt' are names: expected keys, the names of the 32 images, got none")])
def test_other_pairs_get_a_sentence(pairs: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cface.protocols.lfw(FEATURES, pairs, folds=2)

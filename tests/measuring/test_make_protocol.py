"""The protocol for the images at hand: which pairs are read, which are drawn, and what is missing."""

from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.verification import make_pairs
from cface_basicsr.measuring.make_protocol import make_protocol
from cface_basicsr.measuring.request import Request

LABELS = np.repeat(np.arange(40), 30)
KEYS = [f'{label}/{row}' for row, label in enumerate(LABELS)]


def request(protocol: str, data: Path, **settings: object) -> Request:
    return Request(protocol=protocol, data=data, features={'X': Path('x.npy')}, **settings)


def test_a_large_folder_gives_the_papers_3000_and_3000_pairs(tmp_path: Path) -> None:
    protocol = make_protocol(request('pairs', tmp_path), KEYS, LABELS)
    wanted = make_pairs(LABELS, folds=10, pairs_per_fold=600, seed=0)
    assert (protocol.folded.pairs == wanted.pairs).all() and protocol.folded.same.sum() == 3000
    assert protocol.facts['pairs'] == 6000 and protocol.facts['folds'] == 10 and protocol.far == 0.01
    assert '6,000 pairs in 10 folds, drawn with seed 0' in protocol.note


def test_a_small_folder_gives_what_it_can_and_other_seeds_other_pairs(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(20), 3)
    keys = KEYS[:60]
    first, second = (make_protocol(request('pairs', tmp_path, seed=seed), keys, labels) for seed in (0, 1))
    assert first.facts['pairs'] == 10 * 2 * 6  # two people of three images a fold: six pairs of one person
    assert first.facts['compared_sha256'] != second.facts['compared_sha256']


def test_lfw_reads_the_folders_pairs_or_those_that_are_named(tmp_path: Path) -> None:
    table = 'left,right,same,fold\n' + ''.join(f'{KEYS[0]},{KEYS[row]},{int(row == 1)},{fold}\n'
                                               for fold in (0, 1) for row in (1, 30))
    (tmp_path / 'other.csv').write_text(table)
    with pytest.raises(UserError, match="pairs.csv' is missing: the folder was prepared without pairs.*--pairs"):
        make_protocol(request('lfw', tmp_path), KEYS, LABELS)
    named = make_protocol(request('lfw', tmp_path, pairs=tmp_path / 'other.csv'), KEYS, LABELS)
    (tmp_path / 'pairs.csv').write_text(table)
    found = make_protocol(request('lfw', tmp_path), KEYS, LABELS)
    assert named.facts['compared_sha256'] == found.facts['compared_sha256']
    assert named.folded.pairs.tolist() == [[0, 1], [0, 30]] * 2
    assert named.facts['pairs_file']['file'].endswith('other.csv')


def test_identification_must_know_who_is_who(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='needs to know who is who'):
        make_protocol(request('identification', tmp_path), KEYS, None)
    assert make_protocol(request('identification', tmp_path), KEYS, LABELS).facts['probes'] == 1200

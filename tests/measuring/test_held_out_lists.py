"""What a test set is measured by: pairs and open-set lists, drawn or read, and DIR as slow loops count it."""

from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.benchmark.file import HeldOut
from cface_basicsr.errors import UserError
from cface_basicsr.measuring.held_out_lists import read_lists
from tests.blufr_file import write_blufr_file
from tests.references import slow_protocols
from tests.small_data import write_small_data

NAMES = [f'{person:07d}/{person}_{image}' for person in range(6) for image in range(4)]
LABELS = [person for person in range(6) for _ in range(4)]
TRIALS = [([0, 4, 8], [1, 2, 5, 6, 9, 10, 12, 13, 16, 17]), ([12, 16, 20], [13, 14, 17, 18, 21, 22, 0, 1, 8, 9])]
"""(gallery, probe): three known people, two others."""
FEATURES = np.repeat(np.random.default_rng(0).normal(size=(6, 8)), 4, 0) + np.random.default_rng(1).normal(size=(24, 8))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_small_data(tmp_path_factory.mktemp('lists') / 'test', images=4, names=NAMES)
    write_blufr_file(folder / 'blufr.mat', NAMES, LABELS, TRIALS)
    return folder


def options(**changes: object) -> HeldOut:
    return HeldOut(**{'folds': 3, 'pairs_per_fold': 8, **changes})


def test_dir_without_lists_is_that_of_slow_loops_over_the_drawn_galleries(folder: Path) -> None:
    lists = read_lists(options(far_identification=0.25), folder)
    slow = [slow_protocols.blufr_rates(FEATURES, LABELS, list(draw.gallery), list(draw.probe), 0.1, 0.25)[1]
            for draw in lists.open_set.draws]
    numbers = lists.open_set.numbers('r', FEATURES)
    assert numbers == {'r/dir': pytest.approx(np.mean(slow)), 'r/dir_std': pytest.approx(np.std(slow, ddof=1))}
    assert 0 < numbers['r/dir'] < 1
    assert '3 people enrolled with one image each' in lists.open_set.words
    assert '12 images of others, of which 3 may raise a false alarm' in lists.open_set.words


def test_vr_and_dir_of_blufrs_lists_are_those_of_slow_loops(folder: Path) -> None:
    lists = read_lists(options(blufr=str(folder / 'blufr.mat'), far=0.1, far_identification=0.25), folder)
    slow = [slow_protocols.blufr_rates(FEATURES, LABELS, *trial, 0.1, 0.25) for trial in TRIALS]
    vr, found = zip(*slow, strict=True)
    assert lists.open_set.numbers('r', FEATURES) == pytest.approx(
        {'r/vr': np.mean(vr), 'r/vr_std': np.std(vr, ddof=1),
         'r/dir': np.mean(found), 'r/dir_std': np.std(found, ddof=1)})
    assert lists.open_set.words.startswith('VR at FAR = 10 % and DIR at FAR = 25 %: LFW-BLUFR, means over 2 trials')


def test_lists_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match='expected BLUFR'):
        read_lists(options(blufr='nowhere.mat'), folder)
    write_blufr_file(tmp_path / 'other.mat', [*NAMES, 'Zoe/Zoe_1'], [*LABELS, 6], TRIALS)
    with pytest.raises(UserError, match='1 of 25 images of BLUFR are missing'):
        read_lists(options(blufr=str(tmp_path / 'other.mat')), folder)

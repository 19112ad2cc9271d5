"""QMUL-SurvFace's open-set search on made-up lists, against a literal loop."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.listed_search import SURVFACE
from cface_basicsr.measuring.protocols import check_request
from cface_basicsr.measuring.request import Request
from cface_basicsr.measuring.search_protocol import SurvFaceProtocol
from tests.small_face_trees import write_list, write_lists

GALLERY = {f'{person}_cam1_{image}.jpg': person for person in range(1, 26) for image in range(1 + person % 3)}
PROBE = {f'{person}_cam2_{image}.jpg': person for person in range(1, 26) for image in range(1 + person % 2)}
OTHERS = [f'9{number}_cam3_1.jpg' for number in range(40)] + [f'distractors_{number}.jpg' for number in range(9)]
KEYS = [f'{name[:2]}/{name[:-4]}' for name in [*OTHERS[:20], *GALLERY, *PROBE, *OTHERS[20:]]]
ROW = {key.split('/')[1] + '.jpg': row for row, key in enumerate(KEYS)}


@pytest.fixture(scope='module')
def protocol(tmp_path_factory: pytest.TempPathFactory) -> SurvFaceProtocol:
    return SurvFaceProtocol(write_lists(tmp_path_factory.mktemp('lists'), GALLERY, PROBE, SURVFACE), KEYS)


def slow_tpir(features: np.ndarray, fpir: float, rank: int = 20) -> float:
    """One probe after the other: is its person's template among the best 20, at or above the threshold?"""
    units = [row / math.sqrt(float(row @ row)) for row in features]
    templates = {}
    for person in range(1, 26):
        mean = sum(units[ROW[name]] for name, who in GALLERY.items() if who == person)
        templates[person] = mean / math.sqrt(float(mean @ mean))
    alarms = sorted((max(float(units[ROW[name]] @ each) for each in templates.values()) for name in OTHERS),
                    reverse=True)
    allowed = math.floor(fpir * len(alarms) + 0.5)
    threshold = alarms[allowed - 1] if allowed else math.nextafter(alarms[0], math.inf)
    found = 0
    for name, person in PROBE.items():
        scores = {who: float(units[ROW[name]] @ each) for who, each in templates.items()}
        place = 1 + sum(score > scores[person] for score in scores.values())
        found += scores[person] >= threshold and place <= rank
    return found / len(PROBE)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10 ** 6), st.integers(2, 6), st.floats(0, 3))
def test_rates_are_those_of_a_literal_loop(protocol: SurvFaceProtocol, seed: int, length: int, alike: float) -> None:
    random = np.random.default_rng(seed)
    features = random.normal(size=(len(KEYS), length))
    centres = random.normal(size=(26, length))
    for name, person in (GALLERY | PROBE).items():
        features[ROW[name]] += alike * centres[person]
    found = protocol.measure('r', features)
    assert found.numbers == pytest.approx({f'r/tpir@{fpir:g}': slow_tpir(features, fpir)
                                           for fpir in (0.3, 0.2, 0.1, 0.01)})
    assert all(len(parts) == 10 for parts in found.per_fold.values())


def test_a_probe_is_found_at_the_threshold_itself_and_up_to_rank_20(protocol: SurvFaceProtocol) -> None:
    features = np.zeros((len(KEYS), 60))
    for name, person in GALLERY.items():
        features[ROW[name], person] = 2.0  # lengths do not matter
    for name, person in PROBE.items():
        features[ROW[name], person] = features[ROW[name], 50] = 1.0  # 0.707 with the person, 0 with all others
    for number, name in enumerate(OTHERS):
        features[ROW[name], 40] = 1.0
        if number < 5:  # 5 of 49 others reach 0.707 as well; 0.1 allows round(4.9) = 5, and 0.01 allows none
            features[ROW[name], [1, 40]] = 1.0
    assert protocol.measure('r', features).numbers == {'r/tpir@0.3': 1, 'r/tpir@0.2': 1, 'r/tpir@0.1': 1,
                                                       'r/tpir@0.01': 0}
    for name, person in PROBE.items():
        if person == 25:  # 24 people are nearer than 25, who is still above every other
            features[ROW[name], 1:25] = 0.9
            features[ROW[name], 25] = 0.8
    numbers = protocol.measure('r', features).numbers
    assert numbers['r/tpir@0.3'] == pytest.approx(1 - list(PROBE.values()).count(25) / len(PROBE))


def test_images_that_no_list_names_are_unmated(protocol: SurvFaceProtocol) -> None:
    settings = protocol.compared.settings
    assert (settings['people'], settings['gallery'], settings['unmated']) == (25, len(GALLERY), len(OTHERS))
    assert protocol.images is None  # all are compared


@pytest.mark.parametrize(('break_it', 'message'), [
    (lambda folder: write_list(folder, SURVFACE.probe, {'1_cam9_9.jpg': 1}),
     "1 of 1 images of '.*mated_probe_img_ID_pairs.mat' are missing among"),
    (lambda folder: write_list(folder, SURVFACE.probe, {'1_cam2_0.jpg': 77}),
     '1 probes show people whom the gallery lacks'),
    (lambda folder: savemat(folder / SURVFACE.gallery.file, {'gallery_ids': np.ones(3)}),
     'lacks gallery_set: expected gallery_set, gallery_ids, got gallery_ids'),
    (lambda folder: write_list(folder, SURVFACE.gallery, {'1_cam1_0.jpg': 1e300}),
     'gallery_ids: expected whole numbers'),
    (lambda folder: (folder / SURVFACE.probe.file).unlink(), 'mated_probe_img_ID_pairs.mat.* is missing'),
    (lambda folder: write_list(folder, SURVFACE.probe, {name: PROBE[name] for name in list(PROBE)[:-2]}),
     "2 images are in no list, but in folders of people who are, first '25/25_cam2_0'. Take lists and images from one"),
])
def test_lists_of_another_release_are_refused(tmp_path: Path, break_it: Callable[[Path], object], message: str) -> None:
    folder = write_lists(tmp_path, GALLERY, PROBE, SURVFACE)
    break_it(folder)
    with pytest.raises(UserError, match=message) as refused:
        SurvFaceProtocol(folder, KEYS)
    assert '\n' not in str(refused.value)


def test_the_lists_must_be_named() -> None:
    with pytest.raises(UserError, match="survface needs --config: the folder of QMUL-SurvFace's two lists"):
        check_request(Request(protocol='survface', data=Path('x'), recognizers={'r': 'r.pth'}))

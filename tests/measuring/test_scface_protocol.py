"""SCface by distance, against a literal loop."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.evaluate import evaluate_request
from cface_basicsr.measuring.protocols import check_request
from cface_basicsr.measuring.request import Request
from cface_basicsr.measuring.scface_protocol import ScfaceProtocol
from tests.photos import Silent

PEOPLE = range(1, 13)
KEYS = [f'{person:03d}/{person:03d}_{what}' for person in PEOPLE for what in (
    'cam8', *(f'cam{camera}_{distance}' for distance in (3, 1, 2) for camera in (6, 2, 5)), 'frontal', 'L1')]
ROW = {key.split('/')[1]: row for row, key in enumerate(KEYS)}


def slow_numbers(mugshots: np.ndarray, seen: np.ndarray, distance: int, far: float) -> tuple[float, float]:
    """Rank 1 and verification rate at a distance, pair by pair."""
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
    nearest, genuine, impostor = [], [], []
    for person in PEOPLE:
        for camera in (2, 5):
            probe = seen[ROW[f'{person:03d}_cam{camera}_{distance}']]
            scores = {other: cosine(probe, mugshots[ROW[f'{other:03d}_frontal']]) for other in PEOPLE}
            nearest.append(max(scores, key=scores.get) == person)
            genuine.append(scores.pop(person))
            impostor += scores.values()
    allowed = math.floor(far * len(impostor) + 0.5)
    impostor.sort(reverse=True)
    threshold = impostor[allowed - 1] if allowed else math.nextafter(impostor[0], math.inf)
    return float(np.mean(nearest)), float(np.mean([score >= threshold for score in genuine]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10 ** 6), st.sampled_from([0.001, 0.01, 0.1]), st.booleans())
def test_numbers_are_those_of_a_literal_loop_with_mug_shots_of_their_own_or_not(seed: int, far: float,
                                                                               own: bool) -> None:
    protocol = ScfaceProtocol(KEYS, far=far)
    random = np.random.default_rng(seed)
    centres = random.normal(size=(13, 4))
    person = [int(key[:3]) for key in KEYS]
    mugshots, seen = (centres[person] + 0.7 * random.normal(size=(len(KEYS), 4)) for _ in range(2))
    outcome = protocol.measure('r', mugshots, seen) if own else protocol.measure('r', mugshots)
    for distance in (1, 2, 3):
        rank1, rate = slow_numbers(mugshots, seen if own else mugshots, distance, far)
        assert outcome.numbers[f'r/rank1_d{distance}'] == pytest.approx(rank1)
        assert outcome.numbers[f'r/vr_d{distance}'] == pytest.approx(rate)
    assert set(outcome.per_fold) == set(outcome.numbers) and {*map(len, outcome.per_fold.values())} == {10}


class Products(TorchDispatchMode):
    """Counts the products of matrices."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten.mm.default
        return function(*args, **(kwargs or {}))


def test_images_and_mug_shots_are_multiplied_once_for_each_distance() -> None:
    with Products() as products:
        ScfaceProtocol(KEYS).measure('r', np.random.default_rng(0).normal(size=(len(KEYS), 4)))
    assert products.count == 3


def test_infrared_cameras_and_other_poses_are_not_compared() -> None:
    protocol = ScfaceProtocol(KEYS)
    assert {KEYS[row].split('_', 1)[1] for row in protocol.images} == {
        'frontal', *(f'cam{camera}_{distance}' for camera in (2, 5) for distance in (1, 2, 3))}
    assert protocol.compared.settings == {'people': 12, 'images': 72, 'far': 0.01, 'parts': 10}
    nan = np.full((len(KEYS), 3), np.nan)
    nan[protocol.images] = np.random.default_rng(0).normal(size=(len(protocol.images), 3))
    assert np.isfinite([*protocol.measure('r', nan).numbers.values()]).all()


def test_a_person_who_is_missing_at_a_distance_counts_but_is_in_no_part() -> None:
    keys = [key for key in KEYS if key not in ('001/001_cam2_1', '001/001_cam5_1')]
    outcome = ScfaceProtocol(keys).measure('r', np.random.default_rng(0).normal(size=(len(keys), 8)))
    assert np.isfinite(outcome.per_fold['r/rank1_d1']).all() and {*map(len, outcome.per_fold.values())} == {10}


@pytest.mark.parametrize(('keys', 'message'), [
    ([key for key in KEYS if 'frontal' not in key], 'expected one mug shot, 001_frontal, of each .* got 0 of 0'),
    ([*KEYS, 'x/003_frontal.jpg'], 'got 13 of 12 people'),
    ([key for key in KEYS if key != '004/004_frontal'], 'scface: 1 people have no mug shot, first 004'),
    ([key for key in KEYS if not key.endswith('_2')], 'nobody was seen from all three distances'),
])
def test_what_is_not_its_set_of_images_is_refused(keys: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ScfaceProtocol(keys)


def test_features_that_another_program_made_need_no_prepared_folder(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(len(KEYS), 8)).astype(np.float32)
    np.save(tmp_path / 'f.npy', features)
    (tmp_path / 'f.keys.txt').write_text('\n'.join(key.partition('/')[2] for key in KEYS))
    (tmp_path / 'SCface_database').mkdir()
    results, _ = evaluate_request(Request(protocol='scface', data=tmp_path / 'SCface_database', far=0.1,
                                          features={'theirs': tmp_path / 'f.npy'}), Silent())
    expected = ScfaceProtocol(KEYS, far=0.1).measure('features', features).numbers
    assert results.runs[0].measured['SCface_database'].numbers == pytest.approx(expected)


def test_mug_shots_may_be_enrolled_as_they_are() -> None:
    for sides in (None, 'one', 'both', 'lr'):
        check_request(Request(protocol='scface', data='x', recognizers={'r': 'r.pth'}, sides=sides))

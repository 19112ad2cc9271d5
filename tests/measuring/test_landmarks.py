"""Centre crops that are aligned by landmarks found on HR."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cface_basicsr.data.images.align import template_points, warp_face
from cface_basicsr.measuring.landmarks import align_by_landmarks
from cface_basicsr.measuring.measure import FaceSet
from tests.measuring.conftest import PLACES
from tests.small_data import write_small_data


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    return FaceSet.open(write_small_data(tmp_path / 'data', identities=20, images=3), 8)


@pytest.mark.parametrize('system', ['HR', 'Bicubic', 'LR'])
def test_every_row_is_aligned_by_the_landmarks_of_hr(faces: FaceSet, detector: Any, tmp_path: Path,
                                                     system: str) -> None:
    aligned, note = align_by_landmarks(faces, detector.file, tmp_path / 'cache')
    assert note.endswith('0 of 60 originals show none and are aligned by the median.')
    plain = np.concatenate([images for images, _ in faces.chunks(system)])
    seen = np.concatenate([images for images, _ in aligned.part(np.arange(60)).chunks(system, at_once=32)])
    side = plain.shape[1]
    source = (PLACES + 0.5) * side / 128 - 0.5
    expected = [warp_face(image, source, template_points('arcface', side), side) for image in plain]
    assert (seen == np.stack(expected)).all() and not (seen == plain).all()


def test_landmarks_are_found_once_and_again_for_another_detector(faces: FaceSet, detector: Any, tmp_path: Path) -> None:
    for _ in range(2):
        align_by_landmarks(faces, detector.file, tmp_path / 'cache')
    assert detector.calls == 60
    detector.file.write_bytes(b'another')
    align_by_landmarks(faces, detector.file, tmp_path / 'cache')
    assert detector.calls == 120


@pytest.mark.parametrize(('blind', 'applies'), [(1, True), (2, False)])
def test_few_faces_may_be_without_landmarks_and_a_note_counts_them(faces: FaceSet, detector: Any, tmp_path: Path,
                                                                   blind: int, applies: bool) -> None:
    detector.blind = blind
    aligned, note = align_by_landmarks(faces, detector.file, tmp_path / 'cache')
    assert (aligned is not None) == applies and f'{blind} of 60 originals' in note
    if applies:
        assert np.allclose(aligned.landmarks[faces.keys[0]], PLACES)  # the median of the others
    else:
        assert note.startswith('Judge not applicable: no landmarks are found on 2 of 60 originals, and at most 2 %')

"""Drawn faces in a drawn scene: at 16, 24 and 40 pixels all are found, with box and landmarks where they belong."""

import cv2
import numpy as np
import pytest

from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
from cface_basicsr.enhancing.detector import (
    DetectedFace,
    _merged,
    _tiles,
    detect_faces,
    detection_scales,
    strongest,
)
from cface_basicsr.enhancing.networks import open_enhancers
from performance.landmarks import Scene, Seen, a_scene, box_errors, errors, seen_faces
from performance.photo_gain import FACTOR, a_row, gains


@pytest.fixture(scope='module')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """Four drawn photographs of 250x250, and what the detector sees in each at its own size."""
    folder = tmp_path_factory.mktemp('drawn')
    write_synthetic_faces(folder, TreeSettings(identities=4, images=1))
    return seen_faces(folder)


@pytest.mark.parametrize('height', [16, 24, 40])
def test_all_small_faces_are_found_and_landmarks_are_within_an_eighth_of_the_eye_distance(drawn, height) -> None:
    scene = a_scene(drawn, height)
    faces = detect_faces(scene.picture)
    assert len(faces) == len(scene.landmarks)
    off = errors([face.landmarks for face in faces], scene.landmarks)
    assert off.mean() < 0.12
    assert off.max() < 0.16
    assert all(abs(face.height - height) < 0.25 * height for face in faces)


@pytest.mark.parametrize('height', [16, 24, 40])
def test_boxes_of_small_faces_are_within_an_eighth_of_the_eye_distance_of_those_of_the_same_faces_when_large(
        drawn, height) -> None:
    """On average; single sides, mostly the upper one, which has only hair to go by, are off by up to twice of that."""
    assert all(row[3] - row[1] >= 96 for _, row in drawn)
    scene = a_scene(drawn, height)
    off = box_errors([(face.box, face.landmarks) for face in detect_faces(scene.picture)], scene)
    sides, centres = off[:, :4], off[:, 4]
    assert sides.mean() < 0.12 and (sides.mean(0) < 0.12).all() and (sides.mean(1) < 0.12).all()
    assert sides.max() < 0.24
    assert centres.mean() < 0.12 and centres.max() < 0.16


def test_the_error_of_a_box_is_that_of_its_sides_and_its_centre_in_shares_of_the_eye_distance() -> None:
    points = np.array([[10, 10], [30, 10], [20, 20], [14, 30], [26, 30]], float)
    scene = Scene(np.zeros((50, 50, 3), np.uint8), [points], [np.array([5.0, 0, 35, 40])])
    far = (np.array([0.0, 0, 1, 1]), points + 100)
    off = box_errors([far, (np.array([7.0, 0, 37, 46]), points)], scene)
    assert np.allclose(off, [[0.1, 0, 0.1, 0.3, np.hypot(2, 3) / 20]])


@pytest.mark.parametrize('height', [16, 24, 40])
def test_small_faces_come_out_nearer_to_what_they_were_than_by_bicubic_interpolation(drawn, height) -> None:
    """By the networks of the package; a face that is too large for all of them is left, see docs/photos.md."""
    networks = {scale: each.network for scale, each in open_enhancers('auto').items()}
    found = gains(a_row(drawn, FACTOR * height), networks)
    if 1.2 * height * min(networks) > 128:
        assert found == []
    else:
        assert len(found) == 4 and np.mean(found) > 0.1


def test_a_scene_without_faces_has_none_and_says_how_near_it_came() -> None:
    scene = cv2.resize(np.random.default_rng(3).integers(0, 256, (8, 8, 3)).astype(np.uint8), (200, 200))
    assert detect_faces(scene) == []
    assert 0 <= strongest(scene) < 0.8


def test_a_face_on_the_seam_of_two_tiles_is_one_face(drawn) -> None:
    photo, seen = drawn[0]
    scene = np.full((300, 1400, 3), 127, np.uint8)
    small = cv2.resize(photo, (60, 60), interpolation=cv2.INTER_AREA)
    for left in (330, 480, 690, 940):
        scene[100:160, left:left + 60] = small
    assert len(detect_faces(scene)) == 4


def test_tiles_cover_a_picture_and_overlap_by_a_face() -> None:
    picture = np.zeros((1500, 2600, 3), np.uint8)
    seen = np.zeros(picture.shape[:2], int)
    spans = []
    for scale, left, top, tile in _tiles(picture, [1.0]):
        seen[top:top + tile.shape[0], left:left + tile.shape[1]] += 1
        spans.append((left, left + tile.shape[1]))
        assert scale == 1
    assert seen.min() == 1
    lefts = sorted(set(spans))
    assert all(right - left >= 256 for (_, right), (left, _) in zip(lefts, lefts[1:], strict=False))
    small = np.zeros((40, 30, 3), np.uint8)
    assert [(scale, tile.shape) for scale, *_, tile in _tiles(small, [1, 4])] == [(1, (40, 30, 3)), (4, (160, 120, 3))]


def test_the_search_tells_how_many_tiles_it_has_searched_and_how_many_there_are() -> None:
    told, sizes = [], []

    def detect(tile: np.ndarray, sure: float) -> np.ndarray:
        sizes.append(tile.shape[:2])
        return np.empty((0, 15), np.float32)
    detect_faces(np.zeros((600, 1100, 3), np.uint8), detect, progress=lambda *numbers: told.append(numbers))
    assert sizes == [(559, 1024), *2 * [(600, 1024)], *6 * [(1024, 1024)]]  # whole, as it is, doubled
    assert told == [(seen, 9) for seen in range(10)]


@pytest.mark.parametrize('scale', [2, 4])
def test_a_tile_of_an_enlarged_copy_is_that_of_the_whole_copy_which_is_never_made(
        scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (500, 700, 3)).astype(np.uint8)
    whole = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    sizes, resize = [], cv2.resize
    monkeypatch.setattr(cv2, 'resize', lambda *call, **more: sizes.append((made := resize(*call, **more)).size) or made)
    tiles = list(_tiles(photo, [scale]))
    assert len(tiles) == {2: 2, 4: 12}[scale]
    for _, left, top, tile in tiles:
        assert (tile == whole[top:top + 1024, left:left + 1024]).all()
    assert max(sizes) < (1024 + 8 * scale) ** 2 * 3


def test_a_large_photograph_is_also_seen_as_a_whole_and_a_small_one_in_four_times_its_size() -> None:
    assert detection_scales(3000, 4000) == [1024 / 4000, 1.0, 2.0]
    assert detection_scales(300, 400) == [1.0, 2.0, 4.0]


def a_face(left: float, top: float, side: float, score: float) -> DetectedFace:
    return DetectedFace(np.array([left, top, left + side, top + side]), score, np.zeros((5, 2)))


def test_of_boxes_that_overlap_the_surest_stays_and_neighbours_stay_two() -> None:
    faces = [a_face(0, 0, 20, 0.9), a_face(2, 1, 20, 0.95), a_face(5, 5, 8, 0.85), a_face(18, 0, 20, 0.8)]
    assert [face.score for face in _merged(faces)] == [0.95, 0.8]

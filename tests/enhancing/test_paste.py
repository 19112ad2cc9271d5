import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cface_basicsr.data.images.align import template_points
from cface_basicsr.enhancing.paste import ellipse_weights, paste_detail, same_colours

POINTS = template_points('arcface', 128)


def a_photo(kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (60, 80, 3)).astype(kind)


def target(height: float, left: float, top: float, angle: float = 0.0) -> np.ndarray:
    """The landmarks of a face whose 128 pixels become `height`, turned about its corner."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (POINTS * height / 128) @ turn.T + [left, top]


def test_weights_are_one_in_the_middle_and_zero_at_the_border_of_the_square() -> None:
    grid = np.stack(np.meshgrid(np.arange(128), np.arange(128)), axis=-1).astype(float)
    weights = ellipse_weights(grid, 128)
    assert weights[60:70, 60:70].min() == 1 and weights.max() == 1
    border = np.concatenate([weights[0], weights[-1], weights[:, 0], weights[:, -1]])
    assert border.max() == 0


@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_only_pixels_under_the_ellipse_change(kind: type) -> None:
    photo = a_photo(kind) // 2
    pasted = photo.copy()
    there = target(30, 20, 15, 0.3)
    paste_detail(pasted, np.full((128, 128, 3), 100, np.float32), POINTS, there)
    changed = (pasted != photo).any(-1)
    column, row = np.rint(there.mean(0)).astype(int)
    assert (pasted[row, column] == photo[row, column] + (100 if kind == np.uint8 else 100 * 257)).all()
    rows, columns = np.nonzero(changed)
    back = np.stack([columns, rows], axis=1)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    in_face = (back - [20, 15]) @ turn * 128 / 30  # the literal inverse of `target`
    assert len(in_face) > 200
    assert ((in_face > 0) & (in_face < 127)).all()


def test_a_face_is_where_its_landmarks_are() -> None:
    face = np.zeros((128, 128, 3), np.float32)
    for x, y in np.rint(POINTS).astype(int):
        face[y - 4:y + 5, x - 4:x + 5] = 255
    photo = np.zeros((200, 200, 3), np.uint8)
    there = target(64, 50, 40)
    paste_detail(photo, face, POINTS, there)
    for x, y in np.rint(there).astype(int):
        assert photo[y, x].min() > 200
    assert photo[100 - 60:100, 50:114].mean() < 60


def test_no_strength_leaves_the_photograph_as_it_was() -> None:
    photo = a_photo()
    pasted = photo.copy()
    paste_detail(pasted, np.full((128, 128, 3), 50, np.float32), POINTS, target(30, 20, 15), strength=0.0)
    assert (pasted == photo).all()


def test_a_face_that_adds_nothing_leaves_the_photograph_as_sharp_as_it_was() -> None:
    pasted = a_photo()
    paste_detail(pasted, np.zeros((128, 128, 3), np.float32), POINTS, target(30, 20, 15, 0.3))
    assert (pasted == a_photo()).all()


def test_the_detail_is_added_to_the_photograph_before_other_faces_and_networks_changed_it() -> None:
    photo, changed = a_photo(), np.zeros((60, 80, 3), np.uint8)
    paste_detail(changed, np.zeros((128, 128, 3), np.float32), POINTS, target(30, 20, 15), plain=lambda *at: photo[at])
    assert (changed[25:35, 30:40] == photo[25:35, 30:40]).all() and not changed[:15].any()


@given(height=st.floats(5, 200), left=st.floats(-150, 150), top=st.floats(-150, 150), angle=st.floats(-3.2, 3.2))
def test_a_face_at_the_border_or_outside_does_no_harm(height: float, left: float, top: float, angle: float) -> None:
    photo = np.zeros((40, 50, 3), np.uint8)
    region = paste_detail(photo, np.full((128, 128, 3), 255, np.float32), POINTS, target(height, left, top, angle))
    assert region is not None or photo.max() == 0
    if region:
        photo[region] = 0
        assert photo.max() == 0  # nothing outside the region that it names


def test_colours_come_from_the_photograph_and_details_from_the_face() -> None:
    rows = np.arange(128)
    stripes = np.where(rows % 4 < 2, 20, -20)[:, None, None]
    face = np.clip(90 + stripes, 0, 255).astype(np.uint8).repeat(128, 1).repeat(3, 2)
    like = np.full((128, 128, 3), (120, 110, 140), np.uint8)
    moved = same_colours(face, like, sigma=8)
    assert moved[32:96].mean((0, 1)) == pytest.approx([120, 110, 140], abs=0.5)
    assert moved[32:96].std(axis=0).mean() == pytest.approx(20, abs=1)
    assert (same_colours(face, face, sigma=8) == face).all()

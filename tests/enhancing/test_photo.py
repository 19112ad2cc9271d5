import numpy as np
import pytest
import torch

from cface_basicsr.data.images.align import template_points
from cface_basicsr.enhancing.photo import PhotoSettings, enhance_photo
from cface_basicsr.errors import UserError
from cface_basicsr.ops.resize import bicubic_resize


def at(height: float, left: float, top: float) -> np.ndarray:
    """A row of a detector for an upright face in a square of `height` pixels."""
    points = template_points('arcface', 128) * height / 128 + [left, top]
    return np.concatenate([[left, top, left + height, top + height, 0.99], points.ravel()]).astype(np.float32)


def detector_of(*faces: np.ndarray):
    """Finds these faces in the photograph as it is, and none in copies of other sizes."""
    def detect(picture: np.ndarray, sure: float) -> np.ndarray:
        return np.stack(faces) if picture.shape[:2] == (90, 120) else np.zeros((0, 15), np.float32)
    return detect


def network(images: torch.Tensor) -> torch.Tensor:
    """Bicubic, and brighter, so that one sees where it was."""
    return bicubic_resize(images, (128, 128)) + 0.2


PHOTO = np.random.default_rng(1).integers(60, 120, (90, 120, 3)).astype(np.uint8)
PLAIN = PhotoSettings(keep_colours=False)


def test_faces_become_brighter_and_everything_else_stays() -> None:
    faces = at(20, 10, 10), at(22, 70, 40)
    result = enhance_photo(PHOTO, network, 8, PLAIN, detector_of(*faces))
    difference = result.image.astype(int) - PHOTO
    assert [round(face.found.height) for face in result.faces] == [20, 22]
    for left, top, height in ((10, 10, 20), (70, 40, 22)):
        middle = difference[top + height // 2 - 3:top + height // 2 + 3, left + height // 2 - 3:left + height // 2 + 3]
        assert 40 < middle.mean() < 62  # 0.2 * 255
    outside = np.ones((90, 120), bool)
    outside[10:30, 10:30] = outside[40:62, 70:92] = False
    assert (difference[outside] == 0).all()


def test_with_the_photographs_colours_a_brighter_face_is_as_bright_as_before() -> None:
    result = enhance_photo(PHOTO, network, 8, None, detector_of(at(20, 10, 10)))
    assert result.image[13:27, 13:27].mean() == pytest.approx(PHOTO[13:27, 13:27].mean(), abs=3)


def test_faces_that_are_too_small_or_too_large_are_named_and_skipped() -> None:
    result = enhance_photo(PHOTO, network, 8, PhotoSettings(min_face=15, max_face=40),
                           detector_of(at(12, 5, 5), at(60, 40, 20)))
    assert (result.image == PHOTO).all()
    assert [face.skipped for face in result.faces] == ['12 pixels high, below --min-face 15',
                                                          '60 pixels high, above --max-face 40']


def test_a_face_that_the_network_would_shrink_is_skipped_and_another_network_advised() -> None:
    result = enhance_photo(PHOTO, network, 8, None, detector_of(at(23, 5, 5), at(24, 60, 20)))
    assert [bool(face.sr is not None) for face in result.faces] == [True, False]
    assert result.faces[1].skipped == ('24 pixels high: a network for x8 would shrink it to 16 pixels and lose '
                                          'details; use one for x4 or x2')


def test_a_photograph_without_faces_is_unchanged() -> None:
    nothing = lambda picture, sure: np.zeros((0, 15), np.float32)  # noqa: E731
    result = enhance_photo(PHOTO, network, 8, None, nothing)
    assert (result.image == PHOTO).all() and result.faces == ()


def test_an_enlarged_photograph_has_its_faces_in_their_places() -> None:
    result = enhance_photo(PHOTO, network, 8, PhotoSettings(keep_colours=False, upscale=3), detector_of(at(20, 10, 10)))
    assert result.image.shape == (270, 360, 3)
    plain = enhance_photo(PHOTO, network, 8, PhotoSettings(upscale=3), lambda *any: np.zeros((0, 15), np.float32)).image
    difference = result.image.astype(int) - plain
    assert 35 < difference[55:65, 55:65].mean() < 65
    assert (difference[100:] == 0).all() and (difference[:, 100:] == 0).all()


def test_sixteen_bits_stay_sixteen_bits() -> None:
    deep = PHOTO.astype(np.uint16) * 257
    result = enhance_photo(deep, network, 8, PLAIN, detector_of(at(20, 10, 10)))
    eight = enhance_photo(PHOTO, network, 8, PLAIN, detector_of(at(20, 10, 10)))
    assert result.image.dtype == np.uint16
    assert np.abs(result.image / 257 - eight.image).max() <= 0.51
    assert (result.image[40:] == deep[40:]).all()


def test_heights_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(UserError, match=r'expected 0 < --min-face <= --max-face, got 50 and 40'):
        PhotoSettings(min_face=50, max_face=40)

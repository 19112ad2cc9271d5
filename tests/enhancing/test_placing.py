"""Where landmarks go: the chip of dlib by its own arithmetic, the middle of photographs by what the detector finds."""

import numpy as np
import pytest
import torch

from cface_basicsr.data.generated_faces.render import render_photo
from cface_basicsr.data.images.align import similarity_transform, template_points
from cface_basicsr.data.images.face_crop import center_crop
from cface_basicsr.enhancing.detector import load_shipped_detector
from cface_basicsr.enhancing.placing import face_points, square_side, to_usual
from cface_basicsr.ops.recognizer_input import dlib_chip
from tests.small_data import smooth_images


@pytest.mark.parametrize('size', [150, 64])
def test_the_landmarks_of_a_dlib_face_are_where_the_chip_of_an_arcface_face_has_them(size: int) -> None:
    """A chip of two ramps says for each of its pixels where in the face it comes from."""
    rows, columns = np.meshgrid(np.arange(128.0), np.arange(128.0), indexing='ij')
    ramps = torch.from_numpy(np.stack([columns, rows, rows]))[None]
    chip = dlib_chip(ramps, size, size)[0].numpy()
    for (x, y), expected in zip(face_points('dlib', size), template_points('arcface', 128), strict=True):
        if max(x, y) < size - 2:  # the corners of the mouth are near the lower edge
            assert chip[:2, round(y), round(x)] + (np.array([x, y]) - np.round([x, y])) * 128 * 99.685 / 112 / size \
                == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize('template', ['arcface', 'sphereface', 'dlib', 'center'])
def test_a_template_is_the_same_face_at_every_size(template: str) -> None:
    large, small = face_points(template, 128), face_points(template, 16)
    assert (large + 0.5) / 128 == pytest.approx((small + 0.5) / 16)
    assert square_side(large * 3 + 7, template) == pytest.approx(3 * 128)


def test_the_square_around_a_face_is_as_large_as_its_template_makes_it() -> None:
    """dlib's chip is 99.685 of the 112 pixels of ArcFace's."""
    landmarks = face_points('arcface', 40) + [100, 50]
    assert square_side(landmarks) == pytest.approx(40)
    assert square_side(landmarks, 'dlib') == pytest.approx(40 * 99.685 / 112)


def test_in_the_middle_of_photographs_the_detector_finds_landmarks_where_center_has_them() -> None:
    """Synthetic faces have higher noses than people."""
    detect = load_shipped_detector()
    found = np.mean([detect(np.ascontiguousarray(center_crop(render_photo(identity, 0), 128)), 0.5)[0, 5:]
                     for identity in range(12)], axis=0).reshape(5, 2)
    apart = np.linalg.norm(found - face_points('center', 128), axis=1)
    assert apart[:2].max() < 2 and apart.max() < 8
    assert (apart < 0.5 * np.linalg.norm(found - face_points('arcface', 128), axis=1)).all()


def test_faces_of_another_template_are_moved_to_the_places_that_a_judge_expects() -> None:
    faces = smooth_images(2, seed=0)
    assert to_usual(faces, 'sphereface') is faces
    moved = to_usual(faces, 'center')
    assert moved.shape == faces.shape and moved.dtype == np.uint8
    there = similarity_transform(face_points('center', 128), face_points('arcface', 128))
    for x, y in face_points('center', 128).round().astype(int):
        u, v = (there @ [x, y, 1]).round().astype(int)
        assert np.abs(faces[0, y, x].astype(int) - moved[0, v, u]).max() < 15
        assert np.abs([u, v] - face_points('arcface', 128)).min(0).max() < 6

"""Drawn scenes with no face, one and thirty, with faces at the border, and held in every way by the camera."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
from cface_basicsr.data.images.align import template_points
from cface_basicsr.enhancing.photo import EnhancedFace, EnhancedPhoto, FaceNetwork, enhance_photos
from cface_basicsr.enhancing.photo_file import read_photo
from cface_basicsr.ops.resize import bicubic_resize
from performance.landmarks import seen_faces

HEIGHT = 24
"""Of the faces, in pixels."""


@pytest.fixture(scope='module')
def people(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Six drawn photographs, reduced so that the face of each is `HEIGHT` pixels high."""
    folder = tmp_path_factory.mktemp('drawn')
    write_synthetic_faces(folder, TreeSettings(identities=6, images=1))
    sides = [(photo, round(250 * HEIGHT / (row[3] - row[1]))) for photo, row in seen_faces(folder)]
    return [cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA) for photo, side in sides]


def a_scene(width: int, height: int) -> np.ndarray:
    """Soft colours, uint8 (height, width, 3)."""
    colours = np.random.default_rng(0).integers(60, 200, (5, 7, 3)).astype(np.uint8)
    return cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)


def put(scene: np.ndarray, person: np.ndarray, left: int, top: int) -> None:
    """A person in a scene, in place; what would lie outside is cut off."""
    whole = np.pad(scene, ((99, 99), (99, 99), (0, 0)))
    whole[99 + top:99 + top + len(person), 99 + left:99 + left + len(person)] = person
    scene[:] = whole[99:-99, 99:-99]


def sharper(images: np.ndarray) -> np.ndarray:
    """A network that changes every pixel that it may."""
    faces = bicubic_resize(images, (128, 128))
    return 3 * (faces - faces.mean((2, 3), keepdim=True)) + faces.mean((2, 3), keepdim=True)


def enhanced(scene: np.ndarray, network: FaceNetwork = sharper) -> EnhancedPhoto:
    ((_, done),) = enhance_photos([('the scene', scene)], {4: network})
    return done


def square_of(face: EnhancedFace, points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of the photograph as pixels of the face's 128x128: by least squares, from its landmarks."""
    x, y = face.found.landmarks.T
    ones, zeros = np.ones(5), np.zeros(5)
    left = np.concatenate([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)])
    a, b, right, down = np.linalg.lstsq(left, template_points('arcface', 128).T.ravel(), rcond=None)[0]
    return points @ np.array([[a, b], [-b, a]]) + [right, down]


def changed_only_in_squares(scene: np.ndarray, done: EnhancedPhoto) -> np.ndarray:
    """How many pixels of each face's square have changed; every other one is as it was."""
    points = np.argwhere((done.image != scene).any(-1))[:, ::-1]
    within = np.stack([((square := square_of(face, points)) > -0.5).all(1) & (square < 127.5).all(1)
                       for face in done.faces])
    assert within.any(0).all()
    return within.sum(1)


def test_a_scene_without_a_face_comes_back_byte_for_byte() -> None:
    scene = a_scene(320, 240)
    done = enhanced(scene)
    assert done.faces == () and done.image.tobytes() == scene.tobytes()


@pytest.mark.parametrize('count', [1, 30])
def test_every_face_of_a_scene_is_enhanced_and_every_byte_outside_its_square_stays(people: list[np.ndarray],
                                                                                  count: int) -> None:
    scene = a_scene(480, 400)
    for number in range(count):
        put(scene, people[number % len(people)], 5 + 80 * (number % 6), 5 + 80 * (number // 6))
    done = enhanced(scene)
    assert len(done.faces) == count and all(face.enhanced for face in done.faces)
    assert changed_only_in_squares(scene, done).min() > HEIGHT ** 2 / 3


def test_faces_that_the_border_cuts_are_enhanced_up_to_it(people: list[np.ndarray]) -> None:
    """Of a photograph of about 55 pixels the face is in the middle: a fifth or a quarter of it is cut off."""
    scene, side = a_scene(300, 260), len(people[0])
    places = [(-side // 3, 100), (300 - 2 * side // 3, 100), (120, -side // 3), (120, 260 - 2 * side // 3)]
    for person, (left, top) in zip(people, places, strict=False):
        put(scene, person, left, top)
    done = enhanced(scene)
    assert len(done.faces) == 4 and all(face.enhanced for face in done.faces)
    assert changed_only_in_squares(scene, done).min() > HEIGHT ** 2 / 4
    changed = (done.image != scene).any(-1)
    assert all(edge.any() for edge in (changed[:, 0], changed[:, -1], changed[0], changed[-1]))


@pytest.mark.parametrize('ending', ['png', 'jpg'])
@pytest.mark.parametrize(('orientation', 'turns'), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_a_photograph_that_the_camera_stored_turned_is_enhanced_as_the_upright_one(
        people: list[np.ndarray], tmp_path: Path, orientation: int, turns: int, ending: str) -> None:
    """Upright, and stored at 90, 180 and 270 degrees with the EXIF orientation that says so."""
    scene, exif = a_scene(200, 160), Image.Exif()
    put(scene, people[0], 20, 30)
    put(scene, people[1], 120, 60)
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(np.rot90(scene, turns))).save(
        tmp_path / f'turned.{ending}', exif=exif, **({'quality': 100, 'subsampling': 0} if ending == 'jpg' else {}))
    photo = read_photo(tmp_path / f'turned.{ending}').pixels
    assert np.abs(photo.astype(int) - scene).max() <= (0 if ending == 'png' else 8)
    done, upright = enhanced(photo), enhanced(scene)
    assert len(done.faces) == len(upright.faces) == 2
    for face, other in zip(done.faces, upright.faces, strict=True):
        assert np.abs(face.found.landmarks - other.found.landmarks).max() < 1
    changed_only_in_squares(photo, done)

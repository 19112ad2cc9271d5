"""How exact the landmarks and boxes of small faces are: synthetic faces of a known size in a scene, found again.

The truth is what the detector sees in each photograph at its own size, 250x250, in which faces are 97 to 115 pixels
high: no other rule says which part of a face a box holds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from performance.faces_on_disk import photos, temporary_folder
from performance.measure import Finding

HEIGHTS = (16, 24, 40)
Seen = tuple[np.ndarray, np.ndarray]
"""A photograph, uint8 (250, 250, 3) RGB, and the detector's row (15,) for its face."""
Found = Sequence[tuple[np.ndarray, np.ndarray]]
"""Box (4,) and landmarks (5, 2) of each face that was found."""


class Scene(NamedTuple):
    """A picture with faces, and where they are.

    Attributes:
        picture: uint8 (H, W, 3) RGB.
        landmarks: (5, 2) of each face.
        boxes: (4,) left, top, right, bottom of each face.
    """

    picture: np.ndarray
    landmarks: list[np.ndarray]
    boxes: list[np.ndarray]


def run(*, identities: int = 8, heights: Sequence[int] = HEIGHTS) -> list[Finding]:
    """Measure.

    Args:
        identities: synthetic people, one photograph each.
        heights: of the faces in the scene, in pixels.
    """
    with temporary_folder() as folder:
        seen = seen_faces(photos(folder, identities, 1))
    return [finding for height in heights for finding in _findings(a_scene(seen, height), height)]


def seen_faces(folder: Path) -> list[Seen]:
    """The photographs of a folder, and what the detector sees in each."""
    from cface_basicsr.enhancing.detector import load_shipped_detector
    detect = load_shipped_detector()
    faces = [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob('*/*.jpg'))]
    return [(face, detect(face, 0.5)[0]) for face in faces]


def a_scene(seen: Sequence[Seen], height: int) -> Scene:
    """The faces at this height in front of soft colours."""
    rows = -(-len(seen) // 2)
    noise = np.random.default_rng(0).integers(60, 200, (10, 14, 3)).astype(np.uint8)
    scene = cv2.resize(noise, (560, 20 + 190 * rows), interpolation=cv2.INTER_CUBIC)
    places = []
    for number, (photo, row) in enumerate(seen):
        side = round(250 * height / (row[3] - row[1]))
        left, top = 40 + 260 * (number % 2), 40 + 190 * (number // 2)
        scene[top:top + side, left:left + side] = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        points = np.concatenate([row[:4], row[5:]]).astype(float).reshape(7, 2)
        places.append((points + 0.5) * side / 250 - 0.5 + [left, top])
    return Scene(scene, [place[2:] for place in places], [place[:2].ravel() for place in places])


def errors(found: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) mean distance of each face's landmarks to the nearest face that was found, in shares of its eye distance."""
    return np.array([min(np.linalg.norm(other - true, axis=1).mean() for other in found)
                     / np.linalg.norm(true[0] - true[1]) for true in landmarks])


def box_errors(found: Found, scene: Scene) -> np.ndarray:
    """(N, 5) how far left, top, right, bottom and centre of each box are off, in shares of the eye distance.

    Args:
        found: a face of the scene is the one of these with the nearest landmarks.
    """
    rows = []
    for box, true in zip(scene.boxes, scene.landmarks, strict=True):
        nearest = min(found, key=lambda each: np.linalg.norm(each[1] - true, axis=1).mean())[0]
        off = (nearest - box) / np.linalg.norm(true[0] - true[1])
        rows.append([*abs(off), np.linalg.norm(off[:2] + off[2:]) / 2])
    return np.array(rows)


def _findings(scene: Scene, height: int) -> list[Finding]:
    """Landmarks and boxes of the product against those of the detector on a doubled copy."""
    from cface_basicsr.enhancing.detector import detect_faces, load_shipped_detector
    doubled = cv2.resize(scene.picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    points = [(row[[*range(4), *range(5, 15)]].reshape(7, 2) + 0.5) / 2 - 0.5
              for row in load_shipped_detector()(doubled, 0.8)]
    once = [(each[:2].ravel(), each[2:]) for each in points]
    found = [(face.box, face.landmarks) for face in detect_faces(scene.picture)]
    return [_of_landmarks(found, once, scene, height), _of_boxes(found, once, scene, height)]


def _of_landmarks(found: Found, once: Found, scene: Scene, height: int) -> Finding:
    ours, other = (errors([points for _, points in faces], scene.landmarks) for faces in (found, once))
    pixel = 100 * float(errors([true.round() for true in scene.landmarks], scene.landmarks).mean())
    what = f'landmarks of synthetic faces, {height} pixels high: error in shares of the eye distance'
    return Finding(f'landmarks_{height}', what, _text(ours), f'the detector on a doubled copy: {_text(other)}',
                   100 * float(ours.mean()), '%', 12, limit=f'the nearest whole pixels: {pixel:.1f} %',
                   of_limit=100 * float(ours.mean()) / pixel)


def _of_boxes(found: Found, once: Found, scene: Scene, height: int) -> Finding:
    ours, other = (box_errors(faces, scene) for faces in (found, once))
    rounded = [(box.round(), points) for box, points in zip(scene.boxes, scene.landmarks, strict=True)]
    pixel, mean = (100 * float(off[:, :4].mean()) for off in (box_errors(rounded, scene), ours))
    what = f'boxes of synthetic faces, {height} pixels high: error of a side in shares of the eye distance'
    return Finding(f'boxes_{height}', what, _text_of_boxes(ours),
                   f'the detector on a doubled copy: {_text_of_boxes(other)}', mean, '%', 12,
                   limit=f'the nearest whole pixels: {pixel:.1f} %', of_limit=mean / pixel)


def _text_of_boxes(off: np.ndarray) -> str:
    """How exactly the sides and centres of those that were found are known; see `_text`."""
    found = 100 * off[off[:, 4] < 0.5]
    sides, centres = found[:, :4], found[:, 4]
    return (f'sides {sides.mean():.1f} % on average, {sides.max():.0f} % at most; centres {centres.mean():.1f} %, '
            f'{centres.max():.0f} % at most')


def _text(off: np.ndarray) -> str:
    """How many were found, and how exactly; the nearest face of one that was not is another's."""
    found = 100 * off[off < 0.5]
    return f'{len(found)} of {len(off)} found, {found.mean():.1f} % on average, {found.max():.1f} % at most'

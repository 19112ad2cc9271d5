"""How exact the landmarks of small faces are: synthetic faces of a known size in a scene, found and looked at again.

The truth is what the detector sees in each photograph at its own size, 250x250.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from performance.faces_on_disk import photos, temporary_folder
from performance.measure import Finding

HEIGHTS = (16, 24, 40)
Seen = tuple[np.ndarray, np.ndarray]
"""A photograph, uint8 (250, 250, 3) RGB, and the detector's row (15,) for its face."""


def run(*, identities: int = 8, heights: Sequence[int] = HEIGHTS) -> list[Finding]:
    """Measure.

    Args:
        identities: synthetic people, one photograph each.
        heights: of the faces in the scene, in pixels.
    """
    with temporary_folder() as folder:
        seen = seen_faces(photos(folder, identities, 1))
    return [_finding(*a_scene(seen, height), height) for height in heights]


def seen_faces(folder: Path) -> list[Seen]:
    """The photographs of a folder, and what the detector sees in each."""
    from cface_basicsr.enhancing.detector import load_shipped_detector
    detect = load_shipped_detector()
    faces = [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob('*/*.jpg'))]
    return [(face, detect(face, 0.5)[0]) for face in faces]


def a_scene(seen: Sequence[Seen], height: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The faces at this height in front of soft colours, and their true landmarks, (5, 2) each."""
    rows = -(-len(seen) // 2)
    noise = np.random.default_rng(0).integers(60, 200, (10, 14, 3)).astype(np.uint8)
    scene = cv2.resize(noise, (560, 20 + 190 * rows), interpolation=cv2.INTER_CUBIC)
    landmarks = []
    for number, (photo, row) in enumerate(seen):
        side = round(250 * height / (row[3] - row[1]))
        left, top = 40 + 260 * (number % 2), 40 + 190 * (number // 2)
        scene[top:top + side, left:left + side] = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
        landmarks.append((row[5:].reshape(5, 2) + 0.5) * side / 250 - 0.5 + [left, top])
    return scene, landmarks


def errors(found: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) mean distance of each face's landmarks to the nearest face that was found, in shares of its eye distance."""
    return np.array([min(np.linalg.norm(other - true, axis=1).mean() for other in found)
                     / np.linalg.norm(true[0] - true[1]) for true in landmarks])


def _finding(scene: np.ndarray, landmarks: list[np.ndarray], height: int) -> Finding:
    """Landmarks of the product against those of the detector on a doubled copy."""
    from cface_basicsr.enhancing.detector import detect_faces, load_shipped_detector
    doubled = cv2.resize(scene, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    once = [(row[5:].reshape(5, 2) + 0.5) / 2 - 0.5 for row in load_shipped_detector()(doubled, 0.8)]
    ours, other = (errors(found, landmarks) for found in ([face.landmarks for face in detect_faces(scene)], once))
    pixel = 100 * float(errors([true.round() for true in landmarks], landmarks).mean())
    what = f'landmarks of synthetic faces, {height} pixels high: error in shares of the eye distance'
    return Finding(f'landmarks_{height}', what, _text(ours), f'the detector on a doubled copy: {_text(other)}',
                   100 * float(ours.mean()), '%', 12, limit=f'the nearest whole pixels: {pixel:.1f} %',
                   of_limit=100 * float(ours.mean()) / pixel)


def _text(off: np.ndarray) -> str:
    """How many were found, and how exactly; the nearest face of one that was not is another's."""
    found = 100 * off[off < 0.5]
    return f'{len(found)} of {len(off)} found, {found.mean():.1f} % on average, {found.max():.1f} % at most'

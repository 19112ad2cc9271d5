"""Faces in a photograph, down to ten pixels: a detector looks at enlarged and reduced copies of it, tile by tile.

RetinaFace finds hardly any face of 16 pixels, and nearly all of them in a copy of twice the size. A copy of a large
photograph would not fit into memory, so each copy is cut into tiles that overlap by more than the largest face that is
looked for in it, and of an enlarged one only the tile is made.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cface_basicsr.data.images.align import SHIPPED_DETECTOR, load_detector
from cface_basicsr.enhancing.enlarging import enlarged_part
from cface_basicsr.enhancing.request import check_scales
from cface_basicsr.errors import UserError

Photo = NDArray[np.uint8]
Detect = Callable[[Photo, float], NDArray[np.float32]]
"""uint8 (H, W, 3) RGB and the least score -> (N, 15): box (x1, y1, x2, y2), score, five landmarks (x, y), in pixels."""
SURE = 0.8
"""Least score of a face."""
_TILE, _OVERLAP = 1024, 256
"""Side of a tile and what neighbours share, in pixels of a copy."""
_SMALL_PHOTO = 500_000
"""Pixels; below this the photograph is also looked at in four times its size."""
_CLOSE = 96.0
"""Height in pixels at which the landmarks of a face are found."""
SAME_FACE = 0.4
"""Two boxes that share more than this of their union show one face."""


@dataclass(frozen=True)
class DetectedFace:
    """A face in a photograph, in its pixels; pixel centres are integers.

    Attributes:
        box: (4,) left, top, right, bottom.
        score: of the detector, 0 to 1.
        landmarks: (5, 2) x, y: eyes, nose tip, corners of the mouth.
    """

    box: NDArray[np.float64]
    score: float
    landmarks: NDArray[np.float64]

    @property
    def height(self) -> float:
        """Of the box."""
        return float(self.box[3] - self.box[1])


def detect_faces(photo: Photo, detect: Detect | None = None, scales: Sequence[float] | None = None,
                 sure: float = SURE, progress: Callable[[int, int], None] = lambda seen, tiles: None
                 ) -> list[DetectedFace]:
    """All faces of a photograph, from the left to the right.

    Args:
        photo: uint8 (H, W, 3) RGB.
        detect: finds the faces of one picture; None: the shipped RetinaFace.
        scales: sizes of the copies, relative to the photograph; None: `detection_scales`.
        sure: least score of a face.
        progress: is told how many tiles have been searched, from 0, and how many there are.

    Raises:
        UserError: a size is neither a share below 1 nor a whole number up to 8.
    """
    check_scales(scales)
    scales = scales or detection_scales(*photo.shape[:2])
    detect = detect or load_shipped_detector()
    found, tiles = [], sum(len(_corners(_size(photo, scale))) for scale in scales)
    progress(0, tiles)
    for seen, (scale, left, top, tile) in enumerate(_tiles(photo, scales), 1):
        found += [_mapped(row, scale, left, top) for row in detect(tile, sure)]
        progress(seen, tiles)
    faces = [_looked_at_closely(photo, face, detect) for face in _merged(found)]
    return sorted(faces, key=lambda face: (face.box[0], face.box[1]))


def detection_scales(height: int, width: int) -> list[float]:
    """The copies that are worth a look: the photograph in one piece, as it is, doubled, and a small one four times.

    >>> detection_scales(480, 640), detection_scales(600, 1000)
    ([1.0, 2.0, 4.0], [1.0, 2.0])
    """
    whole = [_TILE / max(height, width)] if max(height, width) > _TILE else []
    return [*whole, 1.0, 2.0, *([4.0] if height * width < _SMALL_PHOTO else [])]


@functools.cache
def load_shipped_detector() -> Detect:
    """RetinaFace on the CPU, with the weights that come with the package."""
    network = load_detector(SHIPPED_DETECTOR)

    @torch.inference_mode()
    def detect(picture: Photo, sure: float) -> NDArray[np.float32]:
        return network.detect_faces(np.ascontiguousarray(picture[..., ::-1]), conf_threshold=sure)
    return detect


def strongest(photo: Photo, detect: Detect | None = None, scales: Sequence[float] | None = None) -> float:
    """The score of the most likely face in a photograph, even one below `SURE`; 0.0 without any candidate."""
    return max((face.score for face in detect_faces(photo, detect, scales, sure=0.02)), default=0.0)


def no_face(photo: Photo, path: str | Path, scales: Sequence[float] | None = None) -> UserError:
    """What is said of a photograph in which `detect_faces` finds none: the score of the strongest candidate."""
    return UserError(f"'{path}' shows no face: the strongest candidate has a score of "
                     f'{strongest(photo, scales=scales):.2f}, and {SURE:g} is asked for.')


def _size(photo: Photo, scale: float) -> tuple[int, int]:
    """Width and height of a copy."""
    return max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))


def _resized(photo: Photo, scale: float) -> Photo:
    if scale == 1:
        return photo
    return cv2.resize(photo, _size(photo, scale), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _tiles(photo: Photo, scales: Sequence[float]) -> Iterator[tuple[float, int, int, Photo]]:
    """(scale, left, top, tile) of overlapping tiles that cover each copy; a small copy is its only tile."""
    for scale in scales:
        width, height = _size(photo, scale)
        copy = _resized(photo, scale) if scale <= 1 else None
        for left, top in _corners((width, height)):
            place = slice(top, min(top + _TILE, height)), slice(left, min(left + _TILE, width))
            yield scale, left, top, enlarged_part(photo, int(scale), *place) if copy is None else copy[place]


def _corners(size: tuple[int, int]) -> list[tuple[int, int]]:
    """(left, top) of the tiles of a copy of this width and height."""
    return [(left, top) for top in _starts(size[1]) for left in _starts(size[0])]


def _starts(length: int) -> list[int]:
    """Where tiles begin along a side of this length: evenly, at least `_OVERLAP` shared.

    >>> _starts(1024), _starts(1100), _starts(3000)
    ([0], [0, 76], [0, 659, 1317, 1976])
    """
    count = 1 + max(0, -(-(length - _TILE) // (_TILE - _OVERLAP)))
    return [0] if count == 1 else [round(number * (length - _TILE) / (count - 1)) for number in range(count)]


def _mapped(row: NDArray[np.float32], scale: float, left: float, top: float) -> DetectedFace:
    """A row of the detector on a tile as a face of the photograph; the tile's corner is in pixels of the copy."""
    points = np.concatenate([row[:4], row[5:]]).astype(np.float64).reshape(-1, 2)
    points = (points + [left, top] + 0.5) / scale - 0.5
    return DetectedFace(points[:2].reshape(4), float(row[4]), points[2:])


def _merged(found: list[DetectedFace]) -> list[DetectedFace]:
    """The surest face of each group of boxes that overlap."""
    kept: list[DetectedFace] = []
    for face in sorted(found, key=lambda each: -each.score):
        if all(box_overlap(other.box, face.box) <= SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _looked_at_closely(photo: Photo, face: DetectedFace, detect: Detect) -> DetectedFace:
    """The same face with the landmarks that are seen where it is `_CLOSE` pixels high."""
    scale = _CLOSE / face.height
    middle, half = (face.box[:2] + face.box[2:]) / 2, 1.5 * face.height
    left, top = np.maximum(np.floor(middle - half).astype(int), 0)
    right, bottom = np.ceil(middle + half).astype(int) + 1
    part = _resized(photo[top:bottom, left:right], scale)
    seen = [_mapped(row, scale, left * scale, top * scale) for row in detect(part, SURE / 2)]
    same = [other for other in seen if box_overlap(other.box, face.box) > SAME_FACE]
    landmarks = max(same, key=lambda other: other.score, default=face).landmarks
    return DetectedFace(face.box, face.score, landmarks)


def box_overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes; 1 where one lies within the other by nine tenths of its area."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (a, b)]
    if shared >= 0.9 * min(areas):
        return 1.0
    return shared / (sum(areas) - shared)

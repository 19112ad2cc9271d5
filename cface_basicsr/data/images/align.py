"""Faces aligned to a recognizer's template by five landmarks and a similarity transform, or cropped to a box.

The landmarks come with the photograph or from RetinaFace, whose smaller network comes with the package.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from cface_basicsr.data.images.face_crop import Rejected, Size, both_sides
from cface_basicsr.errors import UserError, check_known
from cface_basicsr.files.network_file import as_state_dict, read_network_file

DETECTORS = {'detection_mobilenet0.25_Final.pth': 'mobile0.25', 'detection_Resnet50_Final.pth': 'resnet50'}
"""Weights files that facexlib knows, the faster one first, and its names for them."""
SHIPPED_DETECTOR = Path(__file__).with_name('retinaface_mobile025.safetensors')
"""The faster one; its card lies next to it."""

# Eyes, nose tip, corners of the mouth as (x, y) in a 112x96 crop (height x width); SphereFace's preprocessing.
_SPHEREFACE = np.array([[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655],
                        [62.7299, 92.2041]])
ALIGNMENTS = {'sphereface': (_SPHEREFACE, 96, 112), 'arcface': (_SPHEREFACE + [8, 0], 112, 112)}
"""Points, width, height. ArcFace's 112x112 template is SphereFace's with 8 more columns on each side, so both give
the same square HR face; a 112x96 recognizer is then fed its middle columns (`ops.recognizer_input`)."""


def template_points(template: str, size: Size) -> np.ndarray:
    """Where the five landmarks belong in a face.

    The template is scaled to the height of the face; its width only adds or removes columns on both sides. So 112x96
    gives SphereFace's template and 112x112 ArcFace's, under either name.

    Args:
        template: a key of `ALIGNMENTS`.
        size: side of the square face, or (height, width), in pixels.

    Returns:
        (5, 2) x, y in pixels; pixel centres are integers.

    Raises:
        UserError: the template is unknown.
    """
    check_known('template', template, ALIGNMENTS)
    points, template_width, template_height = ALIGNMENTS[template]
    height, width = both_sides(size)
    scale = height / template_height
    # With the half pixel, resizing the face to the recognizer's input puts the landmarks exactly on its template.
    return (points + 0.5) * scale - 0.5 + [(width - template_width * scale) / 2, 0]


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and translation that map one set of points to another (Umeyama 1991, in the plane).

    Args:
        source, target: (N, 2) points x, y.

    Returns:
        (2, 3) matrix M with [x', y'] = M [x, y, 1], the least-squares solution without reflection.
    """
    a = (source - source.mean(0)) @ [1, 1j]  # points as complex numbers: rotation and scale are one factor
    b = (target - target.mean(0)) @ [1, 1j]
    factor = np.vdot(a, b) / np.vdot(a, a).real
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])


def find_detector(folder: str | Path | None) -> Path:
    """The weights file of the face detector in a folder; None: the one that comes with the package.

    Raises:
        UserError: there is none.
    """
    found = [Path(folder, name) for name in DETECTORS if Path(folder, name).is_file()] if folder else [SHIPPED_DETECTOR]
    if not found:
        raise UserError(f"'{folder}' has no face detector. Expected {' or '.join(DETECTORS)} of facexlib v0.1.0, or no "
                        'folder: a detector comes with the package.')
    return found[0]


@functools.cache
def load_detector(file: Path) -> Any:
    """RetinaFace on the CPU, from the weights that `find_detector` gives.

    Raises:
        UserError: the file is damaged, or holds other weights.
    """
    from facexlib.detection.retinaface import RetinaFace
    content, name = read_network_file(file), DETECTORS.get(file.name, 'mobile0.25')
    network = RetinaFace(name, device=torch.device('cpu')).eval()
    try:
        network.load_state_dict(as_state_dict(content.get('params', content), f"face detector '{file}'"))
    except RuntimeError as error:
        raise UserError(f"'{file}' does not hold the weights of retinaface_{name}; expected facexlib's "
                        'file.') from error
    return network


@dataclass(frozen=True)
class Aligner:
    """Crops the main face of a photograph, aligned to a template.

    Attributes:
        detector: weights file, see `find_detector`.
        template: 'arcface' or 'sphereface'.
        size: of the face in pixels.
    """

    detector: Path
    template: str
    size: Size

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """uint8 (height, width, 3) RGB face of a uint8 (H, W, 3) RGB photograph.

        Raises:
            Rejected: no face was found.
        """
        landmarks = main_face(self.detect(photo), photo.shape[1], photo.shape[0])
        return warp_face(photo, landmarks, template_points(self.template, self.size), self.size)

    @torch.no_grad()
    def detect(self, photo: np.ndarray) -> np.ndarray:
        """The faces of a uint8 (H, W, 3) RGB photograph: (N, 15) box (x1, y1, x2, y2), score, five landmarks (x, y)."""
        bgr = np.ascontiguousarray(photo[:, :, ::-1])
        return load_detector(self.detector).detect_faces(bgr, conf_threshold=0.8)


def main_face(faces: np.ndarray, width: int, height: int) -> np.ndarray:
    """The landmarks (5, 2) of the face that the photograph is meant to show: large and near the middle.

    Args:
        faces: (N, 15) as from `Aligner.detect`.
        width, height: of the photograph in pixels.

    Raises:
        Rejected: it shows no face.
    """
    if not len(faces):
        raise Rejected('no face found')
    x1, y1, x2, y2 = faces[:, :4].T
    away = ((x1 + x2 - width) / 2) ** 2 + ((y1 + y2 - height) / 2) ** 2
    # A larger face of a bystander at the edge must lose: there, twice the squared distance is about a face's area.
    return faces[np.argmax((x2 - x1) * (y2 - y1) - 2 * away), 5:15].reshape(5, 2)


def warp_face(photo: np.ndarray, landmarks: np.ndarray, target: np.ndarray, size: Size) -> np.ndarray:
    """Crop a face so that its landmarks come to lie on the target points.

    Args:
        photo: uint8 or float32 (H, W, 3); beyond its borders it is reflected.
        landmarks, target: (N, 2) x, y in pixels of the photograph and of the face.
        size: of the face in pixels.

    Returns:
        (height, width, 3) of the same type.
    """
    matrix = similarity_transform(landmarks, target)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.75:  # cubic interpolation by itself would alias, so shrink by averaging first
        photo, landmarks = _shrink(photo, landmarks, scale)
        matrix = similarity_transform(landmarks, target)
    return cv2.warpAffine(photo, matrix, both_sides(size)[::-1], flags=cv2.INTER_CUBIC,
                          borderMode=cv2.BORDER_REFLECT_101)


def face_at(photo: np.ndarray, points: np.ndarray, template: str, size: Size) -> np.ndarray:
    """The face of a photograph that is told where it is.

    Args:
        photo: uint8 (H, W, 3).
        points: x, y in pixels: the five landmarks (5, 2), for a template; or the corners of a box (4, 2).
        template: a key of `ALIGNMENTS`, for landmarks.
        size: of the face in pixels.

    Returns:
        uint8 (height, width, 3).

    Raises:
        Rejected: the points cannot be those of a face in this photograph.
    """
    height, width = photo.shape[:2]
    if len(points) == 4:
        check_box(points, width, height)
        return warp_face(photo, points, frame_corners(size), size)
    check_landmarks(points, width, height)
    return warp_face(photo, points, template_points(template, size), size)


def points_outside(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """The points among (N, 2) that lie outside an image of width x height pixels."""
    inside = (points >= -0.5) & (points <= np.array([width, height]) - 0.5)
    return points[~inside.all(1)]


def check_landmarks(landmarks: np.ndarray, width: int, height: int) -> None:
    """Check five landmarks (5, 2) against the size of their image in pixels.

    Raises:
        Rejected: a landmark lies outside the image, or all five are in one place.
    """
    if len(outside := points_outside(landmarks, width, height)):
        raise Rejected(f'landmark ({outside[0, 0]:g}, {outside[0, 1]:g}) lies outside the {width}x{height} pixels')
    if np.ptp(landmarks, axis=0).max() < 1:
        raise Rejected('the five landmarks are all in one place')


def check_box(corners: np.ndarray, width: int, height: int) -> None:
    """Check the corners (4, 2) of a box against the size of its image in pixels.

    Raises:
        Rejected: the centre of the box lies outside the image.
    """
    if len(points_outside(corners.mean(0, keepdims=True), width, height)):
        raise Rejected(f'the box lies outside the {width}x{height} pixels')


def box_corners(box: tuple[float, float, float, float], size: Size) -> np.ndarray:
    """The smallest rectangle with the aspect ratio of a face that encloses a box and has the same centre.

    Args:
        box: left, top, width, height; pixels left .. left + width - 1 belong to it.
        size: of the face in pixels.

    Returns:
        (4, 2) x, y of its corners, in the order of `frame_corners`.
    """
    left, top, width, height = box
    rows, columns = both_sides(size)
    scale = max(width / columns, height / rows)
    centre = np.array([left + width / 2, top + height / 2]) - 0.5
    return centre + (frame_corners(size) - np.array([columns - 1, rows - 1]) / 2) * scale


def frame_corners(size: Size) -> np.ndarray:
    """(4, 2) x, y of the corners of a face, half a pixel outside the centres of its corner pixels."""
    rows, columns = both_sides(size)
    return np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]]) - 0.5


def _shrink(photo: np.ndarray, landmarks: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    height, width = photo.shape[:2]
    small = cv2.resize(photo, (max(round(width * scale), 1), max(round(height * scale), 1)),
                       interpolation=cv2.INTER_AREA)
    factor = np.array([small.shape[1] / width, small.shape[0] / height])
    return small, (landmarks + 0.5) * factor - 0.5

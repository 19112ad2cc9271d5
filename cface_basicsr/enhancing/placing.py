"""Where the landmarks of a face go: to the places that they had in the faces that a network was trained on."""

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.images.align import ALIGNMENTS, similarity_transform, template_points, warp_face
from cface_basicsr.data.images.face_images import FACE_SIZE
from cface_basicsr.ops.recognizer_input import DLIB_BOX
from cface_basicsr.ops.template import Template

USUAL: Template = 'arcface'
"""The template that is taken where nobody says which one a network was trained on."""
_ARCFACE_SIDE = 112
_CENTER = np.array([[42.4, 50.9], [84.6, 50.9], [63.5, 76.7], [45.5, 93.2], [81.5, 93.2]])
"""Landmarks in the middle 128 pixels of photographs of 250x250, as CASIA-WebFace and LFW have them. No face there is
moved to a template, so this is where RetinaFace finds them on average, left and right made equal, in 417 photographs
cut from CelebA in that manner (`python -m performance.center_landmarks FOLDER`); they spread by 5 to 9 pixels. The eyes
of synthetic faces are at the same places, their mouths 2 to 3 pixels higher."""


def face_points(template: Template, size: int) -> NDArray[np.float64]:
    """Where the five landmarks belong in a square face of `size` pixels: (5, 2) x, y; pixel centres are integers.

    >>> [face_points(template, 128)[0].round().tolist() for template in ('arcface', 'sphereface', 'dlib', 'center')]
    [[44.0, 59.0], [44.0, 59.0], [41.0, 39.0], [42.0, 51.0]]
    """
    if template in ALIGNMENTS:
        return template_points(template, size)
    if template == 'dlib':
        *corner, side = DLIB_BOX
        return (template_points(USUAL, _ARCFACE_SIDE) + 0.5 - corner) * size / side - 0.5
    return (_CENTER + 0.5) * size / FACE_SIZE - 0.5


def square_side(landmarks: NDArray[np.float64], template: Template = USUAL) -> float:
    """The side in pixels of a photograph of the square that is cut out around five landmarks (5, 2) of it."""
    linear = similarity_transform(face_points(template, FACE_SIZE), landmarks)[:, :2]
    return FACE_SIZE * float(np.hypot(linear[0, 0], linear[1, 0]))


def to_usual(faces: NDArray[np.uint8], template: Template) -> NDArray[np.uint8]:
    """Faces of a template in the places of ArcFace's, as a judge takes them: uint8 (N, 128, 128, 3) to the same."""
    points, usual = (face_points(each, FACE_SIZE) for each in (template, USUAL))
    if np.allclose(points, usual):
        return faces
    return np.stack([warp_face(face, points, usual, FACE_SIZE) for face in faces])

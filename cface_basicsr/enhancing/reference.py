"""Photos of a person, as aligned faces."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.images.align import warp_face
from cface_basicsr.data.images.face_images import FACE_SIZE, find_faces
from cface_basicsr.enhancing.detector import Detect, DetectedFace, detect_faces
from cface_basicsr.enhancing.evidence import AlignedFaces
from cface_basicsr.enhancing.photo import eight_bits
from cface_basicsr.enhancing.photo_file import PhotoFile, read_photo
from cface_basicsr.enhancing.placing import USUAL, face_points, square_side
from cface_basicsr.errors import UserError

_COPY = 1024
"""Longer side at most of the copy in which a face is looked for."""


def reference_faces(paths: Iterable[str | Path], detect: Detect | None = None) -> AlignedFaces:
    """The face of each photo of a person.

    Args:
        paths: photos and folders of them.
        detect: see `enhancing.detector.detect_faces`.

    Returns:
        uint8 (N, 128, 128, 3) RGB, aligned.

    Raises:
        UserError: a photo cannot be read, shows no face, a face that is smaller than 64 pixels, or several people. A
            face less than half as high as the largest one is a bystander.
    """
    return np.stack([reference_face(read_photo(file.path), detect) for file in find_faces(paths)])


def reference_face(photo: PhotoFile, detect: Detect | None = None) -> NDArray[np.uint8]:
    """The face of one photo, uint8 (128, 128, 3) RGB, aligned.

    Raises:
        UserError: see `reference_faces`.
    """
    pixels = eight_bits(photo.pixels)
    found = detect_faces(pixels, detect, [min(1.0, _COPY / max(pixels.shape))])
    landmarks = _only_one(found, photo.path).landmarks
    return warp_face(pixels, landmarks, face_points(USUAL, FACE_SIZE), FACE_SIZE)


def _only_one(found: list[DetectedFace], path: Path) -> DetectedFace:
    """The one person who is shown.

    Raises:
        UserError: see `reference_faces`.
    """
    what = f"'{path}' does not serve as a reference"
    if not found:
        raise UserError(f'{what}: it shows no face.')
    largest = max(found, key=lambda face: face.height)
    people = sum(2 * face.height >= largest.height for face in found)
    if people > 1:
        raise UserError(f'{what}: it shows {people} people. Cut the person out of it.')
    if square_side(largest.landmarks) < FACE_SIZE / 2:
        raise UserError(f'{what}: its face is {largest.height:.0f} pixels high; expected {FACE_SIZE // 2} or more.')
    return largest

"""`python -m performance.center_landmarks [FOLDER]`: where the landmarks of faces are that nobody has aligned.

In the middle 128 pixels of photographs, on average over those in which RetinaFace finds a face: synthetic ones, or the
images of a folder of photographs of 250x250 pixels, as CASIA-WebFace and LFW have them.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cface_basicsr.data.generated_faces.render import render_photo
from cface_basicsr.data.images.align import main_face, similarity_transform, template_points
from cface_basicsr.data.images.face_crop import center_crop
from cface_basicsr.data.images.face_images import FACE_SIZE, find_faces, read_face
from cface_basicsr.enhancing.detector import SURE, load_shipped_detector

MOST = 400


def landmarks(photos: Iterable[np.ndarray]) -> np.ndarray:
    """(N, 5, 2) x, y in the middle 128 pixels of each photograph with a face."""
    detect, found = load_shipped_detector(), []
    for photo in photos:
        middle = np.ascontiguousarray(center_crop(photo, FACE_SIZE))
        if len(faces := detect(middle, SURE)):
            found.append(main_face(faces, FACE_SIZE, FACE_SIZE))
    return np.array(found)


def main(words: list[str]) -> None:
    """Measure, and print."""
    if words:
        files = find_faces([Path(words[0])])
        photos = (read_face(file.path) for file in files[::max(1, len(files) // MOST)])
    else:
        photos = (render_photo(identity, 0) for identity in range(120))
    points = landmarks(photos)
    mean = points.mean(0)
    linear = similarity_transform(template_points('arcface', FACE_SIZE), mean)[:, :2]
    print(f'{len(points)} faces, {np.hypot(*linear[:, 0]):.3f} times as large as in the template of ArcFace')
    for name, place, spread in zip(('left eye', 'right eye', 'nose', 'left corner of the mouth', 'right corner'), mean,
                                   points.std(0), strict=True):
        print(f'{name}: {place[0]:.1f}, {place[1]:.1f} (deviation {spread[0]:.1f}, {spread[1]:.1f})')


if __name__ == '__main__':
    main(sys.argv[1:])

"""`python -m performance.photo_gain`: what the networks that are here gain in a photograph, by the height of its faces.

Synthetic faces in a scene that is reduced by four and enlarged again, by each network and by bicubic interpolation.
In brackets: faces that a network would have to shrink by more than is allowed, and so is not given.
"""

import tempfile
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
from cface_basicsr.data.images import face_images
from cface_basicsr.data.images.face_images import FACE_SIZE, MOST_SHRUNK
from cface_basicsr.enhancing.detector import DetectedFace, detect_faces
from cface_basicsr.enhancing.networks import open_enhancers
from cface_basicsr.enhancing.photo import EnhancedPhoto, FaceNetwork, Find, PhotoSettings, enhance_photos
from cface_basicsr.enhancing.placing import square_side
from performance.landmarks import Seen, seen_faces

FACTOR = 4


def a_row(seen: list[Seen], height: int) -> np.ndarray:
    """uint8 (H, W, 3): the faces at this height, one next to the other in front of soft colours."""
    sides = [round(250 * height / (row[3] - row[1])) for _, row in seen]
    noise = np.random.default_rng(0).integers(60, 200, (10, 14, 3)).astype(np.uint8)
    size = (sum(sides) + 40 * len(seen) + 40, max(sides) + 80)
    scene, left = cv2.resize(noise, [-(-each // FACTOR) * FACTOR for each in size], interpolation=cv2.INTER_CUBIC), 40
    for (picture, _), side in zip(seen, sides, strict=True):
        kind = cv2.INTER_AREA if side < 250 else cv2.INTER_CUBIC
        scene[40:40 + side, left:left + side] = cv2.resize(picture, (side, side), interpolation=kind)
        left += side + 40
    return scene


def gains(scene: np.ndarray, networks: dict[int, FaceNetwork], find: Find = detect_faces) -> list[float]:
    """PSNR in dB in the box of each face that was enhanced, above that of bicubic interpolation."""
    ours, bicubic = (_enhanced(_reduced(scene), networks, strength, find) for strength in (1.0, 0.0))
    boxes = [(FACTOR * face.found.box).round().astype(int).clip(0) for face in ours.faces if face.enhanced]
    return [_psnr(ours.image, scene, box) - _psnr(bicubic.image, scene, box) for box in boxes]


def _reduced(scene: np.ndarray) -> np.ndarray:
    return cv2.resize(scene, None, fx=1 / FACTOR, fy=1 / FACTOR, interpolation=cv2.INTER_AREA)


def _enhanced(picture: np.ndarray, networks: dict[int, FaceNetwork], strength: float, find: Find) -> EnhancedPhoto:
    settings = PhotoSettings(upscale=FACTOR, strength=strength)
    ((_, done),) = enhance_photos([('scene', picture)], networks, settings, find=find)
    return done


def _cell(scene: np.ndarray, faces: list[DetectedFace], scale: int, network: FaceNetwork) -> str:
    """The mean gain of a network, whatever it would have to shrink."""
    shrunk = float(np.mean([square_side(face.landmarks) * scale / FACE_SIZE for face in faces]))
    if shrunk > 1.7:
        return '–'
    with mock.patch.object(face_images, 'MOST_SHRUNK', np.inf):
        gain = f'{np.mean(gains(scene, {scale: network}, lambda picture: faces)):+.2f} dB'
    return gain if shrunk <= MOST_SHRUNK else f'({gain})'


def _psnr(image: np.ndarray, scene: np.ndarray, box: np.ndarray) -> float:
    left, top, right, bottom = box
    error = image[top:bottom, left:right].astype(float) - scene[top:bottom, left:right]
    return float(10 * np.log10(255 ** 2 / np.square(error).mean()))


def main() -> None:
    """Measure, and print the table."""
    enhancers = {scale: each for scale, each in sorted(open_enhancers('auto').items(), reverse=True)}
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic_faces(Path(folder), TreeSettings(identities=4, images=1))
        seen = seen_faces(Path(folder))
    print('| height in pixels |', ' | '.join(f'`{each.name}`' for each in enhancers.values()), '|')
    print(f'|---:|{"---:|" * len(enhancers)}')
    for height in (12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80):
        if height * min(enhancers) > 1.5 * FACE_SIZE:
            break
        scene = a_row(seen, FACTOR * height)
        faces = detect_faces(_reduced(scene))
        cells = [_cell(scene, faces, scale, each.network) for scale, each in enhancers.items()]
        print(f'| {height} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    main()

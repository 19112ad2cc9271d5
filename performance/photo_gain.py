"""`python -m performance.photo_gain`: what the package's networks gain in a photograph, by the height of its faces.

Synthetic faces in a scene that is reduced by four and enlarged again, by each network and by bicubic interpolation.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
from cface_basicsr.enhancing.networks import open_enhancers
from cface_basicsr.enhancing.photo import EnhancedPhoto, FaceNetwork, PhotoSettings, enhance_photos
from performance.landmarks import Seen, seen_faces

FACTOR = 4


def a_row(seen: list[Seen], height: int) -> np.ndarray:
    """uint8 (H, W, 3): the faces at this height, one next to the other in front of soft colours."""
    sides = [round(250 * height / (row[3] - row[1])) for _, row in seen]
    noise = np.random.default_rng(0).integers(60, 200, (10, 14, 3)).astype(np.uint8)
    size = (sum(sides) + 40 * len(seen) + 40, max(sides) + 80)
    scene, left = cv2.resize(noise, [-(-each // FACTOR) * FACTOR for each in size], interpolation=cv2.INTER_CUBIC), 40
    for (photo, _), side in zip(seen, sides, strict=True):
        kind = cv2.INTER_AREA if side < 250 else cv2.INTER_CUBIC
        scene[40:40 + side, left:left + side] = cv2.resize(photo, (side, side), interpolation=kind)
        left += side + 40
    return scene


def gains(scene: np.ndarray, networks: dict[int, FaceNetwork]) -> list[float]:
    """PSNR in dB in the box of each face that was enhanced, above that of bicubic interpolation."""
    reduced = cv2.resize(scene, None, fx=1 / FACTOR, fy=1 / FACTOR, interpolation=cv2.INTER_AREA)
    ours, bicubic = (_enhanced(reduced, networks, strength) for strength in (1.0, 0.0))
    boxes = [(FACTOR * face.found.box).round().astype(int).clip(0) for face in ours.faces if face.enhanced]
    return [_psnr(ours.image, scene, box) - _psnr(bicubic.image, scene, box) for box in boxes]


def _enhanced(photo: np.ndarray, networks: dict[int, FaceNetwork], strength: float) -> EnhancedPhoto:
    ((_, done),) = enhance_photos([('scene', photo)], networks, PhotoSettings(upscale=FACTOR, strength=strength))
    return done


def _psnr(image: np.ndarray, scene: np.ndarray, box: np.ndarray) -> float:
    left, top, right, bottom = box
    error = image[top:bottom, left:right].astype(float) - scene[top:bottom, left:right]
    return float(10 * np.log10(255 ** 2 / np.square(error).mean()))


def main() -> None:
    """Measure, and print the table."""
    networks = {scale: each.network for scale, each in open_enhancers('auto').items()}
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic_faces(Path(folder), TreeSettings(identities=4, images=1))
        seen = seen_faces(Path(folder))
    print('| height in pixels | `cface-x8` | `cface-x4` |\n|---:|---:|---:|')
    for height in (16, 18, 20, 24, 28, 32, 40):
        scene = a_row(seen, FACTOR * height)
        found = [gains(scene, {scale: networks[scale]}) for scale in (8, 4)]
        cells = [f'{np.mean(each):+.2f} dB' if each else 'skipped' for each in found]
        print(f'| {height} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    main()

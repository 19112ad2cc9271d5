"""Pictures that a perceptual hash takes for photographs, and the changes that copies of photographs undergo."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from cface_basicsr.files.face_store import encode_png


def photo(seed: int, size: int = 128) -> np.ndarray:
    """uint8 (size, size, 3): noise of several scales, stronger at coarse ones, as in photographs."""
    random = np.random.default_rng(seed)
    layers = [cv2.resize(random.random((grain, grain, 3), np.float32) / grain ** 0.5, (size, size),
                         interpolation=cv2.INTER_CUBIC) for grain in (4, 8, 16, 32)]
    total = sum(layers)
    return np.clip((total - total.min()) / (total.max() - total.min()) * 255, 0, 255).astype(np.uint8)


def recompressed(picture: np.ndarray, quality: int) -> np.ndarray:
    """A picture after JPEG compression."""
    _, content = cv2.imencode('.jpg', picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1])


def resized(picture: np.ndarray, factor: float) -> np.ndarray:
    """A picture made smaller, then enlarged to its former size."""
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def crop(picture: np.ndarray, border: int) -> np.ndarray:
    """A picture without this many pixels on every side."""
    return np.ascontiguousarray(picture[border:-border, border:-border])


def mirror(picture: np.ndarray) -> np.ndarray:
    """A picture with left and right swapped."""
    return np.ascontiguousarray(picture[:, ::-1])


def write_tree(root: Path, pictures: Mapping[str, np.ndarray]) -> Path:
    """Write a tree <identity>/<image>.png of pictures with keys such as 'Ann_Lee/1'; returns its root."""
    for key, picture in pictures.items():
        path = root / f'{key}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(picture))
    return root


class Silent:
    """Shows nothing, but keeps the notes at the end of each step."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self, done: int) -> None:
        """Nothing."""

    def end(self, name: str, note: str) -> None:
        """Keep the note."""
        self.notes.append(note)

"""Pictures that look like photographs to a hash, and what happens to copies of photographs."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from cface_basicsr.files.face_store import encode_png


def photo(seed: int, size: int = 128) -> np.ndarray:
    """(size, size, 3) uint8: noise of several grains, coarse ones stronger, as in photographs."""
    random = np.random.default_rng(seed)
    layers = [cv2.resize(random.random((grain, grain, 3), np.float32) / grain ** 0.5, (size, size),
                         interpolation=cv2.INTER_CUBIC) for grain in (4, 8, 16, 32)]
    total = sum(layers)
    return np.clip((total - total.min()) / (total.max() - total.min()) * 255, 0, 255).astype(np.uint8)


def recompressed(picture: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG."""
    _, content = cv2.imencode('.jpg', picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1])


def resized(picture: np.ndarray, factor: float) -> np.ndarray:
    """Made smaller, and as large as before again."""
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def crop(picture: np.ndarray, border: int) -> np.ndarray:
    """Without so many pixels on every side."""
    return np.ascontiguousarray(picture[border:-border, border:-border])


def mirror(picture: np.ndarray) -> np.ndarray:
    """Left is right."""
    return np.ascontiguousarray(picture[:, ::-1])


def write_tree(root: Path, pictures: Mapping[str, np.ndarray]) -> Path:
    """A tree <identity>/<image>.png of photographs; returns its root. Keys as in 'Ann_Lee/1'."""
    for key, picture in pictures.items():
        path = root / f'{key}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(picture))
    return root


class Silent:
    """Shows nothing, and remembers what was said at the end of each step."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self, done: int) -> None:
        """Nothing."""

    def end(self, name: str, note: str) -> None:
        """Remember."""
        self.notes.append(note)

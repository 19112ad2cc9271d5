"""What makes a small face worse than bicubic reduction does: one function for each kind, for training and measuring.

A training with `degradation: camera` draws them for each face; `cface evaluate --degrade` applies one at a time. They
work on 8-bit images one by one, so that a face's numbers depend on no other face, on no batch and on no device.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.errors import check_known
from cface_basicsr.files.face_store import FaceStore, decode_image

Image = NDArray[np.uint8]
"""(H, W, 3), RGB."""
CLEAN = 0.25
"""The share of faces that a camera's training reduces only."""


def blur(image: Image, deviation: float, random: np.random.Generator) -> Image:
    """A Gaussian up to three standard deviations, in pixels; beyond the borders the image is reflected."""
    side = 2 * int(np.ceil(3 * deviation)) + 1
    return image if deviation <= 0 else cv2.GaussianBlur(image, (side, side), deviation)


def jpeg(image: Image, quality: float, random: np.random.Generator) -> Image:
    """Compressed as JPEG by libjpeg's quality, from 1 to 100 and rounded, with half of the colour's resolution."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, round(quality)]
    return decode_image(cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)[1].tobytes())


def noise(image: Image, deviation: float, random: np.random.Generator) -> Image:
    """Gaussian noise of that standard deviation in grey levels, drawn for each pixel and channel."""
    drawn = random.standard_normal(image.shape, dtype=np.float32)
    return np.rint(image + np.float32(deviation) * drawn).clip(0, 255).astype(np.uint8)


def shift(image: Image, pixels: float, random: np.random.Generator) -> Image:
    """Moved right and down by whole pixels, rounded; the image is reflected at its first row and column."""
    count = round(pixels)
    moved = cv2.copyMakeBorder(image, count, 0, count, 0, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(moved[:image.shape[0], :image.shape[1]])


@dataclass(frozen=True)
class Degradation:
    """A kind of degradation.

    Attributes:
        apply: (image, strength, source of what is random) -> image.
        help: what it is, and the unit of its strength.
        strengths: that are measured.
        before: whether HR is degraded, before its reduction; otherwise LR is.
        pixels: whether the strength is in pixels of LR.
        camera: the lowest and the highest strength that are drawn in training; None: it is not part of it.
    """

    apply: Callable[[Image, float, np.random.Generator], Image]
    help: str
    strengths: tuple[float, ...]
    before: bool = False
    pixels: bool = False
    camera: tuple[float, float] | None = None


DEGRADATIONS = {
    'shift': Degradation(shift, 'moved right and down, in pixels of LR', (0.5,), before=True, pixels=True),
    'blur': Degradation(blur, 'Gaussian blur, standard deviation in pixels of LR', (0.25, 0.5, 1), before=True,
                        pixels=True, camera=(0, 0.75)),
    'jpeg-before': Degradation(jpeg, 'JPEG of HR, by quality', (30, 50, 70, 90), before=True, camera=(75, 100)),
    'noise': Degradation(noise, 'noise of LR, standard deviation in grey levels', (5, 10, 20), camera=(0, 4)),
    'jpeg': Degradation(jpeg, 'JPEG of LR, by quality', (30, 50, 70, 90), camera=(70, 100)),
}
"""Name -> kind, in the order in which they are applied."""

Parts = Sequence[tuple[str, float]]
"""Names and strengths."""


def camera_parts(random: np.random.Generator) -> Parts:
    """What happens to a face on its way through a camera and the web: nothing, or all parts with drawn strengths."""
    if random.random() < CLEAN:
        return ()
    return [(name, random.uniform(*kind.camera)) for name, kind in DEGRADATIONS.items() if kind.camera]


def degraded(hr: Image, scale: int, parts: Parts, random: np.random.Generator) -> Image:
    """The LR image of an HR image: degraded before and after its bicubic reduction.

    Args:
        hr: (H, W, 3); scale: a divisor of H and W.
        parts: in the order of `DEGRADATIONS`; none: the reduction of `cface prepare`.
        random: of the noise.

    Returns:
        (H / scale, W / scale, 3).
    """
    before = [part for part in parts if DEGRADATIONS[part[0]].before]
    after = [part for part in parts if not DEGRADATIONS[part[0]].before]
    lr = low_resolution(_applied(hr, scale, before, random)[None], scale)[0]
    return _applied(lr, 1, after, random)


def _applied(image: Image, pixel: int, parts: Parts, random: np.random.Generator) -> Image:
    """`pixel`: of LR, in pixels of this image."""
    for name, strength in parts:
        kind = DEGRADATIONS[name]
        image = kind.apply(image, strength * pixel if kind.pixels else strength, random)
    return image


CAMERA = 'camera'
"""All parts with drawn strengths, as in a training with `degradation: camera`."""


def measured_strengths(names: Sequence[str]) -> list[tuple[str, float | None]]:
    """Names and strengths that are measured where these kinds are asked for; a camera has no strength.

    Raises:
        UserError: a kind is unknown.

    >>> measured_strengths(['shift', 'camera'])
    [('shift', 0.5), ('camera', None)]
    """
    for name in names:
        check_known('--degrade', name, [*DEGRADATIONS, CAMERA])
    return [(name, strength) for name in dict.fromkeys(names)
            for strength in ([None] if name == CAMERA else DEGRADATIONS[name].strengths)]


class DegradedFaces:
    """LR faces that are made from a store of HR faces, read like a store; a face's noise depends on its key only.

    Attributes:
        path: the HR store and what is done to it, for messages.
        keys: of the HR store.
    """

    def __init__(self, hr: FaceStore, scale: int, name: str, strength: float | None) -> None:
        """
        Args:
            name, strength: see `measured_strengths`.
        """
        self.hr, self.scale, self.keys = hr, scale, hr.keys
        self._parts = None if strength is None else [(name, strength)]
        self.path = hr.path / f'x{scale} {name} {strength}'

    def __len__(self) -> int:
        return len(self.keys)

    def image(self, key: str) -> Image:
        """(H / scale, W / scale, 3)."""
        random = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), 'little'))
        parts = camera_parts(random) if self._parts is None else self._parts
        return degraded(self.hr.image(key), self.scale, parts, random)

    def content(self, key: str) -> bytes:
        """The pixels of an image."""
        return self.image(key).tobytes()

"""Photographs on disk with all that belongs to them: orientation, colour profile, EXIF, alpha, 16 bits, times."""

import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cface_basicsr.data.images.face_crop import Rejected, decode_photo
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.atomic import replacing

LARGEST = 200_000_000
"""Pixels of a photograph: decoded and in floating point, a region of it must fit into memory."""
_ORIENTATION = 274


@dataclass
class PhotoFile:
    """A photograph, upright.

    Attributes:
        pixels: uint8 or uint16 (H, W, 3) RGB.
        alpha: (H, W) of the same type; None without transparency.
        metadata: cv2's kinds of metadata -> their bytes: EXIF (orientation: upright) and the colour profile.
    """

    path: Path
    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    metadata: dict[int, bytes] = field(default_factory=dict)

    @property
    def eight_bit(self) -> NDArray[np.uint8]:
        """(H, W, 3) in 8 bits, rounded."""
        return self.pixels if self.pixels.dtype == np.uint8 else np.rint(self.pixels / 257).astype(np.uint8)


def read_photo(path: str | Path) -> PhotoFile:
    """Read a photograph.

    Raises:
        UserError: the file is missing, no image, damaged, or too large.
    """
    path = Path(path)
    check_file(path, f"'{path}' is missing.\nExpected a photograph.")
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as header:
            _check_size(path, *header.size)
            exif, profile = header.getexif(), header.info.get('icc_profile')
            clear = header.mode in ('RGBA', 'LA', 'PA') or 'transparency' in header.info
        pixels, alpha = _deep(content, exif) or (_with_alpha(content, exif) if clear else (decode_photo(content), None))
    except (Rejected, OSError, SyntaxError, ValueError) as error:  # Pillow raises all of these for damaged files
        raise UserError(f"'{path}' cannot be read as an image: {error}.") from error
    return PhotoFile(path, np.ascontiguousarray(pixels), alpha, _metadata(exif, profile))


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > LARGEST:
        raise UserError(f"'{path}' has {width}x{height} pixels. Expected at most {LARGEST:,} in all; make it smaller.")


def upright(pixels: NDArray, orientation: int) -> NDArray:
    """Pixels (H, W, …) turned and mirrored as EXIF's orientation 1 to 8 asks for."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def _with_alpha(content: bytes, exif: Image.Exif) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    pixels = upright(np.asarray(Image.open(io.BytesIO(content)).convert('RGBA')), exif.get(_ORIENTATION, 1))
    return pixels[..., :3], pixels[..., 3]


def _deep(content: bytes, exif: Image.Exif) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None] | None:
    """RGB and alpha of a file with 16 bits a channel; None for others."""
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        return None
    if decoded.ndim == 2:
        decoded = np.repeat(decoded[..., None], 3, axis=2)
    decoded = upright(decoded, exif.get(_ORIENTATION, 1))
    return decoded[..., 2::-1], decoded[..., 3] if decoded.shape[2] == 4 else None


def _metadata(exif: Image.Exif, profile: bytes | None) -> dict[int, bytes]:
    found = {}
    if len(exif):
        exif[_ORIENTATION] = 1
        found[cv2.IMAGE_METADATA_EXIF] = exif.tobytes().removeprefix(b'Exif\0\0')
    if profile:
        found[cv2.IMAGE_METADATA_ICCP] = profile
    return found


def write_photo(target: str | Path, photo: PhotoFile) -> None:
    """Write a photograph as PNG with its profile, EXIF, alpha and the times of its file; all of it or nothing."""
    target = Path(target)
    planes = [photo.pixels[..., ::-1], *([photo.alpha[..., None]] if photo.alpha is not None else [])]
    image = np.ascontiguousarray(np.concatenate(planes, axis=2))
    kinds = list(photo.metadata)
    done, content = cv2.imencodeWithMetadata('.png', image, kinds, [np.frombuffer(photo.metadata[kind], np.uint8)
                                                                    for kind in kinds])
    if not done:
        raise ValueError(f'OpenCV cannot encode an image of shape {image.shape} and type {image.dtype}.')
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as aside:
        aside.write_bytes(content.tobytes())
        times = photo.path.stat()
        os.utime(aside, ns=(times.st_atime_ns, times.st_mtime_ns))

"""Photographs on disk with all that belongs to them: orientation, colour profile, EXIF, alpha, 16 bits, times."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cface_basicsr.data.images.face_crop import Rejected, decode_whole, upright_size
from cface_basicsr.enhancing.paste import Picture
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.atomic import replacing

LARGEST = 200_000_000
"""Most pixels of a photograph."""
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
    pixels: Picture
    alpha: Picture | None = None
    metadata: dict[int, bytes] = field(default_factory=dict)


def read_photo(path: str | Path) -> PhotoFile:
    """Read a photograph.

    Raises:
        UserError: the file is missing, is not an image, is damaged, or is too large.
    """
    content = check_file(path, 'Expected a photograph.').read_bytes()
    try:
        width, height = upright_size(content)
        if width * height > LARGEST:
            raise Rejected(f'{width}x{height} pixels; expected at most {LARGEST:,} in all. Make it smaller first')
        whole = decode_whole(content)
    except Rejected as error:
        raise UserError(f"'{path}' cannot be read as a photograph: {error}.") from error
    return PhotoFile(Path(path), whole.pixels, whole.alpha, _metadata(whole.exif, whole.profile))


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
    with replacing(target) as aside:
        aside.write_bytes(content.tobytes())
        times = photo.path.stat()
        os.utime(aside, ns=(times.st_atime_ns, times.st_mtime_ns))

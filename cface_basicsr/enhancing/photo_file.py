"""Photographs on disk with all that belongs to them: orientation, colour profile, EXIF, alpha, 16 bits, times."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cface_basicsr.data.images.face_crop import Rejected, decode_whole, stored_size
from cface_basicsr.enhancing.paste import Picture
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.text_file import read_whole

LARGEST = 200_000_000
"""Most pixels of a photograph."""
_MOST_ENLARGED = 2_000_000_000
"""Bytes of an enlarged photograph."""
_ORIENTATION = 274
_CHANNELS = slice(16, 20)
"""Where a colour profile says what its channels are."""


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
    return open_photo(read_whole(path, 'Expected a photograph.'), path)


def open_photo(content: bytes, path: str | Path, most: int | None = None) -> PhotoFile:
    """The photograph that some bytes hold.

    Args:
        path: of their file, which need not be there.
        most: pixels; None: `LARGEST`. The header is compared with it, before anything is decoded.

    Raises:
        UserError: see `read_photo`.
    """
    most = most or LARGEST
    try:
        width, height = stored_size(content)
        if width * height > most:
            raise Rejected(f'{width}x{height} pixels; expected at most {most:,} in all. Make it smaller first')
        whole = decode_whole(content)
        return PhotoFile(Path(path), whole.pixels, whole.alpha, _metadata(whole.exif, whole.profile))
    except Rejected as error:
        raise UserError(f"'{path}' cannot be read as a photograph: {error}.") from error


def check_enlarged(photo: PhotoFile, upscale: int) -> None:
    """Check that a photograph's enlargement fits into memory.

    Raises:
        UserError: it would take more than 2 GB.
    """
    held = (photo.pixels.nbytes + (0 if photo.alpha is None else photo.alpha.nbytes)) * upscale ** 2
    if upscale > 1 and held > _MOST_ENLARGED:
        raise UserError(f"'{photo.path}' would take {held:,} bytes, enlarged {upscale} times; expected at most "
                        f'{_MOST_ENLARGED:,}. Enlarge it less.')


def _metadata(exif: Image.Exif, profile: bytes | None) -> dict[int, bytes]:
    """What is written again; a profile for other channels than red, green and blue would not fit the result."""
    found = {}
    if len(exif):
        exif[_ORIENTATION] = 1
        found[cv2.IMAGE_METADATA_EXIF] = _bytes_of(exif)
    if profile and profile[_CHANNELS] not in (b'GRAY', b'CMYK'):
        found[cv2.IMAGE_METADATA_ICCP] = profile
    for kind, content in found.items():
        if _encoded(np.zeros((1, 1, 3), np.uint8), {kind: content}) is None:
            what = 'colour profile' if kind == cv2.IMAGE_METADATA_ICCP else 'EXIF data'
            raise Rejected(f'its {what} is damaged; save it without')
    return found


def _bytes_of(exif: Image.Exif) -> bytes:
    try:
        return exif.tobytes().removeprefix(b'Exif\0\0')
    except Exception as error:  # Pillow raises several kinds on values that do not fit their tags
        raise Rejected(f'its EXIF data is damaged ({type(error).__name__}); save it without') from error


def write_photo(target: str | Path, photo: PhotoFile) -> None:
    """Write a photograph as PNG, see `png_bytes`, with the times of its file; all of it or nothing."""
    target, content = Path(target), png_bytes(photo)
    with replacing(target) as aside:
        aside.write_bytes(content)
        times = photo.path.stat()
        os.utime(aside, ns=(times.st_atime_ns, times.st_mtime_ns))


def png_bytes(photo: PhotoFile) -> bytes:
    """A PNG file with the pixels of a photograph, its profile, EXIF and alpha."""
    planes = [photo.pixels[..., ::-1], *([photo.alpha[..., None]] if photo.alpha is not None else [])]
    image = np.ascontiguousarray(np.concatenate(planes, axis=2))
    content = _encoded(image, photo.metadata)
    if content is None:
        raise ValueError(f'OpenCV cannot encode an image of shape {image.shape} and type {image.dtype}.')
    return content


def _encoded(image: Picture, metadata: dict[int, bytes]) -> bytes | None:
    """A PNG file of (H, W, 3) BGR or (H, W, 4) BGRA pixels; None if it cannot be made."""
    done, content = cv2.imencodeWithMetadata('.png', image, list(metadata), [np.frombuffer(each, np.uint8)
                                                                             for each in metadata.values()])
    return content.tobytes() if done else None

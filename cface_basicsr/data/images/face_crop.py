"""From the bytes of a photograph to an HR face of one size.

`center`: the middle size x size pixels, whatever the size of the photograph; nothing is resized. CASIA-WebFace and
LFW are 250x250 with the face in the middle, and 128 pixels there hold the face (architectures of C-Face, SICNN).
`none`: the image must have that size already. `align`, `box`: see `align.py`.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


class Rejected(Exception):
    """A photograph that gives no HR face; the message is the reason."""


Crop = Callable[[np.ndarray], np.ndarray]
"""uint8 (H, W, 3) RGB photograph -> uint8 (height, width, 3) RGB face; raises `Rejected`."""
Size = int | tuple[int, int]
"""Pixels of a face: the side of a square, or (height, width)."""


def both_sides(size: Size) -> tuple[int, int]:
    """(height, width).

    >>> both_sides(128), both_sides((112, 96))
    ((128, 128), (112, 96))
    """
    return (size, size) if isinstance(size, int) else size


def decode_photo(content: bytes) -> np.ndarray:
    """uint8 (H, W, 3) RGB of the bytes of a photograph, upright as its EXIF says.

    Grey becomes three equal channels, 16 bit becomes 8, transparency is laid on white.

    Raises:
        Rejected: no image, damaged, or cut off.
    """
    if not content:
        raise Rejected('empty file')
    try:
        with Image.open(io.BytesIO(content)) as photo:
            photo.load()
            return np.asarray(_rgb(ImageOps.exif_transpose(photo)))
    except UnidentifiedImageError as error:
        raise Rejected('no image') from error
    except Exception as error:  # Pillow raises a dozen kinds on damaged files; none may end a run of hours
        raise Rejected(f'damaged image ({type(error).__name__}: {str(error)[:80]})') from error


def _rgb(photo: Image.Image) -> Image.Image:
    if photo.mode == 'RGB':
        return photo
    if photo.mode.startswith('I;16'):
        return Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8)).convert('RGB')
    if photo.mode in ('I', 'F'):
        raise ValueError(f'pixels of kind {photo.mode} have no fixed range')
    if photo.has_transparency_data:
        photo = photo.convert('RGBA')
        photo = Image.alpha_composite(Image.new('RGBA', photo.size, 'white'), photo)
    return photo.convert('RGB')


def center_crop(photo: np.ndarray, size: Size) -> np.ndarray:
    """The middle pixels; an odd remainder leaves the extra row below and the extra column to the right.

    Raises:
        Rejected: the photograph is smaller.
    """
    (height, width), (rows, columns) = photo.shape[:2], both_sides(size)
    if height < rows or width < columns:
        raise Rejected(f'{width}x{height} pixels, smaller than the {columns}x{rows} crop')
    top, left = (height - rows) // 2, (width - columns) // 2
    return photo[top:top + rows, left:left + columns]


def no_crop(photo: np.ndarray, size: Size) -> np.ndarray:
    """The image itself.

    Raises:
        Rejected: it has another size.
    """
    rows, columns = both_sides(size)
    if photo.shape[:2] != (rows, columns):
        raise Rejected(f'{photo.shape[1]}x{photo.shape[0]} pixels, expected {columns}x{rows} (--crop none)')
    return photo

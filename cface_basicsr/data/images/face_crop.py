"""From the bytes of a photograph to an HR face of a given size.

`center`: the middle size x size pixels, whatever the size of the photograph; nothing is resized. Photographs of
CASIA-WebFace and LFW are 250x250, and their middle 128 pixels hold the face (HR size of C-Face and SICNN).
`none`: the image must have that size already. `align`, `box`: see `align.py`.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


class Rejected(Exception):
    """A photograph gives no HR face; the message says why."""


Crop = Callable[[np.ndarray], np.ndarray]
"""uint8 (H, W, 3) RGB photograph -> uint8 (height, width, 3) RGB face; raises `Rejected`."""
Size = int | tuple[int, int]
"""The size of a face in pixels: the side of a square, or (height, width)."""


def both_sides(size: Size) -> tuple[int, int]:
    """A size as (height, width).

    >>> both_sides(128), both_sides((112, 96))
    ((128, 128), (112, 96))
    """
    return (size, size) if isinstance(size, int) else size


def decode_photo(content: bytes) -> np.ndarray:
    """Decode an image file to uint8 (H, W, 3) RGB, upright according to its EXIF orientation.

    Grey becomes three equal channels, 16 bits become 8, and transparent pixels are blended with white.

    Raises:
        Rejected: the file is empty, not an image, damaged or truncated.
    """
    if not content:
        raise Rejected('empty file')
    try:
        with Image.open(io.BytesIO(content)) as photo:
            photo.load()
            return np.asarray(_rgb(ImageOps.exif_transpose(photo)))
    except UnidentifiedImageError as error:
        raise Rejected('not an image') from error
    except Exception as error:  # Pillow raises a dozen kinds of errors on damaged files; none may end a run of hours
        raise Rejected(f'damaged image ({type(error).__name__}: {str(error)[:80]})') from error


def _rgb(photo: Image.Image) -> Image.Image:
    if photo.mode == 'RGB':
        return photo
    if photo.mode.startswith('I;16'):
        return Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8)).convert('RGB')
    if photo.mode in ('I', 'F'):
        raise ValueError(f'pixels of mode {photo.mode} have no fixed range')
    return blend_with_white(photo)


def blend_with_white(photo: Image.Image) -> Image.Image:
    """An 8-bit image of any mode as RGB, with white behind transparent pixels."""
    if photo.has_transparency_data:
        photo = photo.convert('RGBA')
        photo = Image.alpha_composite(Image.new('RGBA', photo.size, 'white'), photo)
    return photo.convert('RGB')


def center_crop(photo: np.ndarray, size: Size) -> np.ndarray:
    """The middle pixels (height, width, 3) of a photograph (H, W, 3).

    Where the margins cannot be equal, the one below or to the right is one pixel wider.

    Raises:
        Rejected: the photograph is smaller than `size`.
    """
    (height, width), (rows, columns) = photo.shape[:2], both_sides(size)
    if height < rows or width < columns:
        raise Rejected(f'{width}x{height} pixels, smaller than the {columns}x{rows} crop')
    top, left = (height - rows) // 2, (width - columns) // 2
    return photo[top:top + rows, left:left + columns]


def no_crop(photo: np.ndarray, size: Size) -> np.ndarray:
    """The photograph (height, width, 3) as it is.

    Raises:
        Rejected: its size is not `size`.
    """
    rows, columns = both_sides(size)
    if photo.shape[:2] != (rows, columns):
        raise Rejected(f'{photo.shape[1]}x{photo.shape[0]} pixels, expected {columns}x{rows} (--crop none)')
    return photo

"""From the bytes of a photograph to an HR face of a given size.

`center`: the middle size x size pixels, whatever the size of the photograph; nothing is resized. Photographs of
CASIA-WebFace and LFW are 250x250, and their middle 128 pixels hold the face (HR size of C-Face and SICNN).
`none`: the image must have that size already. `align`, `box`: see `align.py`.
"""

import functools
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

_ORIENTATION, _BITS, _WHITE, _PLANES = 274, 258, 262, 284
"""Tags of EXIF and TIFF: how to turn it upright, bits per channel, 0: 0 is white, 2: one channel after the other."""


_MOST_BYTES, _MOST_WHOLE, _PIXELS_AT_ONCE = 400_000_000, 800_000_000, 1 << 20
"""Of decoded pixels, in three channels at least: of photographs that become faces, and of those that are enhanced. With
all that is held at the same time, the first take less than 1 GB."""


_BRANDS = 64
"""Bytes of an ISO media file that say which kind it is."""


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
    """The bytes of an image file of any kind that Pillow reads, as uint8 (H, W, 3) RGB.

    Everything that opens photographs opens them by this. Of several frames the first is taken. Grey is repeated in
    three channels, palettes are looked up, 16 bits are scaled (v * 255 / 65535, rounded), transparent pixels are
    blended with white, and the EXIF orientation is applied. Colour profiles are ignored, as in BasicSR.

    Raises:
        Rejected: the file is empty, not an image, damaged or truncated, or has pixels without a fixed range (float).
    """
    with _opened(content) as photo:
        stored = _raw_mode(photo)
        photo.load()  # the whole file, so that a truncated one fails here
        orientation = photo.getexif().get(_ORIENTATION, 1)  # Pillow has turned a TIFF already, and forgotten it
        pixels = _of_sixteen(photo, stored, content) if _is_deep(photo, stored) else _of_eight(photo)
    return np.ascontiguousarray(upright(pixels, orientation))


class WholePhoto(NamedTuple):
    """What an image file holds, upright.

    Attributes:
        pixels: uint8 or uint16 (H, W, 3) RGB; alpha is not applied.
        alpha: (H, W) of the same type; None without transparency.
        exif: its orientation is that of the file.
        profile: the bytes of the colour profile; None without one.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    exif: Image.Exif
    profile: bytes | None


def decode_whole(content: bytes) -> WholePhoto:
    """The bytes of an image file with its 16 bits and its alpha, where `decode_photo` gives 8 bits on white.

    Raises:
        Rejected: as `decode_photo`; or colours of 16 bits are multiplied with their alpha.
    """
    with _opened(content, _MOST_WHOLE) as photo:
        stored = _raw_mode(photo)
        photo.load()
        exif, profile = photo.getexif(), photo.info.get('icc_profile')
        pixels, alpha = _deep_planes(photo, stored, content) if _is_deep(photo, stored) else _planes_of_eight(photo)
    if stored.startswith('RGBa'):
        raise Rejected('colours are multiplied with their alpha; save it with plain alpha')
    planes = [None if each is None else np.ascontiguousarray(upright(each, exif.get(_ORIENTATION, 1)))
              for each in (pixels, alpha)]
    return WholePhoto(planes[0], planes[1], exif, profile)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, …) turned and mirrored as EXIF's orientation 1 to 8 asks for; a view."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def stored_size(content: bytes) -> tuple[int, int]:
    """(width, height) in pixels as the file stores them, not turned upright; only the header is read.

    Raises:
        Rejected: the file is empty, not an image, or damaged.
    """
    with _opened(content, _MOST_WHOLE) as photo:
        return photo.size


def upright_size(content: bytes) -> tuple[int, int]:
    """(width, height) in pixels of what `decode_photo` gives; of most files only the header is read.

    Raises:
        Rejected: the file is empty, not an image, or damaged.
    """
    with _opened(content) as photo:
        if photo.format == 'TIFF':
            photo.load()  # Pillow turns it, and only new versions say its upright size before
        return photo.size[::-1] if photo.getexif().get(_ORIENTATION, 1) > 4 else photo.size


@contextmanager
def _opened(content: bytes, most: int = _MOST_BYTES) -> Iterator[Image.Image]:
    if not content:
        raise Rejected('empty file')
    if content[4:8] == b'ftyp' and any(brand in content[8:_BRANDS] for brand in (b'heic', b'heix')):
        _have_heif_read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as photo:
                _check_amount(photo, most)
                yield photo
    except Rejected:
        raise
    except UnidentifiedImageError as error:
        tiff = 'a kind of TIFF that cannot be read; save it with 8 or 16 bits'
        raise Rejected(tiff if content[:4] in (b'II*\0', b'MM\0*') else 'not an image') from error
    except Exception as error:  # Pillow raises a dozen kinds of errors on damaged files; none may end a run of hours
        raise Rejected(f'damaged image ({type(error).__name__}: {str(error)[:80]})') from error


@functools.cache
def _have_heif_read() -> None:
    """Have Pillow read HEIF files, as many telephones write them, upright and in 8 bits."""
    try:
        import pi_heif
    except ImportError as error:
        raise Rejected('a HEIF photograph, which needs one more library: pip install pi-heif') from error
    pi_heif.register_heif_opener()


def _check_amount(photo: Image.Image, most: int) -> None:
    """Refuse what would not fit into memory, by the header."""
    held = photo.width * photo.height * max(3, len(photo.getbands())) * (2 if ';16' in _raw_mode(photo) else 1)
    if held > most:
        raise Rejected(f'{photo.width}x{photo.height} pixels take {held:,} bytes; expected at most {most:,}. '
                       'Make it smaller first')


def _raw_mode(photo: Image.Image) -> str:
    """How the file stores a pixel, such as 'RGB;16B', of which Pillow would drop the low byte. Call before loading."""
    arguments = photo.tile[0][3] if photo.tile else ''
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _is_deep(photo: Image.Image, stored: str) -> bool:
    """Whether a channel has more than 8 bits."""
    bits = photo.tag_v2.get(_BITS, (1,)) if photo.format == 'TIFF' else (1,)
    return ';16' in stored or max(bits) > 8 or photo.mode[0] in 'IF'


def _of_eight(photo: Image.Image) -> np.ndarray:
    """An 8-bit image of any mode as uint8 (H, W, 3) RGB, with white behind transparent pixels."""
    if photo.mode == 'LAB':
        raise Rejected('L*a*b* colours cannot be read; save it as RGB')
    pixels = np.empty((photo.height, photo.width, 3), np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // photo.width)
    for start in range(0, photo.height, rows):  # Pillow's copies of a large photograph would not fit into memory
        block = photo.crop((0, start, photo.width, min(start + rows, photo.height)))
        pixels[start:start + rows] = np.asarray(_rgb(block))
    return pixels


def _rgb(photo: Image.Image) -> Image.Image:
    if photo.has_transparency_data:
        photo = photo.convert('RGBA')
        photo = Image.alpha_composite(Image.new('RGBA', photo.size, 'white'), photo)
    return photo if photo.mode == 'RGB' else photo.convert('RGB')


def _planes_of_eight(photo: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """(H, W, 3) RGB and (H, W) alpha of an 8-bit image."""
    if not photo.has_transparency_data or photo.mode == 'LAB':
        return _of_eight(photo), None
    pixels = np.asarray(photo.convert('RGBA'))
    return pixels[..., :3], pixels[..., 3]


def _of_sixteen(photo: Image.Image, stored: str, content: bytes) -> np.ndarray:
    """Grey or colour with 16 bits per channel, with or without alpha, as 8-bit RGB; it is not turned upright."""
    colour, alpha = _deep_planes(photo, stored, content)
    eight = np.empty(colour.shape, np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // colour.shape[1])
    for start in range(0, len(colour), rows):  # in 64 bits a large photograph would not fit into memory
        block = slice(start, start + rows)
        eight[block] = _on_white(colour[block], None if alpha is None else alpha[block], stored.startswith('RGBa'))
    return eight


def _on_white(colour: np.ndarray, alpha: np.ndarray | None, multiplied: bool) -> np.ndarray:
    """uint16 (H, W, 3) and (H, W) alpha as uint8 (H, W, 3)."""
    colour = colour.astype(np.float64)
    if alpha is not None:
        share = alpha[..., None] / 65535
        colour = (colour if multiplied else colour * share) + 65535 * (1 - share)
    return np.round(colour.clip(0, 65535) / 257).astype(np.uint8)


def _deep_planes(photo: Image.Image, stored: str, content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """uint16 (H, W, 3) RGB and (H, W) alpha of such an image; it is not turned upright."""
    if photo.mode[0] == 'F':
        raise Rejected('floating-point pixels have no fixed range; save it with 8 or 16 bits')
    grey = photo.mode[0] == 'I'
    values = _grey(photo) if grey else cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    planes = photo.format == 'TIFF' and photo.tag_v2.get(_PLANES) == 2
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or (planes and not grey):
        raise Rejected('16 bits per channel, stored in a way that cannot be read; save it with 8 bits')
    colour, alpha = values[..., 2::-1], values[..., 3] if values.shape[2] > 3 else None
    if alpha is None and (key := photo.info.get('transparency')) is not None:  # a colour that means transparent
        alpha = (colour != key).any(-1) * np.uint16(65535)
    return colour, alpha


def _grey(photo: Image.Image) -> np.ndarray:
    """Grey with 16 bits, as uint16 (H, W, 3)."""
    if photo.mode == 'I' and photo.format not in ('PNG', 'PPM'):  # Pillow's mode for both 16 and 32 bits
        raise Rejected('whole numbers of 32 bits or with a sign have no fixed range; save it with 8 or 16 bits')
    values = np.asarray(photo).astype(np.uint16)
    if photo.format == 'TIFF' and photo.tag_v2.get(_WHITE) == 0:
        values = 65535 - values
    return np.repeat(values[..., None], 3, axis=2)


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

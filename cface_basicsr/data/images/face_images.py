"""Face files of any kind to 8-bit RGB, and back to PNG.

Read: whatever Pillow reads, first frame. Grey is repeated in three channels; a palette is looked up; 16 bit is
scaled (v / 257, rounded); transparent pixels are laid over white, and the alpha channel is dropped; the EXIF
orientation is applied; colour profiles are ignored, as by BasicSR.
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import replacing
from cface_basicsr.ops.resize import bicubic_resize

Face = NDArray[np.uint8]
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff', '.pgm', '.ppm', '.gif')
"""Files of a folder that count as images; a file that is named itself may end in anything."""
_WIDEST = 1.5
"""A crop whose long side is more than this many short sides is taken for something else than a face."""
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}


@dataclass(frozen=True)
class FaceFile:
    """An image file and its name: the path below the folder it was found in, or its bare name; suffix kept."""

    path: Path
    name: Path


def find_faces(paths: Iterable[str | Path], *, skip: str | Path | None = None) -> list[FaceFile]:
    """The files that were named, and all images below the folders that were named, sorted by name in each folder.

    Args:
        paths: files and folders.
        skip: a folder not to look into (that of the results).

    Raises:
        UserError: a path is missing, or a folder holds no image.
    """
    return [face for path in map(Path, paths) for face in (_walk(path, skip) if path.is_dir() else [_single(path)])]


def _single(path: Path) -> FaceFile:
    if not path.is_file():
        raise UserError(f"'{path}' is missing. Expected an image file or a folder of images.")
    return FaceFile(path, Path(path.name))


def _walk(folder: Path, skip: str | Path | None) -> list[FaceFile]:
    kept_out = Path(skip).resolve() if skip and Path(skip).resolve() != folder.resolve() else None
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders
                            if not name.startswith('.') and Path(place, name).resolve() != kept_out)
        found += [FaceFile(Path(place, name), Path(place, name).relative_to(folder)) for name in sorted(files)
                  if name.lower().endswith(SUFFIXES) and not name.startswith('.')]
    if not found:
        raise UserError(f"'{folder}' holds no image ({', '.join(SUFFIXES)}).")
    return found


def read_face(path: str | Path) -> Face:
    """An image file as uint8 (H, W, 3) RGB; see the top of this module for what becomes of the other kinds.

    Raises:
        UserError: the file is missing, cut off, no image, too large, or of a kind without a fixed range (float).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"'{path}' is missing. Expected an image file.")
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            sixteen_bit_colour = image.mode.startswith('RGB') and ';16' in _raw_mode(image)
            orientation = image.getexif().get(274, 1)
            image.load()  # the whole file, so that a cut one fails here
            turned_already = image.format == 'TIFF'  # Pillow turns this format by itself
            pixels = _eight_bit_of_sixteen(path) if sixteen_bit_colour else _pixels(image, path)
    except UserError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Warning, Image.DecompressionBombError) as error:
        raise UserError(f"'{path}' cannot be read as an image: {str(error)[:120] or type(error).__name__}.") from error
    if orientation in _TURNS and not turned_already:
        pixels = np.asarray(Image.fromarray(pixels).transpose(_TURNS[orientation]))
    return np.ascontiguousarray(pixels)


def _raw_mode(image: Image.Image) -> str:
    """How the file stores a pixel, such as 'RGB;16B', where Pillow would cut the low byte off; asked before loading."""
    arguments = image.tile[0][3] if image.tile else ''
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _pixels(image: Image.Image, path: Path) -> Face:
    if image.mode.startswith('I'):
        return _grey_of_sixteen(np.asarray(image), path)
    if image.mode == 'F':
        raise UserError(f"'{path}' holds floating-point values; their range is unknown. Save it with 8 or 16 bits.")
    if image.has_transparency_data:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    return np.asarray(image.convert('RGB'))


def _grey_of_sixteen(values: NDArray, path: Path) -> Face:
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"'{path}' holds values from {values.min()} to {values.max()}; expected 8 or 16 bits.")
    return np.repeat(_scaled(values)[..., None], 3, axis=2)


def _eight_bit_of_sixteen(path: Path) -> Face:
    """Colour with 16 bits a channel, with or without alpha; not turned."""
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise UserError(f"'{path}' stores 16 bits a channel in a way that cannot be read. Save it with 8 bits.")
    colour = values[..., 2::-1].astype(np.float64)
    if values.shape[2] == 4:
        alpha = values[..., 3:] / 65535
        colour = colour * alpha + 65535 * (1 - alpha)
    return _scaled(colour)


def _scaled(values: NDArray) -> Face:
    """0 .. 65535 -> 0 .. 255."""
    return np.round(values / 257).astype(np.uint8)


def low_resolution_size(size: int) -> range:
    """Short sides that count as near a network's input size: from 3/4 of it up to, not including, 3/2 of it.

    16, 32 and 64 pixels thus share all sizes from 12 to 95 without gap or overlap.
    """
    return range(-(-3 * size // 4), -(-3 * size // 2))


def to_low_resolution(face: Face, size: int) -> Face:
    """A face crop brought to a network's input: the largest centred square, then bicubic (as LR faces are made).

    Args:
        face: (H, W, 3) uint8 RGB; exactly size x size is returned as it is.
        size: of the network's input.

    Returns:
        (size, size, 3) uint8.

    Raises:
        UserError: the short side is not near `size`, or the image is far from square; says what would fit.
    """
    height, width = face.shape[:2]
    short = min(height, width)
    if max(height, width) > _WIDEST * short:
        raise UserError(f'{width}x{height} pixels is no face crop: expected sides that differ by at most half.')
    near = low_resolution_size(size)
    if short not in near:
        fitting = [f'x{128 // other}' for other in (16, 32, 64) if short in low_resolution_size(other)]
        advice = f'a {fitting[0]} network takes it' if fitting else 'resize or crop it first'
        raise UserError(f'{width}x{height} pixels: this network takes faces near {size}x{size} (short side '
                        f'{near.start} to {near.stop - 1}); {advice}.')
    top, left = (height - short) // 2, (width - short) // 2
    square = torch.from_numpy(face[top:top + short, left:left + short].transpose(2, 0, 1).copy())[None]
    resized = bicubic_resize(square.float() / 255, size)[0].clamp(0, 1)
    return (resized * 255).round().byte().permute(1, 2, 0).numpy()


def write_face(path: str | Path, face: Face, *, overwrite: bool = False) -> None:
    """Write a uint8 (H, W, 3) RGB image as PNG, aside and then renamed; makes the folders above it.

    Raises:
        UserError: the file exists and `overwrite` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise UserError(f"'{path}' exists; --overwrite replaces it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        Image.fromarray(face).save(aside, format='PNG')


def in_batches(items: Iterable, size: int) -> Iterator[list]:
    """Lists of at most `size` items, in order."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch

"""Image files of face crops: found, read, fitted to a network's input, and written as PNG."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cface_basicsr.data.images.face_crop import Rejected, decode_photo
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.face_store import encode_png
from cface_basicsr.files.text_file import read_whole
from cface_basicsr.ops.resize import bicubic_resize

Face = NDArray[np.uint8]
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff', '.pgm', '.ppm', '.gif')
"""Endings of the files in a folder that count as images; a file that is named itself may end in anything."""
LARGEST_ASPECT = 1.5
"""An image whose long side exceeds its short side by more than this factor is not taken for a face crop."""


class FaceFile(NamedTuple):
    """An image file, and its name: its path relative to the folder that was searched, or just the file name."""

    path: Path
    name: Path


def find_faces(paths: Iterable[str | Path], *, skip: str | Path | None = None) -> list[FaceFile]:
    """The files among some paths, and all images below the folders among them, sorted by name within each folder.

    Args:
        paths: files and folders.
        skip: a folder to leave out (that of the results).

    Raises:
        UserError: a path is missing, or a folder holds no images or cannot be read.
    """
    return [face for path in map(Path, paths) for face in (_walk(path, skip) if path.is_dir() else [_single(path)])]


def _single(path: Path) -> FaceFile:
    return FaceFile(check_file(path, 'Expected an image file or a folder of images.'), Path(path.name))


def _walk(folder: Path, skip: str | Path | None) -> list[FaceFile]:
    def unreadable(error: OSError) -> None:
        raise UserError(f"folder '{error.filename}' cannot be read: {error.strerror}.") from error

    skipped = {os.path.realpath(skip)} - {os.path.realpath(folder)} if skip else ()
    found = []
    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders
                            if not name.startswith('.') and os.path.realpath(Path(place, name)) not in skipped)
        found += [FaceFile(Path(place, name), Path(place, name).relative_to(folder)) for name in sorted(files)
                  if name.lower().endswith(SUFFIXES) and not name.startswith('.')]
    if not found:
        raise UserError(f"'{folder}' holds no images ({', '.join(SUFFIXES)}).")
    return found


def read_face(path: str | Path) -> Face:
    """Read an image file as uint8 (H, W, 3) RGB, as `decode_photo` does.

    Raises:
        UserError: the file is missing, or `decode_photo` rejects it.
    """
    try:
        return decode_photo(read_whole(path, 'Expected an image file.'))
    except (Rejected, OSError) as error:
        raise UserError(f"'{path}' cannot be read as an image: {error}.") from error


def low_resolution_size(size: int) -> range:
    """Lengths of the short side in pixels that are near enough to a network's input size: 3/4 of it up to 3/2 of it.

    The upper end is excluded, so 16, 32 and 64 pixels cover all lengths from 12 to 95 without gap or overlap.
    """
    return range(-(-3 * size // 4), -(-3 * size // 2))


def to_low_resolution(face: Face, size: int) -> Face:
    """Fit a face crop to a network's input: its largest centred square, resized by the bicubic kernel of LR faces.

    Args:
        face: uint8 (H, W, 3) RGB; a face of exactly size x size pixels is returned as it is.
        size: side of the network's input in pixels.

    Returns:
        uint8 (size, size, 3).

    Raises:
        UserError: the short side is not near `size` (the message says what would fit), or the image is far from square.
    """
    height, width = face.shape[:2]
    short = min(height, width)
    if max(height, width) > LARGEST_ASPECT * short:
        raise UserError(f'{width}x{height} pixels is not a face crop: expected a long side of at most '
                        f'{LARGEST_ASPECT} times the short one.')
    near = low_resolution_size(size)
    if short not in near:
        fitting = [f'x{128 // other}' for other in (16, 32, 64) if short in low_resolution_size(other)]
        advice = f'use a network for {fitting[0]}' if fitting else 'resize or crop it first'
        raise UserError(f'{width}x{height} pixels: this network takes faces near {size}x{size} (short side '
                        f'{near.start} to {near.stop - 1}); {advice}.')
    top, left = (height - short) // 2, (width - short) // 2
    square = torch.from_numpy(face[top:top + short, left:left + short].transpose(2, 0, 1).copy())[None]
    resized = bicubic_resize(square.float() / 255, size)[0].clamp(0, 1)
    return (resized * 255).round().byte().permute(1, 2, 0).numpy()


def write_face(path: str | Path, face: Face, *, overwrite: bool = False) -> None:
    """Write a uint8 (H, W, 3) RGB image as a PNG file, all of it or nothing; missing folders are made.

    Raises:
        UserError: the file exists and `overwrite` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise UserError(f"'{path}' exists; --overwrite replaces it.")
    with replacing(path) as aside:
        aside.write_bytes(encode_png(face))  # much faster than Pillow's, and little larger


def in_batches(items: Iterable, size: int) -> Iterator[list]:
    """Lists of at most `size` items, in order."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch

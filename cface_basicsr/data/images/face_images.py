"""Image files of face crops: found, read, fitted to a network's input, and written as PNG."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.images.face_crop import Rejected, decode_photo
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.face_store import encode_png
from cface_basicsr.files.text_file import read_whole

Face = NDArray[np.uint8]
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff', '.pgm', '.ppm', '.gif', '.heic', '.heif')
"""Endings of the files in a folder that count as images; a file that is named itself may end in anything."""
LARGEST_ASPECT = 1.5
"""An image whose long side exceeds its short side by more than this factor is not taken for a face crop."""
FACE_SIZE = 128
"""Side of a super-resolved face."""
SMALLEST_FACE = 10
"""Pixels, below which nothing is a face."""
MOST_SHRUNK = 1.05
"""A face may be larger than the input of its network by this factor; its size is hardly known better. What a network
makes of a face that it shrinks more is farther from it than bicubic interpolation: by 0.1 dB at 1.17, 0.3 dB at 1.3
(`python -m performance.photo_gain`)."""


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


def fits(side: float, scale: int) -> bool:
    """Whether a network of this scale need not shrink a face of this side in pixels by more than `MOST_SHRUNK`.

    >>> [fits(side, 8) for side in (10, 16.8, 17)]
    [True, True, False]
    """
    return side <= MOST_SHRUNK * FACE_SIZE / scale


def scale_for(sides: Mapping[int, float]) -> int:
    """The scale of the network that is given a face: the one with the smallest input that does not shrink it.

    If each does, it is the one with the largest input, and `fits` says whether that takes it.

    Args:
        sides: scale of each network -> side of the face in pixels.

    >>> [scale_for({8: side, 4: side}) for side in (12, 16, 17, 33, 50)]
    [8, 8, 4, 4, 4]
    """
    whole = [scale for scale, side in sides.items() if round(side) <= FACE_SIZE // scale]
    return max(whole, default=min(sides))


def to_low_resolution(face: Face, size: int) -> Face:
    """Fit a face crop to a network's input: its largest centred square, resized by the bicubic kernel of LR faces.

    A crop is taken where a face of a photograph is: smaller ones are enlarged, larger ones shrunk by at most 5 %.

    Args:
        face: uint8 (H, W, 3) RGB; a face of exactly size x size pixels is returned as it is.
        size: side of the network's input in pixels.

    Returns:
        uint8 (size, size, 3).

    Raises:
        UserError: the short side is below 10 pixels or above `size` by more than 5 % (the message says what would fit),
            or the image is far from square.
    """
    height, width = face.shape[:2]
    short = _short_side(face)
    if short < SMALLEST_FACE or not fits(short, FACE_SIZE // size):
        fitting = [f'x{scale}' for scale in (4, 2) if fits(short, scale) and short >= SMALLEST_FACE]
        advice = f'use a network for {" or ".join(fitting)}' if fitting else 'resize or crop it first'
        raise UserError(f'{width}x{height} pixels: this network takes faces up to {size}x{size} (short side '
                        f'{SMALLEST_FACE} to {int(MOST_SHRUNK * size)}); {advice}.')
    return squared(face, size)


def squared(face: Face, size: int) -> Face:
    """The largest centred square of a face crop of any size, as uint8 (size, size, 3); see `to_low_resolution`.

    Raises:
        UserError: the image is far from square.
    """
    import torch  # files are found and measured without it

    from cface_basicsr.ops.resize import bicubic_resize
    short = _short_side(face)
    top, left = ((side - short) // 2 for side in face.shape[:2])
    square = torch.from_numpy(face[top:top + short, left:left + short].transpose(2, 0, 1).copy())[None]
    resized = bicubic_resize(square.float() / 255, size)[0].clamp(0, 1)
    return (resized * 255).round().byte().permute(1, 2, 0).numpy()


def _short_side(face: Face) -> int:
    height, width = face.shape[:2]
    if max(height, width) > LARGEST_ASPECT * min(height, width):
        raise UserError(f'{width}x{height} pixels is not a face crop: expected a long side of at most '
                        f'{LARGEST_ASPECT} times the short one.')
    return min(height, width)


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

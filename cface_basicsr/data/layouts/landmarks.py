"""Landmarks of each image from a file: CelebA's two files, or a user's lines 'NAME x1 y1 … x5 y5'.

The order is: the eye on the left of the picture, the eye on the right, the tip of the nose, the left and the right
corner of the mouth; in pixels, where (0, 0) is the centre of the first pixel. With four numbers a line has only the
eyes, with eight (as for SCface) the eyes, the tip of the nose and the middle of the mouth; the five are then where a
template has them that lies on these points. NAME is the image's path relative to the source folder, or just its file
name, with or without the ending, if no other image has the same.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cface_basicsr.data.images.align import points_outside, similarity_transform, template_points
from cface_basicsr.data.images.face_crop import Rejected, upright_size
from cface_basicsr.data.layouts.annotation_table import Annotations, count_numbers, read_annotation_table
from cface_basicsr.data.layouts.source import Listing, Photos, Source
from cface_basicsr.errors import UserError, first_few
from cface_basicsr.files.image_keys import composed

COLUMNS = ('x1', 'y1', 'x2', 'y2', 'x3', 'y3', 'x4', 'y4', 'x5', 'y5')
_SAMPLE = 64
"""Number of images whose size is compared with their landmarks before any work."""
_FEW = 0.05
"""Up to this share of the images may have a landmark outside, as faces at the border do."""


def read_landmarks(path: str | Path) -> Annotations:
    """Read the landmarks in a file.

    Raises:
        UserError: see `read_annotation_table`; or the eyes are in the wrong order.
    """
    count = count_numbers(path)
    table = read_annotation_table(path, COLUMNS[:count if count in (4, 8) else 10])
    points = np.array(list(table.values()))
    if np.mean(points[:, 0] > points[:, 2]) > 0.5:
        raise UserError(f"'{path}': in most lines x1 is right of x2. Expected the eye on the left of the picture, the "
                        'other eye,\nthe nose, the left corner of the mouth, the right one.')
    return table if points.shape[1] == 10 else {name: _five(np.reshape(each, (-1, 2))) for name, each in table.items()}


def _five(points: np.ndarray) -> tuple[float, ...]:
    """The five landmarks of a face by its eyes (2, 2), or by eyes, nose and middle of the mouth (4, 2)."""
    template = template_points('arcface', 112)
    known = np.concatenate([template[:3], template[3:].mean(0, keepdims=True)])[:len(points)]
    matrix = similarity_transform(known, points)
    return tuple((template @ matrix[:, :2].T + matrix[:, 2]).ravel().tolist())


def assign_landmarks(listing: Listing, table: Annotations, path: Path) -> None:
    """Give each source its landmarks; sources without landmarks are rejected.

    Args:
        listing: is changed.
        table: the landmarks by name.
        path: the file that they were read from.

    Raises:
        UserError: no source has landmarks, a name fits several sources, or the landmarks are for images of another
            size.
    """
    table = {composed(name): points for name, points in table.items()}
    names = {source: _name(source, table) for source in listing.sources}
    shared = [name for name, count in Counter(names.values()).items() if name is not None and count > 1]
    if shared:
        raise UserError(f"'{path}': {len(shared)} names fit several images, for example '{shared[0]}'. Write them as "
                        "paths below the source folder, such as 'person/image.jpg'.")
    found = [source._replace(points=table[name]) for source, name in names.items() if name is not None]
    if not found:
        raise UserError(f"'{path}' has landmarks for none of the {len(names)} images: it names "
                        f'{first_few(sorted(table))}, the source has {listing.sources[0].path}.')
    check_landmarks_fit(listing.photos, found, path)
    without = [source for source, name in names.items() if name is None]
    listing.rejected += [(source.path, f'no landmarks in {path.name}') for source in without]
    listing.sources, listing.files['landmarks'] = found, path
    listing.notes.append(f"landmarks for {len(found)} images from '{path}'."
                         + (f' {len(without)} images have none.' if without else '')
                         + (f' {len(table) - len(found)} lines name no image.' if len(table) > len(found) else ''))


def _name(source: Source, table: Annotations) -> str | None:
    """The name of a source in the table; None if it is not there."""
    path = composed(source.path)
    file = path.rpartition('/')[2]
    return next((name for name in (path, file, os.path.splitext(file)[0]) if name in table), None)


def check_landmarks_fit(photos: Photos, sources: Sequence[Source], path: Path) -> None:
    """Compare the landmarks of a sample of sources with the size of their images.

    Raises:
        UserError: more than a few images have a landmark outside.
    """
    sample = sources[::max(1, len(sources) // _SAMPLE)][:_SAMPLE]
    sizes = {source: size for source in sample if (size := image_size(photos, source))}
    outside = {source: points for source, size in sizes.items()
               if len(points := points_outside(np.reshape(source.points, (5, 2)), *size))}
    if len(outside) > _FEW * len(sizes):
        source, points = next(iter(outside.items()))
        width, height = sizes[source]
        raise UserError(
            f"'{path}' is for images of another size: landmark ({points[0, 0]:g}, {points[0, 1]:g}) of '{source.path}' "
            f'lies outside the {width}x{height} pixels\n(and so in {len(outside)} of {len(sizes)} images examined). '
            "Give the landmarks of exactly these images; CelebA's\naligned images have "
            'list_landmarks_align_celeba.txt, those in the wild list_landmarks_celeba.txt.')


def image_size(photos: Photos, source: Source) -> tuple[int, int] | None:
    """(width, height) in pixels of an image, upright; None if it cannot be read."""
    try:
        return upright_size(photos.read(source))
    except Rejected:
        return None

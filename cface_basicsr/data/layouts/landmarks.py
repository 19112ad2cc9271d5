"""Five landmarks an image from a file: CelebA's two files, or 'NAME x1 y1 … x5 y5' lines of one's own.

The order is: eye on the left of the picture, eye on the right, tip of the nose, corner of the mouth on the left, on the
right; in pixels, (0, 0) being the centre of the first one. NAME is the image's path below the source folder, or its
file name alone where no other image has the same.
"""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cface_basicsr.data.images.align import points_outside
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.data.layouts.annotation_table import Annotations, read_annotation_table
from cface_basicsr.data.layouts.source import Listing, Photos, Source, some_of
from cface_basicsr.errors import UserError

COLUMNS = ('x1', 'y1', 'x2', 'y2', 'x3', 'y3', 'x4', 'y4', 'x5', 'y5')
LOOKED_AT = 64
"""Images whose size is compared with their landmarks before any work."""
_FEW = 0.05
"""A share of images with a landmark outside that is put down to single faces at a border."""


def read_landmarks(path: str | Path) -> Annotations:
    """The landmarks of a file.

    Raises:
        UserError: see `read_annotation_table`; or the eyes are in the other order.
    """
    table = read_annotation_table(path, COLUMNS)
    points = np.array(list(table.values()))
    if np.mean(points[:, 0] > points[:, 2]) > 0.5:
        raise UserError(f"'{path}': in most lines x1 is right of x2. Expected the eye on the left of the picture, the "
                        'other eye,\nthe nose, the corner of the mouth on the left, the other one.')
    return table


def take_landmarks(listing: Listing, table: Annotations, path: Path) -> None:
    """Give each source its landmarks; those without are rejected.

    Raises:
        UserError: no source has any, a name fits several, or the landmarks are of images of another size.
    """
    names = {source: _name(source, table) for source in listing.sources}
    shared = [name for name, count in Counter(names.values()).items() if name is not None and count > 1]
    if shared:
        raise UserError(f"'{path}': {len(shared)} names fit several images, for example '{shared[0]}'. Write them as "
                        "paths below the source folder, such as 'person/image.jpg'.")
    found = [source._replace(points=table[name]) for source, name in names.items() if name is not None]
    if not found:
        raise UserError(f"'{path}' has landmarks for none of the {len(names)} images: it names {some_of(table, 1)}, "
                        f'the source has {listing.sources[0].path}.')
    check_sizes(listing.photos, found, path)
    listing.rejected += [(source.path, f'no landmarks in {path.name}') for source, name in names.items()
                         if name is None]
    listing.sources, listing.files['landmarks'] = found, path
    listing.notes.append(f"landmarks: of {len(found)} images, from '{path}'."
                         + (f' {len(names) - len(found)} images have none.' if len(names) > len(found) else '')
                         + (f' {len(table) - len(found)} lines name no image.' if len(table) > len(found) else ''))


def _name(source: Source, table: Annotations) -> str | None:
    """How the table calls a source; None: not at all."""
    return next((name for name in (source.path, source.path.rsplit('/', 1)[-1]) if name in table), None)


def check_sizes(photos: Photos, sources: Sequence[Source], path: Path) -> None:
    """Compare landmarks with the size of some of their images.

    Raises:
        UserError: they lie outside of more than a few.
    """
    looked_at = sources[::max(1, len(sources) // LOOKED_AT)][:LOOKED_AT]
    sizes = {source: size for source in looked_at if (size := image_size(photos, source))}
    outside = {source: points for source, size in sizes.items()
               if len(points := points_outside(np.reshape(source.points, (5, 2)), *size))}
    if len(outside) > _FEW * len(sizes):
        source, points = next(iter(outside.items()))
        width, height = sizes[source]
        raise UserError(
            f"'{path}' is for images of another size: landmark ({points[0, 0]:g}, {points[0, 1]:g}) of '{source.path}' "
            f'lies outside of its {width}x{height} pixels\n(so in {len(outside)} of {len(sizes)} images looked at). '
            "Give the landmarks of these very images; CelebA's\naligned images have list_landmarks_align_celeba.txt, "
            'those in the wild list_landmarks_celeba.txt.')


def image_size(photos: Photos, source: Source) -> tuple[int, int] | None:
    """(width, height) by the head of an image; None where it has none."""
    try:
        with Image.open(io.BytesIO(photos.read(source))) as image:
            return image.size
    except (Rejected, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None

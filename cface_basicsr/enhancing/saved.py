"""What is written for a photograph: the image, its faces, what they were, and a record."""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cface_basicsr.enhancing.enlarging import enlarged
from cface_basicsr.enhancing.paste import Picture
from cface_basicsr.enhancing.photo import EnhancedPhoto
from cface_basicsr.enhancing.photo_file import PhotoFile, write_photo
from cface_basicsr.files.atomic import write_text


def save_photo(photo: PhotoFile, enhanced: EnhancedPhoto, target: Path, kinds: Collection[str], upscale: int,
               check: Callable[[Path], None]) -> dict[str, Any]:
    """Write the results of a photograph.

    Args:
        photo: as it was read; its pixels are not needed any more.
        target: <name>.png, the place of the image.
        kinds: some of `enhancing.request.SAVED`.
        upscale: by how much the image was enlarged.
        check: raises UserError for a file that may not be written; it is asked for all before the first is written.

    Returns:
        the record, which is also what the JSON file holds: 'path', 'written' (the image, or the first of the other
        results), 'files' and 'faces', for each of which `EnhancedFace.as_plain`.
    """
    pictures = dict(_pictures(enhanced, target, kinds))
    record_file = target.with_suffix('.json') if 'json' in kinds else None
    files = [*pictures, *([record_file] if record_file else [])]
    for file in files:
        check(file)
    record = {'path': str(photo.path), 'written': str(next(iter(files), '')), 'files': [str(file) for file in files],
              'faces': [face.as_plain() for face in enhanced.faces]}
    for file, pixels in pictures.items():
        write_photo(file, with_pixels(photo, pixels, upscale if file == target else None))
    if record_file:
        write_text(record_file, json.dumps(record, indent=2, ensure_ascii=False))
    return record


def with_pixels(photo: PhotoFile, pixels: Picture, upscale: int | None) -> PhotoFile:
    """A photograph with other pixels.

    Args:
        pixels: the enhanced ones, or those of one of its faces.
        upscale: by how much they are enlarged, and so the transparency; None: they have none.
    """
    alpha = enlarged(photo.alpha, upscale) if upscale and photo.alpha is not None else None
    return replace(photo, pixels=pixels, alpha=alpha)


def _pictures(enhanced: EnhancedPhoto, target: Path, kinds: Collection[str]) -> Iterator[tuple[Path, Picture]]:
    faces = [face for face in enhanced.faces if face.sr is not None]
    if 'image' in kinds:
        yield target, enhanced.image
    if 'faces' in kinds:
        for number, face in enumerate(enhanced.faces, 1):  # as in the record
            if face.sr is not None:
                yield target.with_suffix(f'.face{number}.png'), face.sr
    if 'compare' in kinds and faces:
        rows = [np.concatenate([face.bicubic, face.sr], axis=1) for face in faces]
        yield target.with_suffix('.compare.png'), np.concatenate(rows)

"""Pictures of many systems: one row per face, one column per system, with readable labels.

The paper's Fig. 7 and 8 show whole faces (a), and a region of each enlarged (b).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from cface_basicsr.data.images.face_images import read_face
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import replacing
from cface_basicsr.measuring.results import Faces, Region, Results

_Face = NDArray[np.uint8]
_GAP, _MARGIN = 4, 8
_SMALLEST_FONT = 12

DEFAULT_REGIONS = (Region('eyes', (0.21, 0.25, 0.80, 0.48)), Region('mouth', (0.29, 0.62, 0.72, 0.86)),
                   Region('nose', (0.33, 0.38, 0.67, 0.68)))
"""Of a face that is cut out like CASIA-WebFace's middle; keys without a region of their own take them in turn."""

_FRAME = (230, 30, 30)


def face_grid(columns: Mapping[str, Sequence[_Face]], path: str | Path, scale: float = 1,
              row_labels: Sequence[str] | None = None, captions: Mapping[str, Sequence[str]] | None = None) -> Path:
    """Write a labelled PNG: one column per system, one row per face.

    All cells are as large as the largest face; smaller ones (the 16x16 input) are enlarged by repeated pixels, so
    that one sees what the network saw. Labels break at spaces and hyphens to the width of their column.

    Args:
        columns: title -> uint8 (H, W, 3) RGB faces, equally many in each column, in one order.
        path: of the PNG, which appears only when it is complete.
        scale: enlarges the cells; 1 shows a pixel as a pixel.
        row_labels: to the left of each row.
        captions: title -> a text below each face of that column.

    Returns:
        path.

    Raises:
        UserError: no faces, columns of unequal length, or arrays that are not faces.
    """
    rows = _check(columns, row_labels)
    cell = round(scale * max(max(face.shape[:2]) for faces in columns.values() for face in faces))
    font = ImageFont.load_default(size=max(_SMALLEST_FONT, cell // 9))
    titles = [_wrap(title, font, cell) for title in columns]
    head = _MARGIN + max(_height(title, font) for title in titles) + _GAP
    step = cell + _GAP + (round(font.size * 1.4) if captions else 0)
    side = _MARGIN + (max(round(font.getlength(label)) for label in row_labels) + _GAP if row_labels else 0)
    wide = [max(cell, round(max(font.getlength(line) for line in title.split('\n')))) for title in titles]
    canvas = Image.new('RGB', (side + sum(wide) + _GAP * (len(wide) - 1) + _MARGIN,
                               head + rows * step + _MARGIN), 'white')
    draw = ImageDraw.Draw(canvas)
    for row, label in enumerate(row_labels or ()):
        draw.text((_MARGIN, head + row * step + cell / 2), label, 'black', font, anchor='lm')
    left = side
    for title, key, width, faces in zip(titles, columns, wide, columns.values(), strict=True):
        draw.multiline_text((left + width / 2, head - _GAP), title, 'black', font, anchor='md', align='center')
        for row, face in enumerate(faces):
            fitted = ImageOps.pad(Image.fromarray(face), (cell, cell), Image.Resampling.NEAREST, 'white')
            canvas.paste(fitted, (left + (width - cell) // 2, head + row * step))
        for row, text in enumerate((captions or {}).get(key, ())):
            draw.text((left + width / 2, head + row * step + cell + _GAP / 2), text, 'black', font, anchor='ma')
        left += width + _GAP
    path = Path(path)
    with replacing(path) as aside:
        canvas.save(aside, format='PNG')
    return path


def _check(columns: Mapping[str, Sequence[_Face]], row_labels: Sequence[str] | None) -> int:
    """Number of rows."""
    lengths = {title: len(faces) for title, faces in columns.items()}
    if not lengths or not min(lengths.values()) or len(set(lengths.values())) > 1:
        raise UserError(f'a face grid needs columns of equal length with at least one face, got {lengths}.')
    rows = next(iter(lengths.values()))
    if row_labels is not None and len(row_labels) != rows:
        raise UserError(f'a face grid of {rows} rows got {len(row_labels)} row labels.')
    for title, faces in columns.items():
        for face in faces:
            if face.dtype != np.uint8 or face.ndim != 3 or face.shape[2] != 3:
                raise UserError(f"column '{title}': expected uint8 (H, W, 3) faces, got {face.dtype} {face.shape}.")
    return rows


def _wrap(title: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Lines as long as the width allows; a single long word stays whole."""
    lines = ['']
    for word in title.replace('-', '-\0').replace(' ', ' \0').split('\0'):
        if lines[-1] and font.getlength((lines[-1] + word).strip()) > width:
            lines.append('')
        lines[-1] += word
    return '\n'.join(line.strip() for line in lines)


def _height(text: str, font: ImageFont.FreeTypeFont) -> int:
    return round(ImageDraw.Draw(Image.new('L', (1, 1))).multiline_textbbox((0, 0), text, font)[3])


# -------------------------------------------------------------------------------------------------- of the results

def face_files(results: Results, faces: Faces, scale: int, folder: Path) -> dict[str, dict[str, Path]]:
    """Title -> key -> file of the face, where it is there: LR, then each system by the first seed that has faces.

    Args:
        folder: where the paths in the results begin.
    """
    columns = {'LR': faces.low.get(scale, {})} | {
        system: next((run.faces for run in results.runs_of(system, scale) if run.faces), {})
        for system in results.systems}
    return {title: {key: folder / path for key, path in paths.items() if (folder / path).is_file()}
            for title, paths in columns.items()}


def shown_faces(results: Results, faces: Faces, scale: int, folder: Path) -> dict[str, list[_Face]]:
    """Title -> uint8 (H, W, 3) faces in the order of the keys, of `face_files` where none is missing."""
    return {title: [read_face(files[key]) for key in faces.keys]
            for title, files in face_files(results, faces, scale, folder).items() if set(faces.keys) <= set(files)}


def regions_of(faces: Faces) -> list[Region]:
    """The region of each key."""
    return [faces.regions.get(key, DEFAULT_REGIONS[place % len(DEFAULT_REGIONS)])
            for place, key in enumerate(faces.keys)]


def crop(face: _Face, region: Region) -> _Face:
    """The pixels of a region, with its borders rounded outwards.

    >>> crop(np.zeros((10, 20, 3), np.uint8), Region('', (0.25, 0.5, 0.75, 1.0))).shape
    (5, 10, 3)
    """
    left, top, right, bottom = _pixels(face, region)
    return face[top:bottom, left:right]


def framed(face: _Face, region: Region) -> _Face:
    """A copy with a red frame of one pixel just inside the region's border."""
    left, top, right, bottom = _pixels(face, region)
    copy = Image.fromarray(face)
    ImageDraw.Draw(copy).rectangle((left, top, right - 1, bottom - 1), outline=_FRAME)
    return np.asarray(copy)


def write_grids(columns: Mapping[str, Sequence[_Face]], regions: Sequence[Region], stem: Path) -> list[Path]:
    """<stem>a.png, whole faces; <stem>b.png, the region of each row, beginning with the framed region in HR.

    Args:
        columns: of `shown_faces`; HR must be there. A smaller input is enlarged by repeated pixels before it is cut, so
            that all columns show the same part.
    """
    whole = columns['HR']
    zoomed = {'HR, framed': [framed(face, region) for face, region in zip(whole, regions, strict=True)]}
    zoomed |= {title: [crop(_as_large_as(face, hr), region)
                       for face, hr, region in zip(faces, whole, regions, strict=True)]
               for title, faces in columns.items()}
    return [face_grid(columns, stem.with_name(f'{stem.name}a.png')),
            face_grid(zoomed, stem.with_name(f'{stem.name}b.png'), row_labels=[region.name for region in regions])]


def _pixels(face: _Face, region: Region) -> tuple[int, int, int, int]:
    left, top, right, bottom = region.box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError(f"region '{region.name}': expected left < right and top < bottom in [0, 1], got {region.box}.")
    height, width = face.shape[:2]
    return math.floor(left * width), math.floor(top * height), math.ceil(right * width), math.ceil(bottom * height)


def _as_large_as(face: _Face, hr: _Face) -> _Face:
    """A face whose size divides that of HR, enlarged by repeated pixels."""
    return face.repeat(hr.shape[0] // face.shape[0], axis=0).repeat(hr.shape[1] // face.shape[1], axis=1)

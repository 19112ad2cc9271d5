"""A picture of many systems: rows of faces, columns of systems, with readable labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import replacing

Face = NDArray[np.uint8]
_GAP, _MARGIN = 4, 8
_SMALLEST_FONT = 12


def face_grid(columns: Mapping[str, Sequence[Face]], path: str | Path, scale: float = 1,
              row_labels: Sequence[str] | None = None) -> Path:
    """Write a labelled PNG: one column a system, one row a face.

    All cells are as large as the largest face; smaller ones (the 16x16 input) are enlarged by repeated pixels, so
    that one sees what the network saw. Labels break at spaces and hyphens to the width of their column.

    Args:
        columns: title -> uint8 (H, W, 3) RGB faces, as many in each column, in one order.
        path: of the PNG; written aside, then renamed.
        scale: enlarges the cells; 1 shows a pixel as a pixel.
        row_labels: at the left of each row.

    Returns:
        path.

    Raises:
        UserError: no faces, columns of unequal length, or arrays that are no faces.
    """
    rows = _check(columns, row_labels)
    cell = round(scale * max(max(face.shape[:2]) for faces in columns.values() for face in faces))
    font = ImageFont.load_default(size=max(_SMALLEST_FONT, cell // 9))
    titles = [_wrap(title, font, cell) for title in columns]
    head = _MARGIN + max(_height(title, font) for title in titles) + _GAP
    side = _MARGIN + (max(round(font.getlength(label)) for label in row_labels) + _GAP if row_labels else 0)
    wide = [max(cell, round(max(font.getlength(line) for line in title.split('\n')))) for title in titles]
    canvas = Image.new('RGB', (side + sum(wide) + _GAP * (len(wide) - 1) + _MARGIN,
                               head + rows * (cell + _GAP) + _MARGIN), 'white')
    draw = ImageDraw.Draw(canvas)
    for row, label in enumerate(row_labels or ()):
        draw.text((_MARGIN, head + row * (cell + _GAP) + cell / 2), label, 'black', font, anchor='lm')
    left = side
    for title, width, faces in zip(titles, wide, columns.values(), strict=True):
        draw.multiline_text((left + width / 2, head - _GAP), title, 'black', font, anchor='md', align='center')
        for row, face in enumerate(faces):
            canvas.paste(_fit(face, cell), (left + (width - cell) // 2, head + row * (cell + _GAP)))
        left += width + _GAP
    return _save(canvas, Path(path))


def _check(columns: Mapping[str, Sequence[Face]], row_labels: Sequence[str] | None) -> int:
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


def _fit(face: Face, cell: int) -> Image.Image:
    """The face enlarged by repeated pixels so that its longer side fills the cell, centred on white."""
    height, width = face.shape[:2]
    factor = cell / max(height, width)
    resized = Image.fromarray(face).resize((round(width * factor), round(height * factor)), Image.Resampling.NEAREST)
    square = Image.new('RGB', (cell, cell), 'white')
    square.paste(resized, ((cell - resized.width) // 2, (cell - resized.height) // 2))
    return square


def _save(canvas: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        canvas.save(aside, format='PNG')
    return path

"""The qualitative grids of the paper's Fig. 7 and 8: whole faces (a), and a region of each enlarged (b)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.results import Faces, Region, Results
from cface_basicsr.report.face_grid import Face, face_grid

DEFAULT_REGIONS = (Region('eyes', (0.21, 0.25, 0.80, 0.48)), Region('mouth', (0.29, 0.62, 0.72, 0.86)),
                   Region('nose', (0.33, 0.38, 0.67, 0.68)))
"""Of a face whose crop is CASIA-WebFace's middle; a key without a region of its own takes them in turn."""

INPUT = 'LR'
_FRAME = np.array((230, 30, 30), np.uint8)


def shown_faces(results: Results, faces: Faces, scale: int, folder: Path) -> dict[str, list[Face]]:
    """Title -> uint8 (H, W, 3) faces in order of the keys, of the first seed that was finished: LR, then the systems.

    Args:
        folder: where the paths begin.

    Raises:
        UserError: a picture is missing.
    """
    columns = {INPUT: faces.low.get(scale, {})}
    for system in results.systems:
        columns[system] = next((run.faces for run in results.runs_of(system, scale)
                                if run.status == 'done' and set(faces.keys) <= set(run.faces)), {})
    return {title: [_read(folder / paths[key]) for key in faces.keys]
            for title, paths in columns.items() if set(faces.keys) <= set(paths)}


def regions_of(faces: Faces) -> list[Region]:
    """The region of each key."""
    return [faces.regions.get(key, DEFAULT_REGIONS[place % len(DEFAULT_REGIONS)])
            for place, key in enumerate(faces.keys)]


def crop(face: Face, region: Region) -> Face:
    """The pixels of a region, borders rounded outwards.

    >>> crop(np.zeros((10, 20, 3), np.uint8), Region('', (0.25, 0.5, 0.75, 1.0))).shape
    (5, 10, 3)
    """
    left, top, right, bottom = _pixels(face, region)
    return face[top:bottom, left:right]


def framed(face: Face, region: Region) -> Face:
    """A copy with a red frame of one pixel just inside the region's border."""
    left, top, right, bottom = _pixels(face, region)
    copy = face.copy()
    copy[top:bottom, [left, right - 1]] = _FRAME
    copy[[top, bottom - 1], left:right] = _FRAME
    return copy


def write_grids(columns: Mapping[str, Sequence[Face]], regions: Sequence[Region], stem: Path) -> list[Path]:
    """<stem>a.png, whole faces; <stem>b.png, the region of each row, HR with its frame first.

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


def _pixels(face: Face, region: Region) -> tuple[int, int, int, int]:
    left, top, right, bottom = region.box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError(f"region '{region.name}': expected left < right and top < bottom in [0, 1], got {region.box}.")
    height, width = face.shape[:2]
    return (int(np.floor(left * width)), int(np.floor(top * height)), int(np.ceil(right * width)),
            int(np.ceil(bottom * height)))


def _as_large_as(face: Face, hr: Face) -> Face:
    """A face of which HR is a whole multiple, by repeated pixels."""
    return face.repeat(hr.shape[0] // face.shape[0], axis=0).repeat(hr.shape[1] // face.shape[1], axis=1)


def _read(path: Path) -> Face:
    if not path.is_file():
        raise UserError(f"the face '{path}' of the results is missing.\nTo measure again, delete the row's file in the "
                        "run folder (x8/HR.json, x8/seed0/measured/<row>.json) and run the command again.")
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))

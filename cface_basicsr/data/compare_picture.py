"""A picture of compare faces: one row per person, with the k nearest and random images (the paper's Fig. 5 and 6)."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cface_basicsr.data.identity_rows import IdentityRows
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.face_store import FaceStore

_GAP = 4
_TITLE = 20
_RANDOM = 3


def draw_compare_faces(store: FaceStore, labels: np.ndarray, index: np.ndarray, path: str | Path, *, rows: int = 8,
                       seed: int = 0) -> None:
    """Write a PNG whose rows show an image, its k nearest images of the same identity, and random ones of the others.

    No photograph is twice in a row; where there are too few, places stay empty.

    Args:
        store: HR faces; its sorted keys are the rows of `labels` and `index`.
        labels: (N,) ints.
        index: (N, k) rows, -1 where there are too few.
        path: of the file.
        rows: number of identities, preferably with the full number of neighbours.
        seed: of the random choices.
    """
    generator = np.random.default_rng(seed)
    cells = [[row, *index[row], *_others(labels, [row, *index[row]], generator)]
             for row in _choose(IdentityRows(labels), index, rows, generator)]
    titles = ['image', *(f'k = {place + 1}' for place in range(index.shape[1])), *['random'] * _RANDOM]
    with replacing(path) as aside:
        _grid(store, cells, titles).save(aside, format='PNG')


def _choose(identities: IdentityRows, index: np.ndarray, count: int, generator: np.random.Generator) -> list[int]:
    """One random row of each of `count` random identities, in ascending order."""
    one_each = np.array([generator.choice(rows) for rows in identities])
    order = generator.permutation(len(one_each))
    full = (index[one_each[order]] >= 0).sum(1)
    return sorted(one_each[order[np.argsort(-full, kind='stable')[:count]]].tolist())


def _others(labels: np.ndarray, shown: list[int], generator: np.random.Generator) -> list[int]:
    """Random rows of the same identity that are not shown yet; at most `_RANDOM`."""
    left = np.setdiff1d(np.flatnonzero(labels == labels[shown[0]]), shown)
    return generator.permutation(left)[:_RANDOM].tolist()


def _grid(store: FaceStore, cells: list[list[int]], titles: list[str]) -> Image.Image:
    height, width = store.image(store.keys[0]).shape[:2]
    step_x, step_y = width + _GAP, height + _TITLE
    sheet = Image.new('RGB', (len(titles) * step_x + _GAP, len(cells) * step_y + _TITLE + _GAP), 'white')
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, title in enumerate(titles):
        draw.text((column * step_x + _GAP, 3), title, 'black', font)
    for line, rows in enumerate(cells):
        for column, row in enumerate(rows):
            if row >= 0:
                corner = (column * step_x + _GAP, line * step_y + _TITLE)
                sheet.paste(Image.fromarray(store.image(store.keys[row])), corner)
                draw.text((corner[0], corner[1] + height + 2), store.keys[row][-width // 7:], 'gray', font)
    return sheet

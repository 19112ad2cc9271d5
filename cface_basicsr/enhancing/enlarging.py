"""Photographs enlarged by bicubic interpolation: as a whole, or a part of the whole by itself."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3), or (H, W)."""
_CUBIC = 3
"""Pixels around a part of a photograph that its enlargement depends on, and one more."""


def enlarged(photo: Pixels, factor: int) -> Pixels:
    """A copy of a photograph, `factor` times as large."""
    if factor == 1:
        return photo.copy()
    return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def enlarged_part(photo: Pixels, factor: int, rows: slice, columns: slice) -> Pixels:
    """These pixels of `enlarged(photo, factor)`, without the others."""
    small = [slice(max(each.start // factor - _CUBIC, 0), -(-each.stop // factor) + _CUBIC) for each in (rows, columns)]
    tops = [each.start * factor for each in small]
    part = enlarged(photo[small[0], small[1]], factor)
    return part[rows.start - tops[0]:rows.stop - tops[0], columns.start - tops[1]:columns.stop - tops[1]]

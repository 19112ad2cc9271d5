"""Baseline JPEG (ITU-T T.81, and JFIF's colours) as literal loops: what an image is after coding and decoding."""

import math

import numpy as np
from numpy.typing import NDArray

LUMINANCE = np.array([[16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
                      [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
                      [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
                      [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]])
"""Table K.1 of the standard."""
CHROMINANCE = np.array([[17, 18, 24, 47, 99, 99, 99, 99], [18, 21, 26, 66, 99, 99, 99, 99],
                        [24, 26, 56, 99, 99, 99, 99, 99], [47, 66, 99, 99, 99, 99, 99, 99],
                        *[[99] * 8] * 4])
"""Table K.2."""


def slow_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, H and W multiples of 16, with colour at half resolution."""
    red, green, blue = image.astype(float).transpose(2, 0, 1)
    y = np.rint(0.299 * red + 0.587 * green + 0.114 * blue)
    cb = np.rint(128 - 0.168735892 * red - 0.331264108 * green + 0.5 * blue)
    cr = np.rint(128 + 0.5 * red - 0.418687589 * green - 0.081312411 * blue)
    y = _coded(y, _table(LUMINANCE, quality))
    cb, cr = (_doubled(_coded(_halved(plane), _table(CHROMINANCE, quality))) - 128 for plane in (cb, cr))
    rgb = [y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb]
    return np.rint(np.stack(rgb, 2)).clip(0, 255).astype(np.uint8)


def _table(base: NDArray, quality: int) -> NDArray:
    """libjpeg's scaling of a table by quality."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((base * percent + 50) // 100).clip(1, 255)


def _coded(plane: NDArray, table: NDArray) -> NDArray:
    """Each block of 8x8: cosine transform, quantized, and back."""
    result = np.empty_like(plane)
    basis = np.empty((8, 8))
    for u in range(8):
        for x in range(8):
            basis[u, x] = (math.sqrt(1 / 8) if u == 0 else 0.5) * math.cos((2 * x + 1) * u * math.pi / 16)
    for top in range(0, len(plane), 8):
        for left in range(0, plane.shape[1], 8):
            levels = np.rint(basis @ (plane[top:top + 8, left:left + 8] - 128) @ basis.T / table)
            block = np.rint(basis.T @ (levels * table) @ basis + 128)
            result[top:top + 8, left:left + 8] = block.clip(0, 255)
    return result


def _halved(plane: NDArray) -> NDArray:
    """Means of 2x2 pixels; a half is rounded down and up in turn, as in libjpeg."""
    result = np.empty((len(plane) // 2, plane.shape[1] // 2))
    for row in range(result.shape[0]):
        for column in range(result.shape[1]):
            result[row, column] = (plane[2 * row:2 * row + 2, 2 * column:2 * column + 2].sum() + 1 + column % 2) // 4
    return result


def _doubled(plane: NDArray) -> NDArray:
    """Twice the size by libjpeg's triangle: 3/4 of the nearer and 1/4 of the next sample, in both directions."""
    height, width = plane.shape
    result = np.empty((2 * height, 2 * width))
    for row in range(2 * height):
        for column in range(2 * width):
            near_row, near_column = row // 2, column // 2
            next_row = min(max(near_row + (1 if row % 2 else -1), 0), height - 1)
            next_column = min(max(near_column + (1 if column % 2 else -1), 0), width - 1)
            near = 3 * plane[near_row, near_column] + plane[next_row, near_column]
            far = 3 * plane[near_row, next_column] + plane[next_row, next_column]
            result[row, column] = (3 * near + far + (7 if column % 2 else 8)) // 16
    return result

"""The canvas of a synthetic head: coordinates, soft masks, bumps, noise tiles, and windows to paint in.

It is SIZE x SIZE and spans [-SPAN, SPAN] face units in both directions (see `traits.py`). Shapes are implicit: a signed
distance, positive inside, becomes a mask with a soft edge one image pixel wide, so nothing needs supersampling.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
SIZE = 256
SPAN = 1.5
EDGE = 0.02
AXIS = ((np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE * 2 - 1) * np.float32(SPAN)
U, V = AXIS[None, :], AXIS[:, None]
DARK = np.array([0.012, 0.008, 0.006], np.float32)


def planes(colour: tuple[float, ...] | Plane) -> Plane:
    """A colour (3,) as (3, 1, 1), so that it broadcasts with planes (3, m, n)."""
    return np.asarray(colour, np.float32).reshape(3, 1, 1)


class Window(NamedTuple):
    """A rectangle of the canvas: its slices, and u, v relative to its centre; a mirrored window has u reversed."""

    rows: slice
    columns: slice
    u: Plane
    v: Plane

    def blend(self, albedo: Plane, mask: Plane, colour: tuple[float, ...] | Plane) -> None:
        """Paint a colour over the albedo where the (m, n) mask is 1."""
        part = albedo[:, self.rows, self.columns]
        part += mask * (planes(colour) - part)

    def darken(self, albedo: Plane, mask: Plane) -> None:
        """Multiply the albedo by 1 - mask; red a little less than green and blue, as in skin."""
        albedo[:, self.rows, self.columns] *= 1 - mask * planes((0.9, 1.0, 1.0))


def window(u: float, v: float, half_width: float, half_height: float, side: int = 1) -> Window:
    """The rectangle of the canvas around (u, v), in face units; side -1 mirrors its u."""
    def span(centre: float, half: float) -> slice:
        scale = SIZE / (2 * SPAN)
        return slice(max(0, int((centre - half + SPAN) * scale)), min(SIZE, int((centre + half + SPAN) * scale) + 2))
    columns, rows = span(u, half_width), span(v, half_height)
    return Window(rows, columns, side * (U[:, columns] - np.float32(u)), V[rows] - np.float32(v))


def soft(distance: Plane, edge: float = EDGE) -> Plane:
    """A mask in [0, 1] from a signed distance in face units: 1 inside, 0 outside, a ramp of width `edge`."""
    return np.clip(distance / np.float32(edge) + np.float32(0.5), 0, 1).astype(np.float32, copy=False)


def bump(x: Plane, width: float) -> Plane:
    """A Gaussian of a coordinate; the product of two of them is a hill."""
    return np.exp(-np.square(x / np.float32(width)))


def crease(x: Plane, width: float) -> Plane:
    """The shade across a crease: dark in the middle, light on both sides; four fifths of the mean shade cancel out."""
    return bump(x, width) - np.float32(0.32) * bump(x, 2.5 * width)


def ease(x: Plane) -> Plane:
    """A coordinate clipped to [0, 1]."""
    return np.clip(x, 0, 1)


@lru_cache(maxsize=1)
def noise_tiles() -> tuple[Plane, Plane, Plane]:
    """Three fixed tiles (2S, 2S) with zero mean and unit variance: fine grain, vertical strands, and waves."""
    white = np.random.default_rng(20240229).standard_normal((2 * SIZE, 2 * SIZE)).astype(np.float32)
    grain = cv2.GaussianBlur(white, (0, 0), 0.9)
    strands = cv2.GaussianBlur(white, (0, 0), sigmaX=1.1, sigmaY=14.0)
    strands += 0.6 * cv2.GaussianBlur(white, (0, 0), sigmaX=4.0, sigmaY=30.0) * 3
    waves = cv2.GaussianBlur(white, (0, 0), 6.0)
    return grain / grain.std(), strands / strands.std(), waves / waves.std()


def tile(tile: Plane, number: int) -> Plane:
    """The part (S, S) of a noise tile that belongs to a number, such as that of an identity."""
    row, column = number * 37 % SIZE, number * 91 % SIZE
    return tile[row:row + SIZE, column:column + SIZE]

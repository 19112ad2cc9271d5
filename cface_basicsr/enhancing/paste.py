"""What super-resolution adds to a face, put into its photograph: only its region, with a soft edge.

The face that the network was given has lost a little of the photograph, since it was turned upright and resampled. So
the photograph stays as it is, and what the network's face has beyond a bicubic one is added to it: what was lost is
missing in both, and is not taken from the photograph. By PSNR this is the better the larger the face, 0.7 dB at 32
pixels and x4 (`python -m performance.photo_gain`).
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.images.align import similarity_transform, warp_face

Picture = NDArray[np.uint8] | NDArray[np.uint16]
Cutout = Callable[[slice, slice], Picture]
"""Rows and columns -> that region of a picture."""
_CENTRE, _RADII = (0.5, 0.52), (0.46, 0.47)
"""Of the ellipse, as shares of the face's width and height; all of it lies inside the square."""
_SOFT = 0.25
"""Share of the ellipse's radius over which it fades."""


def ellipse_weights(points: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """How much of the face is shown at some points of its square: 1 inside, 0 from the edge of an ellipse on.

    Args:
        points: (..., 2) x, y in pixels of the face; pixel centres are integers.
        size: side of the face in pixels.

    Returns:
        (...) in [0, 1]; between, a smooth step 3 t² - 2 t³.
    """
    centre, radii = np.array(_CENTRE) * size - 0.5, np.array(_RADII) * size
    distance = np.sqrt(np.square((points - centre) / radii).sum(-1))
    share = np.clip((1 - distance) / _SOFT, 0, 1)
    return (share ** 2 * (3 - 2 * share)).astype(np.float32)


def same_colours(face: NDArray[np.uint8], like: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """A face whose low frequencies are those of another one: shading and colour stay as they were photographed.

    Args:
        face, like: uint8 (H, W, 3).
        sigma: of the Gaussian that says what is low, in pixels.
    """
    fine, coarse = face.astype(np.float32), like.astype(np.float32)
    low = cv2.GaussianBlur(fine, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    wanted = cv2.GaussianBlur(coarse, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.clip(np.rint(fine - low + wanted), 0, 255).astype(np.uint8)


def paste_detail(photo: Picture, detail: NDArray[np.float32], points: NDArray[np.float64], target: NDArray[np.float64],
                 strength: float = 1.0, plain: Cutout | None = None) -> tuple[slice, slice] | None:
    """Add what a face has beyond a bicubic one to a photograph, in place; only the pixels under the ellipse change.

    Args:
        photo: uint8 or uint16 (H, W, 3).
        detail: float32 (S, S, 3), the super-resolved face minus the bicubic one, in grey levels of 8 bits.
        points: (N, 2) landmarks in pixels of the face.
        target: (N, 2) where they belong in the photograph.
        strength: 1: all of it; 0: the photograph as it was.
        plain: the photograph that the detail is added to, and which the result shows under the ellipse. None: `photo`;
            where other faces, or another enlargement, have changed that, what it was before.

    Returns:
        the rows and columns that may have changed; None where the face lies outside the photograph.
    """
    size = len(detail)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) - 0.5
    there = similarity_transform(points, target)
    outline = corners @ there[:, :2].T + there[:, 2]
    left, top = np.maximum(np.floor(outline.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(outline.max(0)).astype(int) + 1, photo.shape[1::-1])
    if right <= left or bottom <= top:
        return None
    rows, columns = slice(int(top), int(bottom)), slice(int(left), int(right))
    height, width = int(bottom - top), int(right - left)
    weights = strength * _weights(points, target - [left, top], height, width, size)[..., None]
    region, most = photo[rows, columns], np.iinfo(photo.dtype).max
    added = warp_face(detail, points, target - [left, top], (height, width)) * np.float32(most / 255)
    shown = np.clip((plain(rows, columns) if plain else region) + added, 0, most)
    mixed = np.rint(region + weights * (shown - region)).astype(photo.dtype)
    np.copyto(region, mixed, where=weights > 0)
    return rows, columns


def _weights(points: NDArray[np.float64], target: NDArray[np.float64], height: int, width: int, size: int
             ) -> NDArray[np.float32]:
    """(height, width) weights of a region whose pixels are mapped back into the face."""
    back = similarity_transform(target, points)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
    return ellipse_weights(grid @ back[:, :2].T + back[:, 2], size)

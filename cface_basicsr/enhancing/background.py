"""What is around the faces of a photograph, enlarged by a network of the user's choice instead of interpolation."""

from pathlib import Path

import cv2
import numpy as np
import torch

from cface_basicsr.enhancing.paste import Picture
from cface_basicsr.enhancing.photo import Enlarge, FaceNetwork, eight_bits
from cface_basicsr.evaluation.super_resolution import scale_of, super_resolve
from cface_basicsr.zoo.open import open_network

_TILE, _SHARED = 256, 16
"""Side of a tile, and what it sees of its neighbours on each side, in pixels of the photograph."""


def open_background(weights: str | Path, device: str | torch.device = 'cpu') -> Enlarge:
    """How a network enlarges photographs; see `enlarged_by`.

    Args:
        weights: see `zoo.open.open_network`.
        device: where it runs.

    Raises:
        UserError: the network is unknown or damaged, or does not enlarge.
    """
    network = open_network(weights)
    scale = scale_of(network, f"weights file '{weights}'")
    return lambda photo, factor: enlarged_by(network, scale, photo, factor, device)


def enlarged_by(network: FaceNetwork, scale: int, photo: Picture, factor: int, device: str | torch.device = 'cpu'
                ) -> Picture:
    """A photograph, enlarged by a network tile by tile, so that memory does not grow with what the network needs.

    Args:
        network: (1, 3, h, w) in [0, 1] -> (1, 3, s h, s w).
        scale: s; where it is not `factor`, each tile is brought to that by interpolation.
        photo: uint8 or uint16 (H, W, 3) RGB; the network sees 8 bits of it.

    Returns:
        (factor H, factor W, 3) of the type of the photograph.

    Raises:
        UserError: the network gives NaN.
    """
    eight, (height, width), full = eight_bits(photo), photo.shape[:2], 1 if photo.dtype == np.uint8 else 257
    image = np.empty((factor * height, factor * width, 3), photo.dtype)
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            above, before = min(top, _SHARED), min(left, _SHARED)
            part = eight[top - above:top + _TILE + _SHARED, left - before:left + _TILE + _SHARED]
            tile = _resized(super_resolve(network, part[None], device=device)[0], factor / scale)
            own = tile[factor * above:, factor * before:][:factor * _TILE, :factor * _TILE]
            place = image[factor * top:factor * (top + _TILE), factor * left:factor * (left + _TILE)]
            place[:] = own[:place.shape[0], :place.shape[1]].astype(photo.dtype) * full
    return image


def _resized(tile: Picture, by: float) -> Picture:
    if by == 1:
        return tile
    size = [round(by * side) for side in tile.shape[1::-1]]
    return cv2.resize(tile, size, interpolation=cv2.INTER_AREA if by < 1 else cv2.INTER_CUBIC)

"""From a stored image to what networks eat."""

import cv2
import numpy as np
import torch
from torch import Tensor


def image_tensor(image: np.ndarray, mirror: bool = False) -> Tensor:
    """float32 (3, H, W) in [0, 1] of a uint8 (H, W, 3) image; equal to BasicSR's conversion bit by bit.

    Args:
        mirror: swap left and right.
    """
    height, width = image.shape[:2]
    chw = np.empty((3, height, width), np.float32)
    # Planes first, then one pass from 8-bit to float over each: neighbouring bytes are divided together.
    for plane, out in zip(cv2.split(cv2.flip(image, 1) if mirror else image), chw, strict=True):
        np.divide(plane, np.float32(255), out=out, dtype=np.float32)
    return torch.from_numpy(chw)

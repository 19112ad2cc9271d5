"""From a stored image to the input of a network."""

import cv2
import numpy as np
import torch
from torch import Tensor


def image_tensor(image: np.ndarray, mirror: bool = False) -> Tensor:
    """Convert a uint8 (H, W, 3) image to float32 (3, H, W) in [0, 1]; bit for bit what BasicSR's conversion gives.

    Args:
        mirror: swap left and right.
    """
    height, width = image.shape[:2]
    chw = np.empty((3, height, width), np.float32)
    # Splitting the planes first lets the division run over neighbouring bytes, which is faster.
    for plane, out in zip(cv2.split(cv2.flip(image, 1) if mirror else image), chw, strict=True):
        np.divide(plane, np.float32(255), out=out, dtype=np.float32)
    return torch.from_numpy(chw)

"""From a stored image to what networks eat."""

import numpy as np
import torch
from torch import Tensor


def image_tensor(image: np.ndarray, mirror: bool = False) -> Tensor:
    """float32 (3, H, W) in [0, 1] of a uint8 (H, W, 3) image; equal to BasicSR's conversion bit by bit.

    Args:
        mirror: swap left and right.
    """
    if mirror:
        image = image[:, ::-1]
    height, width = image.shape[:2]
    # One pass from 8-bit HWC to float CHW; three torch operations instead take longer than decoding half an image.
    chw = np.empty((3, height, width), np.float32)
    np.divide(image.transpose(2, 0, 1), np.float32(255), out=chw, dtype=np.float32)
    return torch.from_numpy(chw)

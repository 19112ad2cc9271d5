"""From a stored image to what networks eat."""

import numpy as np
import torch
from torch import Tensor


def image_tensor(image: np.ndarray, mirror: bool = False) -> Tensor:
    """float32 (3, H, W) in [0, 1] of a uint8 (H, W, 3) image; equal to BasicSR's conversion bit by bit.

    Args:
        mirror: swap left and right (on 8-bit values, before they grow fourfold).
    """
    if mirror:
        image = image[:, ::-1]
    chw = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(chw).float().div_(255)

"""Low-resolution faces: antialiased bicubic (a = -0.5, as in MATLAB and Pillow) of 8-bit HR, rounded to 8 bits."""

import numpy as np
import torch

from cface_basicsr.ops.resize import bicubic_resize


@torch.no_grad()
def low_resolution(hr: np.ndarray, scale: int) -> np.ndarray:
    """Downscale a batch of images.

    The arithmetic is float32 on 0..255, where the weights of x2 are exact, so that ties round to even as in Pillow.

    Args:
        hr: uint8 (B, H, W, 3).
        scale: a divisor of H and W.

    Returns:
        uint8 (B, H / scale, W / scale, 3).
    """
    height, width = hr.shape[1:3]
    images = torch.from_numpy(np.ascontiguousarray(hr.transpose(0, 3, 1, 2))).float()
    small = bicubic_resize(images, (height // scale, width // scale)).clamp(0, 255).round().byte()
    return small.permute(0, 2, 3, 1).contiguous().numpy()

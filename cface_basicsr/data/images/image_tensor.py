"""From stored images to the input of a network: bytes travel, and become floats on the device, all images at once."""

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from cface_basicsr.data.images.low_resolution import reduce_mirrored


def byte_tensor(planes: np.ndarray, mirror: bool = False) -> Tensor:
    """A tensor of uint8 planes (3, H, W).

    Args:
        mirror: swap left and right.
    """
    if mirror:
        planes = cv2.flip(planes.reshape(-1, planes.shape[-1]), 1).reshape(planes.shape)
    return torch.from_numpy(planes)


def unit_range(images: Tensor) -> Tensor:
    """uint8 of any shape as float32 in [0, 1]; bit for bit what BasicSR's conversion gives, on any device."""
    # Divided by a tensor: a GPU multiplies by the reciprocal of a number, which rounds otherwise.
    return images.float().div_(torch.full((), 255.0, device=images.device))


def image_tensor(planes: np.ndarray, mirror: bool = False) -> Tensor:
    """The planes (3, H, W) of a stored image as float32 in [0, 1].

    Args:
        mirror: swap left and right.
    """
    # NumPy converts and divides in one pass, so one image takes two thirds of the time that `unit_range` needs.
    return torch.from_numpy(np.divide(byte_tensor(planes, mirror).numpy(), np.float32(255), dtype=np.float32))


def batch_on(device: str | torch.device, batch: dict[str, Any], scale: int = 1) -> dict[str, Any]:
    """A batch with its tensors on the device, and its images as float32 in [0, 1].

    Args:
        device: of the model.
        batch: of a data set of ours; images are uint8, or floats already. With `lq_from_gt` it has no 'lq'.
        scale: of the LR images that are made from HR then.
    """
    there = {name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
             for name, value in batch.items()}
    if 'lq_path' in there and 'lq' not in there:
        there['lq'] = reduce_mirrored(there['gt'], there['flip'], scale)
    return {name: unit_range(value) if isinstance(value, Tensor) and value.dtype == torch.uint8 else value
            for name, value in there.items()}

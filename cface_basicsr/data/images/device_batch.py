"""A batch on its way to a model of ours: bytes cross to the device and become floats there, all images at once."""

from typing import Any

import torch
from torch import Tensor

from cface_basicsr.data.images.image_tensor import unit_range
from cface_basicsr.data.images.low_resolution import reduce_mirrored


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

"""Running a super-resolution network over 8-bit faces, batch by batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import to_images

Images = NDArray[np.uint8]


@torch.inference_mode()
def super_resolve(network: nn.Module, lr: Images, *, batch_size: int = 32,
                  device: str | torch.device = 'cpu') -> Images:
    """Super-resolved 8-bit faces, clamped and rounded as BasicSR saves them.

    Args:
        network: (B, 3, h, w) in [0, 1] -> (B, 3, s h, s w); put into eval mode on the device.
        lr: (N, h, w, 3) uint8 RGB.

    Returns:
        (N, s h, s w, 3) uint8 RGB.

    Raises:
        UserError: the network gives NaN.
    """
    network.to(device).eval()
    parts = []
    for start in range(0, len(lr), batch_size):
        sr = network(to_images(lr[start:start + batch_size], device))
        if torch.isnan(sr).any():
            raise UserError(f'the network {type(network).__name__} gives NaN: its weights are broken.')
        parts.append((sr.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


@torch.inference_mode()
def scale_of(network: nn.Module, name: str = 'the network') -> int:
    """By which factor a network enlarges, found by one pass over a small image.

    Args:
        name: for the message.

    Raises:
        UserError: it is no super-resolution network.
    """
    device = next((p.device for p in network.parameters()), 'cpu')
    try:
        shape = tuple(network.eval()(torch.zeros(1, 3, 16, 16, device=device)).shape)
    except Exception as error:  # a recognizer or a discriminator fails in its own way on such an input
        raise UserError(f'{name} holds {type(network).__name__}, which takes no 16x16 image '
                        f'({str(error)[:80]}).\nExpected a super-resolution network.') from error
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] % 16:
        raise UserError(f'{name} holds {type(network).__name__}, which turns a 16x16 image into shape {shape}.\n'
                        'Expected a super-resolution network.')
    return shape[2] // 16

"""Running a super-resolution network over 8-bit faces, batch by batch."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import Images, to_images
from cface_basicsr.runtime import eval_mode


@torch.inference_mode()
def super_resolve(network: Callable[[Tensor], Tensor], lr: Images | Tensor, *, batch_size: int = 32,
                  device: str | torch.device = 'cpu', names: Sequence[str] | None = None) -> Images:
    """Super-resolved 8-bit faces, clamped and rounded as BasicSR saves them.

    Args:
        network: (B, 3, h, w) in [0, 1] -> (B, 3, s h, s w); a module moves to the device and runs in eval mode.
        lr: (N, h, w, 3) uint8 RGB; or (N, 3, h, w) in [0, 1], which the network is given as it is.
        batch_size: faces at a time.
        names: what a message calls the N images.

    Returns:
        (N, s h, s w, 3) uint8 RGB.

    Raises:
        UserError: a value is NaN or infinite.
    """
    if isinstance(network, nn.Module):
        network.to(device)
    parts = []
    with eval_mode(network):
        for start in range(0, len(lr), batch_size):
            batch = lr[start:start + batch_size]
            sr = network(batch.to(device) if isinstance(batch, Tensor) else to_images(batch, device))
            check_finite(sr, network, start, names)
            parts.append((sr.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


def check_finite(sr: Tensor, network: Callable[[Tensor], Tensor], start: int, names: Sequence[str] | None = None
                 ) -> None:
    """Check what a network has made of a batch.

    Args:
        sr: (B, 3, s h, s w).
        start: number of the batch's first image, for messages.
        names: what a message calls the images, from the first one of all.

    Raises:
        UserError: a value is NaN or infinite.
    """
    bad = torch.nonzero(~torch.isfinite(sr).flatten(1).all(1))
    if len(bad):
        row = start + int(bad[0])
        which = names[row] if names else f'image {row}'
        raise UserError(f'the network {type(network).__name__} gives NaN or infinity for {which}. Its training has '
                        'diverged: use an earlier checkpoint.')


@torch.inference_mode()
def scale_of(network: nn.Module, name: str = 'the network') -> int:
    """The factor by which a network enlarges (B, 3, h, w) images, found by one pass over a small one.

    Args:
        name: what a message calls the network.

    Raises:
        UserError: it is not a super-resolution network.
    """
    device = next((p.device for p in network.parameters()), 'cpu')
    side = getattr(network, 'input_side', 16)  # a graph may take only one size
    try:
        shape = tuple(network.eval()(torch.zeros(1, 3, side, side, device=device)).shape)
    except Exception as error:  # a recognizer or a discriminator fails in its own way on such an input
        raise UserError(f'{name} holds {type(network).__name__}, which takes no {side}x{side} image '
                        f'({str(error)[:80]}).\nExpected a super-resolution network.') from error
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] % side:
        raise UserError(f'{name} holds {type(network).__name__}, which turns a {side}x{side} image into shape '
                        f'{shape}.\nExpected a super-resolution network.')
    return shape[2] // side

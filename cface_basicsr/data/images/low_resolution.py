"""Low-resolution faces: antialiased bicubic (a = -0.5, as in MATLAB and Pillow) of 8-bit HR, rounded to 8 bits."""

import numpy as np
import torch
from torch import Tensor

from cface_basicsr.data.images.face_crop import Size, both_sides
from cface_basicsr.ops.recognizer_input import centre_crop_to_aspect
from cface_basicsr.ops.resize import bicubic_resize


@torch.no_grad()
def reduce_bytes(hr: Tensor, scale: int) -> Tensor:
    """Downscale a batch of images.

    The arithmetic is float32 on 0..255, where the weights of x2 are exact, so that ties round to even as in Pillow. A
    GPU may shorten float32 products (TF32), so it takes float64; where a value is halfway to within float32's error, it
    may round to the other grey level.

    Args:
        hr: uint8 (B, 3, H, W).
        scale: a divisor of H and W.

    Returns:
        uint8 (B, 3, H / scale, W / scale).
    """
    images = hr.double() if hr.is_cuda else hr.float()
    return bicubic_resize(images, (hr.shape[-2] // scale, hr.shape[-1] // scale)).clamp(0, 255).round().byte()


def reduce_mirrored(hr: Tensor, mirrored: Tensor, scale: int) -> Tensor:
    """The LR images of a batch that is mirrored in part: each is the mirror image of the LR image of its original.

    Sums in another order may round otherwise, so what is mirrored is turned back first.

    Args:
        hr: uint8 (B, 3, H, W).
        mirrored: bool (B,).
        scale: a divisor of H and W.
    """
    chosen = mirrored[:, None, None, None]
    small = reduce_bytes(torch.where(chosen, hr.flip(-1), hr), scale)
    return torch.where(chosen, small.flip(-1), small)


def low_resolution(hr: np.ndarray, scale: int) -> np.ndarray:
    """`reduce_bytes` for uint8 (B, H, W, 3) arrays, which give uint8 (B, H / scale, W / scale, 3)."""
    images = torch.from_numpy(np.ascontiguousarray(hr.transpose(0, 3, 1, 2)))
    return reduce_bytes(images, scale).permute(0, 2, 3, 1).contiguous().numpy()


@torch.no_grad()
def resize_whole(photo: np.ndarray, size: Size) -> np.ndarray:
    """A photograph that is a face already, uint8 (H, W, 3), at another size, uint8 (height, width, 3).

    It is cut at the centre to the aspect ratio of `size`, and resized by the same bicubic kernel, up or down.
    """
    height, width = both_sides(size)
    images = torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))[None].float()
    resized = bicubic_resize(centre_crop_to_aspect(images, height, width), (height, width))
    return resized.clamp(0, 255).round().byte()[0].permute(1, 2, 0).contiguous().numpy()

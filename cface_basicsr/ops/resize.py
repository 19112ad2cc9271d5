"""Bicubic resize with antialiasing: the kernel of MATLAB's imresize and of Pillow's BICUBIC.

Keys' cubic kernel with a = -0.5, widened by the scale factor on reduction. OpenCV's INTER_CUBIC is another
kernel (a = -0.75, no antialiasing) and gives other low-resolution images.
"""

from torch import Tensor
from torch.nn import functional


def bicubic_resize(x: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize images to any size; differentiable.

    Args:
        x: (B, C, H, W) float images, any range; the usual one is [0, 1].
        size: (height, width), or one number for a square.

    Returns:
        (B, C, height, width), not clamped: a cubic kernel overshoots at edges.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if x.shape[-2:] == (height, width):
        return x
    return functional.interpolate(x, size=(height, width), mode='bicubic', antialias=True, align_corners=False)

"""How different a restored face looks from the true one: LPIPS or DISTS, a metric for BasicSR's validation.

    metrics:
      lpips: {type: calculate_perceptual_distance, kind: lpips, weights: FOLDER, better: lower}
"""

import functools
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cface_basicsr import registration
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import to_images
from cface_basicsr.evaluation.perceptual import PerceptualDistance, PerceptualKind
from cface_basicsr.runtime import pick_device


@registration.metric
def calculate_perceptual_distance(img: NDArray[np.uint8], img2: NDArray[np.uint8], *, kind: PerceptualKind,
                                  weights: str, device: str | None = None,
                                  better: Literal['higher', 'lower'] = 'lower') -> float:
    """LPIPS or DISTS of one image pair; see `PerceptualDistance`.

    Args:
        img, img2: (H, W, 3) uint8 BGR, as BasicSR's validation hands them over.
        kind: 'lpips' or 'dists'.
        weights: folder with torchvision's alexnet-owt-7be5be79.pth (lpips) or vgg16-397923af.pth (dists).
        device: None: CUDA if there is any. The network is built once and kept.
        better: for BasicSR's record of the best value; must be 'lower', as for any distance.

    Raises:
        UserError: another shape, a file that is missing, or `better: higher`.
    """
    if better != 'lower':
        raise UserError(f"better: a distance is better when lower, got '{better}'.")
    if img.dtype != np.uint8 or img.ndim != 3 or img.shape[2] != 3 or img2.shape != img.shape:
        raise UserError(f'{kind}: expected two uint8 (H, W, 3) images of one shape, got {img.dtype} {img.shape} and '
                        f'{img2.shape}.')
    device = device or str(pick_device())
    images = (to_images(each[None, ..., ::-1], device) for each in (img, img2))  # BGR to RGB
    return _distance(kind, weights, device)(*images).item()


@functools.lru_cache(maxsize=2)
def _distance(kind: str, weights: str, device: str) -> PerceptualDistance:
    return PerceptualDistance(kind, weights).to(torch.device(device))

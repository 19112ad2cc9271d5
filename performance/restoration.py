"""PSNR and SSIM of image pairs of 128x128, against BasicSR's functions called image by image.

LFW has 13,233 faces. Time is linear in their number, so a tenth of them is measured unless more is asked for.
"""

import numpy as np

from performance.limits import Limit
from performance.measure import Finding, ratio
from performance.sides import Job, Side, against

LFW = 13_233
SIZE = 128
BATCH = 256
GAUSSIAN = 5 * 2 * 11 * 2
"""Operations a pixel: SSIM blurs five images (both, their squares, their product) by 11 taps in each direction."""


def run(*, rows: int = 1323, size: int = SIZE, rounds: int = 3, threads: int = 1) -> list[Finding]:
    """Measure.

    Args:
        rows: pairs of images; 13,233 for all of LFW.
        size: of an image.
        rounds: how often each side is measured.
        threads: of our side.
    """
    race = against(*(Side(f'performance.restoration:{name}', {'rows': rows, 'size': size}, threads)
                     for name in ('ours', 'basicsr')), rounds)
    apart = np.abs(np.subtract(race.ours.results[-1], race.rival.results[-1])).max(axis=0)
    whole = '' if rows == LFW else f'; for LFW\'s {LFW:,}, by proportion: {{:.3g}} s'
    limit = Limit(rows * 3 * size ** 2 * GAUSSIAN, rows * 3 * size ** 2 * 2, threads)
    return [Finding('restoration', f'PSNR and SSIM of {rows:,} pairs of {size}x{size}; the largest differences are '
                                   f'{apart[0]:.2g} dB and {apart[1]:.2g}',
                    f'{race.ours.spread()} s{whole.format(race.ours.median * LFW / rows)}',
                    f'BasicSR, image by image, {race.threads} thread(s): {race.rival.spread()} s'
                    f'{whole.format(race.rival.median * LFW / rows)}',
                    ratio(race.rival.seconds, race.ours.seconds), 'x', 5, False,
                    limit.words(), race.ours.median / limit.seconds)]


def pairs(rows: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two times (N, 3, H, W) uint8: smooth images, and the same with noise that grows from pair to pair."""
    import cv2
    random = np.random.default_rng(0)
    hr = np.stack([cv2.resize(random.integers(0, 256, (8, 8, 3), np.uint8), (size, size)) for _ in range(rows)])
    strength = np.linspace(0.5, 40, rows)[:, None, None, None]
    sr = np.empty_like(hr)
    for start in range(0, rows, BATCH):
        part = slice(start, start + BATCH)
        noise = random.standard_normal(hr[part].shape, np.float32) * strength[part]
        sr[part] = np.clip(hr[part] + noise, 0, 255).round()
    return tuple(np.ascontiguousarray(images.transpose(0, 3, 1, 2)) for images in (sr, hr))


def ours(rows: int, size: int) -> Job:
    """(N, 2) PSNR and SSIM, in batches."""
    import torch

    from cface_basicsr.evaluation.restoration import psnr_ssim
    sr, hr = pairs(rows, size)
    parts = [slice(start, start + BATCH) for start in range(0, rows, BATCH)]
    return lambda: torch.cat([torch.stack(psnr_ssim(sr[part], hr[part]), dim=1) for part in parts]).tolist()


def basicsr(rows: int, size: int) -> Job:
    """(N, 2) by BasicSR's own functions, from BGR images as they are in a validation."""
    from cface_basicsr.compat.before_import import prepare_import
    prepare_import()
    from basicsr.metrics import calculate_psnr, calculate_ssim
    bgr = [[np.ascontiguousarray(image.transpose(1, 2, 0)[..., ::-1]) for image in pair]
           for pair in zip(*pairs(rows, size), strict=True)]
    return lambda: [(float(calculate_psnr(a, b, 0)), float(calculate_ssim(a, b, 0))) for a, b in bgr]

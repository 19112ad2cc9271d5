"""PSNR and SSIM of image pairs of 128x128, against BasicSR's functions called image by image.

LFW has 13,233 faces. Time is linear in their number, so a tenth of them is measured unless more is asked for.
"""

import numpy as np

from performance.measure import Finding, ratio, take_turns

LFW = 13_233
SIZE = 128
BATCH = 256


def run(*, rows: int = 1323, size: int = SIZE, rounds: int = 3) -> list[Finding]:
    """Measure; both sides may use as many threads as PyTorch has.

    Args:
        rows: pairs of images; 13,233 for all of LFW.
        size: of an image.
        rounds: how often each side is measured.
    """
    import cv2
    import torch

    from cface_basicsr.runtime import keep_freed_memory
    keep_freed_memory()  # as in every process that runs BasicSR with this plugin
    sr, hr = pairs(rows, size)
    numbers: dict[str, np.ndarray] = {}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(torch.get_num_threads())
    try:
        times = take_turns({'ours': lambda: numbers.update(ours=ours(sr, hr)),
                            'basicsr': lambda: numbers.update(basicsr=basicsr(sr, hr))}, rounds)
    finally:
        cv2.setNumThreads(threads)
    apart = np.abs(numbers['ours'] - numbers['basicsr']).max(axis=0)
    mine, stock = times['ours'], times['basicsr']
    what = f'PSNR and SSIM of {rows:,} pairs of {size}x{size}, {torch.get_num_threads()} thread(s)'
    whole = '' if rows == LFW else f'; for LFW\'s {LFW:,}, by proportion: {{:.3g}} s'
    return [Finding('restoration', what, f'{mine.spread()} s{whole.format(mine.median * LFW / rows)}',
                    f'BasicSR, image by image: {stock.spread()} s{whole.format(stock.median * LFW / rows)}',
                    ratio(stock.seconds, mine.seconds), target=5, at_most=False),
            Finding('restoration_psnr', 'the largest difference in PSNR', '–', '–', float(apart[0]), 'dB', 1e-5),
            Finding('restoration_ssim', 'the largest difference in SSIM', '–', '–', float(apart[1]), '', 1e-6)]


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


def ours(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """(N, 2) PSNR and SSIM, in batches."""
    import torch

    from cface_basicsr.evaluation.restoration import psnr_ssim
    batches = (slice(start, start + BATCH) for start in range(0, len(sr), BATCH))
    return torch.cat([torch.stack(psnr_ssim(sr[part], hr[part]), dim=1) for part in batches]).numpy()


def basicsr(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """(N, 2) by BasicSR's own functions, from BGR images as they are in a validation."""
    from cface_basicsr.compat.before_import import prepare_import
    prepare_import()
    from basicsr.metrics import calculate_psnr, calculate_ssim
    bgr = ([image.transpose(1, 2, 0)[..., ::-1] for image in pair] for pair in zip(sr, hr, strict=True))
    return np.array([(calculate_psnr(a, b, 0), calculate_ssim(a, b, 0)) for a, b in bgr])

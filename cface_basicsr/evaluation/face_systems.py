"""One super-resolution system in numbers: verification, PSNR and SSIM; and how far its faces are from the real ones."""

from collections.abc import Iterable, Mapping
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.verification import kfold_accuracy, verification_rate_at_far
from cface_basicsr.ops.identity_distance import identity_distance

Images = NDArray[np.uint8]
Chunk = tuple[Images, Images]


class IdentityDistances(TypedDict):
    """The result of `identity_distances`."""

    sr_hr: float
    sr_compare: float
    hr_compare: float
    images: int


def evaluate_images(sr: Images, hr: Images, pairs: ArrayLike, same: ArrayLike, recognizers: Mapping[str, nn.Module], *,
                    folds: int | ArrayLike = 10, far: float = 0.01, batch_size: int = 64,
                    device: str | torch.device | None = None) -> dict[str, float]:
    """All numbers of one system. Both sides of a pair are super-resolved.

    Args:
        sr: (N, H, W, 3) uint8 RGB; the HR images themselves for the HR row, bicubic ones for the Bicubic row.
        hr: (N, H, W, 3) uint8 RGB, in the same order.
        pairs, same: as `make_pairs` gives them; row numbers into sr and hr.
        recognizers: name -> network that carries `eats`.
        folds: see `kfold_accuracy`; far: see `verification_rate_at_far`.

    Returns:
        'psnr' (dB; inf where an image equals its HR), 'ssim': means over all images; and for each recognizer
        '<name>/accuracy', '<name>/accuracy_std' (over folds, divisor folds - 1), '<name>/vr': shares in [0, 1].
    """
    if sr.shape != hr.shape:
        raise UserError(f'super-resolved and HR images differ in number or size: {sr.shape} and {hr.shape}.')
    chunks = ((sr[start:start + batch_size], hr[start:start + batch_size]) for start in range(0, len(sr), batch_size))
    return evaluate_chunks(chunks, pairs, same, recognizers, folds=folds, far=far, device=device)


def evaluate_chunks(chunks: Iterable[Chunk], pairs: ArrayLike, same: ArrayLike, recognizers: Mapping[str, nn.Module],
                    *, folds: int | ArrayLike = 10, far: float = 0.01,
                    device: str | torch.device | None = None) -> dict[str, float]:
    """As `evaluate_images`, from (sr, hr) chunks of (n, H, W, 3) uint8 in row order: sets larger than memory."""
    features: dict[str, list[NDArray]] = {name: [] for name in recognizers}
    restored = []
    for sr, hr in chunks:
        restored.append(torch.stack(psnr_ssim(sr.transpose(0, 3, 1, 2), hr.transpose(0, 3, 1, 2))))
        for name, recognizer in recognizers.items():
            features[name].append(extract_features(recognizer, sr, device=device))
    if not restored:
        raise UserError('no images to evaluate.')
    psnr, ssim = torch.cat(restored, dim=1).mean(dim=1).tolist()
    numbers = {'psnr': psnr, 'ssim': ssim}
    for name, parts in features.items():
        numbers |= verification_numbers(name, cosine_scores(np.concatenate(parts), pairs), same, folds, far)[0]
    return numbers


def verification_numbers(name: str, scores: ArrayLike, same: ArrayLike, folds: int | ArrayLike,
                         far: float) -> tuple[dict[str, float], list[float]]:
    """'<name>/accuracy', '<name>/accuracy_std', '<name>/vr' of scored pairs, and the accuracy of each fold."""
    accuracy = kfold_accuracy(scores, same, folds)
    return {f'{name}/accuracy': accuracy.mean, f'{name}/accuracy_std': accuracy.std,
            f'{name}/vr': verification_rate_at_far(scores, same, far)}, accuracy.per_fold.tolist()


def identity_distances(sr_features: ArrayLike, hr_features: ArrayLike, compare: ArrayLike) -> IdentityDistances:
    """Mean super-identity distances, equation (4): does stage 3 bring the two domains together (section 3.4)?

    C is the nearest other HR image of the same identity. All three means run over the same images: those with a C.

    Args:
        sr_features, hr_features: (N, D), any length, of one recognizer and one order of images.
        compare: (N,) or (N, k), nearest first: the row of C in hr_features, -1 where the identity has no other image.

    Returns:
        mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C), each in [0, 4], and the number of images behind them.

    Raises:
        UserError: shapes do not fit, a row points at itself or outside, or no image has a C.
    """
    sr, hr, compare = np.asarray(sr_features), np.asarray(hr_features), np.asarray(compare)
    if compare.ndim == 2 and compare.shape[1]:
        compare = compare[:, 0]
    if sr.shape != hr.shape or sr.ndim != 2 or compare.shape != (len(sr),):
        raise UserError(f'expected two features (N, D) and N compare rows, got {sr.shape}, {hr.shape} and '
                        f'{compare.shape}.')
    if (compare == np.arange(len(hr))).any() or (len(hr) and not -1 <= compare.min() <= compare.max() < len(hr)):
        raise UserError(f'the compare index does not fit {len(hr)} images: a row names itself or a row outside.')
    rows = np.flatnonzero(compare >= 0)
    if not len(rows):
        raise UserError('no image has another one of its identity: there is no compare distance.')
    sr_, hr_, c = (torch.from_numpy(part.astype(np.float64)) for part in (sr[rows], hr[rows], hr[compare[rows]]))
    return {'sr_hr': identity_distance(sr_, hr_).mean().item(), 'sr_compare': identity_distance(sr_, c).mean().item(),
            'hr_compare': identity_distance(hr_, c).mean().item(), 'images': len(rows)}

"""One super-resolution system in numbers: verification, PSNR and SSIM; and how far its faces are from the real ones."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import Images, extract_features
from cface_basicsr.evaluation.restoration import Color, psnr_ssim
from cface_basicsr.evaluation.roc import equal_error_rate, roc_curve, tar_at_far
from cface_basicsr.evaluation.verification import kfold_accuracy, verification_rate_at_far
from cface_basicsr.ops.identity_distance import identity_distance


class Embedded(NamedTuple):
    """The result of `embed`.

    Attributes:
        features: recognizer -> (N, D), or (N, 2 D) with mirror images.
        psnr, ssim: (N,), in dB and in [-1, 1]; None without originals.
        kept: row -> image (H, W, 3) uint8 RGB.
    """

    features: dict[str, NDArray[np.float32]]
    psnr: NDArray[np.float64] | None
    ssim: NDArray[np.float64] | None
    kept: dict[int, Images]

    def restoration(self) -> dict[str, float]:
        """'psnr' (dB) and 'ssim': means over the images; neither without originals."""
        return {} if self.psnr is None else {'psnr': float(np.mean(self.psnr)), 'ssim': float(np.mean(self.ssim))}


class IdentityDistances(TypedDict):
    """The result of `identity_distances`: means in [0, 4], and the number of images they are taken over."""

    sr_hr: float
    sr_compare: float
    hr_compare: float
    images: int


def embed(chunks: Iterable[tuple[Images, Images | None]], recognizers: Mapping[str, nn.Module], *,
          flip: bool = False, unit_length: bool = True, color: Color = 'rgb', border: int = 0,
          device: str | torch.device | None = None, keep: Collection[int] = ()) -> Embedded:
    """Features, PSNR and SSIM of one system's images, chunk by chunk.

    Args:
        chunks: (images, originals), each (n, H, W, 3) uint8 RGB; None for originals that have another size.
        recognizers: name -> network that carries `input_spec`.
        flip, unit_length: see `extract_features`.
        color, border: see `psnr_ssim`.
        keep: rows whose images are returned.

    Raises:
        UserError: there are no images, or some have originals and others have none.
    """
    parts: dict[str, list[NDArray]] = {name: [] for name in recognizers}
    kept: dict[int, Images] = {}
    restored, images = [], 0
    for given, originals in chunks:
        kept |= {row: given[row - images] for row in keep if 0 <= row - images < len(given)}
        images += len(given)
        if originals is not None:
            planes = (part.transpose(0, 3, 1, 2) for part in (given, originals))
            restored.append(torch.stack(psnr_ssim(*planes, color=color, border=border)))
        for name, recognizer in recognizers.items():
            parts[name].append(extract_features(recognizer, given, device=device, flip=flip, unit_length=unit_length))
    psnr, ssim = torch.cat(restored, dim=1).numpy() if restored else (None, None)
    if not images or (restored and len(psnr) != images):
        raise UserError('no images to evaluate.' if not images else 'some images have an original, and some have none.')
    return Embedded({name: np.concatenate(features) for name, features in parts.items()}, psnr, ssim, kept)


def verification_numbers(name: str, scores: ArrayLike, same: ArrayLike, folds: int | ArrayLike,
                         far: float) -> tuple[dict[str, float], list[float]]:
    """'<name>/accuracy', '<name>/accuracy_std', '<name>/vr' of scored pairs, and the accuracy per fold: shares.

    Args:
        scores: (P,) similarities; same: (P,) true if both images show the same identity.
        folds: see `kfold_accuracy`; far: a share, see `verification_rate_at_far`.
    """
    accuracy = kfold_accuracy(scores, same, folds)
    return {f'{name}/accuracy': accuracy.mean, f'{name}/accuracy_std': accuracy.std,
            f'{name}/vr': verification_rate_at_far(scores, same, far)}, accuracy.per_fold.tolist()


def rate_numbers(name: str, scores: ArrayLike, same: ArrayLike) -> dict[str, float]:
    """'<name>/eer' and '<name>/tar@<far>' of scored pairs at the usual false accept rates: shares in [0, 1].

    Args:
        scores: (P,) similarities; same: (P,) true if both images show the same identity.
    """
    rates = {f'{name}/tar@{rate.far:g}': rate.tar for rate in tar_at_far(scores, same)}
    return {f'{name}/eer': equal_error_rate(roc_curve(scores, same))} | rates


def identity_distances(sr_features: ArrayLike, hr_features: ArrayLike, compare: ArrayLike) -> IdentityDistances:
    """Mean super-identity distances, equation (4): does stage 3 bring the two domains together (section 3.4)?

    C is the nearest other HR image of the same identity. All three means run over the same images: those with a C.

    Args:
        sr_features, hr_features: (N, D), any length, of one recognizer and one order of images.
        compare: (N,) or (N, k), nearest first: the row of C in hr_features, -1 if the identity has no other image.

    Returns:
        Mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C), each in [0, 4], and the number of images they are taken over.

    Raises:
        UserError: shapes do not match, a row points to itself or outside, or no image has a C.
    """
    sr, hr, compare = np.asarray(sr_features), np.asarray(hr_features), np.asarray(compare)
    if compare.ndim == 2 and compare.shape[1]:
        compare = compare[:, 0]
    if sr.shape != hr.shape or sr.ndim != 2 or compare.shape != (len(sr),):
        raise UserError(f'expected two features (N, D) and N compare rows, got {sr.shape}, {hr.shape} and '
                        f'{compare.shape}.')
    if (compare == np.arange(len(hr))).any() or (len(hr) and not -1 <= compare.min() <= compare.max() < len(hr)):
        raise UserError(f'the compare index does not match {len(hr)} images: a row names itself or a row outside.')
    rows = np.flatnonzero(compare >= 0)
    if not len(rows):
        raise UserError('no identity has a second image, so there is no compare distance.')
    sr_, hr_, c = (torch.from_numpy(part.astype(np.float64)) for part in (sr[rows], hr[rows], hr[compare[rows]]))
    return {'sr_hr': identity_distance(sr_, hr_).mean().item(), 'sr_compare': identity_distance(sr_, c).mean().item(),
            'hr_compare': identity_distance(hr_, c).mean().item(), 'images': len(rows)}

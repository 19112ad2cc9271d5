"""One super-resolution system in numbers: verification, PSNR, SSIM, LPIPS, DISTS; how far its faces are from HR."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import Images, extract_features, to_images
from cface_basicsr.evaluation.perceptual import PerceptualDistance
from cface_basicsr.evaluation.restoration import Color, psnr_ssim
from cface_basicsr.evaluation.roc import equal_error_rate, roc_curve, tar_at_far
from cface_basicsr.evaluation.verification import Ints, kfold_accuracy, verification_rate_at_far
from cface_basicsr.ops.identity_distance import identity_distance
from cface_basicsr.ops.recognizer_input import unit
from cface_basicsr.runtime import pick_device

Compute = Callable[[Images, Images | None], NDArray]


class Embedded(NamedTuple):
    """What is known of one system's N images.

    Attributes:
        features: recognizer -> (N, D), or (N, 2 D) with mirror images; NaN in rows that were not wanted.
        psnr, ssim: (N,), in dB and in [-1, 1]; None without originals.
        kept: row -> image (H, W, 3) uint8 RGB.
        looks: 'lpips' or 'dists' -> (N,), from 0 up, where they were measured.
    """

    features: dict[str, NDArray[np.float32]]
    psnr: NDArray[np.float64] | None
    ssim: NDArray[np.float64] | None
    kept: dict[int, Images]
    looks: Mapping[str, NDArray[np.float32]] = MappingProxyType({})

    def restoration(self) -> dict[str, float]:
        """'psnr' (dB), 'ssim', 'lpips' and 'dists': means over the images; none without originals."""
        known = {} if self.psnr is None else {'psnr': self.psnr, 'ssim': self.ssim, **self.looks}
        return {name: float(np.mean(values)) for name, values in known.items()}


class Quantity:
    """One thing that is computed of each of N images, and its values as far as they are known.

    Attributes:
        facts: what decides the values besides images and weights.
        todo: (N,) whether it is still to be computed.
        values: (N, width), NaN where they are not known; None as long as none is.
    """

    def __init__(self, compute: Compute, facts: dict[str, Any], count: int, rows: Ints | None = None) -> None:
        """
        Args:
            compute: of n images and their originals, each (n, H, W, 3) uint8 RGB, gives (n, width).
            facts: see above.
            count: N; rows: the images that it is wanted of (None: all).
        """
        self.compute, self.facts, self.todo = compute, facts, np.zeros(count, dtype=bool)
        self.todo[slice(None) if rows is None else rows] = True
        self.values: NDArray | None = None

    def put(self, rows: Ints, values: NDArray) -> None:
        """Enter the values (n, width) of some rows (n,), which are done then."""
        if self.values is None:
            self.values = np.full((len(self.todo), values.shape[1]), np.nan, values.dtype)
        self.values[rows] = values
        self.todo[rows] = False


RESTORATION = ('', False)
"""The quantity that holds PSNR and SSIM."""

Quantities = dict[tuple[str, bool | str], Quantity]
"""RESTORATION, ('', 'lpips'), ('', 'dists'), and for features (recognizer, whether of mirror images)."""


def quantities_of(recognizers: Mapping[str, nn.Module], count: int, *, rows: Ints | None = None, flip: bool = False,
                  color: Color = 'rgb', border: int = 0, originals: bool = True,
                  looks: Mapping[str, PerceptualDistance] = MappingProxyType({}),
                  device: str | torch.device | None = None) -> Quantities:
    """What is to be computed of N = `count` images: features by each recognizer, PSNR and SSIM, LPIPS and DISTS.

    Args:
        recognizers: name -> network that carries `input_spec`.
        rows: (R,) the images whose features are wanted, None: all; PSNR and SSIM are those of all.
        flip: also features of the mirror images.
        color, border: see `psnr_ssim`.
        originals: whether there are originals, to which the images are compared.
        looks: 'lpips' or 'dists' -> what measures it.

    Returns:
        quantities of (N, D) features as the networks give them, (N, 2) PSNR in dB and SSIM, and (N, 1) for each of
        `looks`.
    """
    def features(network: nn.Module, mirror: bool) -> Compute:
        return lambda images, _: extract_features(network, images[:, :, ::-1] if mirror else images, device=device,
                                                  unit_length=False)

    def restoration(images: Images, originals: Images) -> NDArray[np.float64]:
        planes = (each.transpose(0, 3, 1, 2) for each in (images, originals))
        return torch.stack(psnr_ssim(*planes, color=color, border=border), dim=1).numpy()

    def difference(look: PerceptualDistance) -> Compute:
        where = pick_device() if device is None else device
        return lambda *pair: look.to(where)(*(to_images(each, where) for each in pair))[:, None].cpu().numpy()

    quantities: Quantities = {}
    if originals:
        quantities[RESTORATION] = Quantity(restoration, {'color': color, 'border': border}, count)
        quantities |= {('', kind): Quantity(difference(look), look.facts, count) for kind, look in looks.items()}
    for name, network in recognizers.items():
        for mirror in (False, True)[:1 + flip]:
            quantities[name, mirror] = Quantity(features(network, mirror), asdict(network.input_spec), count, rows)
    return quantities


def compute_quantities(chunks: Iterable[tuple[Images, Images | None]], quantities: Quantities, rows: Ints,
                       keep: Collection[int] = ()) -> dict[int, Images]:
    """Compute what is to do, chunk by chunk.

    Args:
        chunks: images and their originals, each (n, H, W, 3) uint8 RGB.
        quantities: are filled.
        rows: (M,) which of the N images the chunks hold, in their order.
        keep: rows whose images are returned.
    """
    kept: dict[int, Images] = {}
    done = 0
    for images, originals in chunks:
        here = rows[done:done + len(images)]
        done += len(images)
        kept |= {int(row): image for row, image in zip(here, images, strict=True) if row in keep}
        for quantity in quantities.values():
            mine = quantity.todo[here]
            if mine.any():
                given = [each if each is None or mine.all() else each[mine] for each in (images, originals)]
                quantity.put(here[mine], quantity.compute(*given))
    return kept


def embedded_of(quantities: Quantities, kept: dict[int, Images], *, unit_length: bool = True) -> Embedded:
    """The values of quantities; features (N, D) of image and mirror image are joined before they get unit length."""
    joined: dict[str, list[NDArray]] = {}
    for (name, _), quantity in quantities.items():
        if name:
            joined.setdefault(name, []).append(quantity.values)
    psnr, ssim = np.ascontiguousarray(quantities[RESTORATION].values.T) if RESTORATION in quantities else (None, None)
    looks = {kind: quantity.values[:, 0] for (name, kind), quantity in quantities.items() if not name and kind}
    features = {name: np.concatenate(values, axis=1) for name, values in joined.items()}
    if unit_length:
        features = {name: unit(torch.from_numpy(values)).numpy() for name, values in features.items()}
    return Embedded(features, psnr, ssim, kept, looks)


def verification_numbers(name: str, scores: ArrayLike, same: ArrayLike, folds: int | ArrayLike,
                         far: float) -> tuple[dict[str, float], list[float]]:
    """'<name>/accuracy', '<name>/accuracy_std', '<name>/vr', '<name>/eer' and '<name>/tar@<far>' at the usual false
    accept rates of scored pairs, and the accuracy per fold: shares.

    Args:
        scores: (P,) similarities; same: (P,) true if both images show the same identity.
        folds: see `kfold_accuracy`; far: a share, see `verification_rate_at_far`.
    """
    accuracy = kfold_accuracy(scores, same, folds)
    rates = {f'{name}/tar@{each:g}': found.rate for each, found in tar_at_far(scores, same).items()}
    return {f'{name}/accuracy': accuracy.mean, f'{name}/accuracy_std': accuracy.std,
            f'{name}/vr': verification_rate_at_far(scores, same, far),
            f'{name}/eer': equal_error_rate(roc_curve(scores, same)), **rates}, accuracy.per_fold.tolist()


def identity_distances(sr_features: ArrayLike, hr_features: ArrayLike, compare: ArrayLike) -> dict[str, float]:
    """Mean super-identity distances, equation (4): does stage 3 bring the two domains together (section 3.4)?

    C is the nearest other HR image of the same identity. All three means run over the same images: those with a C.

    Args:
        sr_features, hr_features: (N, D), any length, of one recognizer and one order of images.
        compare: (N,) or (N, k), nearest first: the row of C in hr_features, -1 if the identity has no other image.

    Returns:
        'sr_hr', 'sr_compare', 'hr_compare': mean L_SI(SR, HR), L_SI(SR, C), L_SI(HR, C), each in [0, 4]; and 'images',
        the number that they are taken over.

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

"""One step of Algorithm 1, written out: equations (1) and (3) to (7) with plain tensor operations."""

import math
from typing import Any

import torch
from torch import Tensor

from cface_basicsr.ops.recognizer_input import to_recognizer


def phi(network: Any, images: Tensor) -> Tensor:
    """Identity features, (B, D)."""
    return network(to_recognizer(images, network.input_spec))


def l_si(a: Tensor, b: Tensor) -> Tensor:
    """Equation (4) for each pair, (B,)."""
    return ((a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)) ** 2).sum(1)


def total_loss(model: Any, sr: Tensor, batch: dict[str, Any], *, pixel: float, alpha: float, gamma1: float,
               gamma2: float) -> Tensor:
    """Equation (7) with pixels (L1) in place of the VGG features."""
    content = pixel * (sr - batch['gt']).abs().mean()
    adversarial = -torch.log(torch.sigmoid(model.net_d(sr))).mean()
    f_sr, f_hr, f_c = (phi(model.net_r, images) for images in (sr, batch['gt'], batch['compare']))
    hinge = [max(0.0, (l_si(f_sr, f_c) - l_si(f_hr, f_c))[i]) * float(batch['has_compare'][i]) for i in range(len(sr))]
    return content + alpha * adversarial + gamma1 * l_si(f_sr, f_hr).mean() + gamma2 * sum(hinge) / len(sr)


def discriminator_loss(model: Any, sr: Tensor, hr: Tensor) -> Tensor:
    """Equation (1) as the discriminator sees it."""
    real, fake = torch.sigmoid(model.net_d(hr)), torch.sigmoid(model.net_d(sr))
    return -torch.log(real).mean() - torch.log(1 - fake).mean()


def recognition_loss(model: Any, images: Tensor, labels: Tensor, step: int) -> Tensor:
    """Equation (3) with m = 4 and the annealed mixture of SphereFace, by arccos."""
    features, weight = phi(model.net_r, images), model.net_c.weight
    lambda_ = max(5.0, 1000 / (1 + 0.12 * step))
    losses = []
    for x, label in zip(features, labels.tolist(), strict=True):
        cosines = torch.stack([x @ w / w.norm() / x.norm() for w in weight.T])
        theta = torch.arccos(cosines[label])
        k = math.floor(theta.item() * 4 / math.pi)
        psi = (-1) ** k * torch.cos(4 * theta) - 2 * k
        logits = [x.norm() * c for c in cosines]
        logits[label] = x.norm() * (lambda_ * cosines[label] + psi) / (1 + lambda_)
        losses.append(-torch.log(logits[label].exp() / sum(logit.exp() for logit in logits)))
    return sum(losses) / len(losses)

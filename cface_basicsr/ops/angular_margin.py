"""The angular margin of A-Softmax (SphereFace, Liu et al., CVPR 2017), equation (3) of C-Face.

The logit of the true class is ||x|| psi(theta) instead of ||x|| cos(theta), where

    psi(theta) = (-1)^k cos(m theta) - 2k,   theta in [k pi/m, (k+1) pi/m],   k = 0 .. m-1

falls monotonically from 1 to 1 - 2m. cos(m theta) is Chebyshev's polynomial T_m(cos theta), so neither value nor
gradient needs arccos, whose slope is infinite at cos = +-1. Gradients are the true ones; the Caffe original scales
its backward pass.
"""

import math

import torch
from torch import Tensor

from cface_basicsr.errors import UserError


def a_softmax_logits(features: Tensor, weight: Tensor, labels: Tensor, *, margin: int = 4,
                     lambda_: float | Tensor) -> Tensor:
    """Logits whose cross entropy is the A-Softmax loss.

    Args:
        features: (B, D), not normalized: their length is the scale of the logits.
        weight: (D, C), one column per class; used at unit length, without a bias.
        labels: (B,) int64 in 0 .. C-1.
        margin: m, a whole number from 1 up; 1 leaves softmax on ||x|| cos(theta).
        lambda_: annealing weight from 0 up (a number or a 0-d tensor); the larger, the nearer to plain softmax.

    Returns:
        (B, C) logits.

    Raises:
        UserError: margin is not a whole number from 1 up, or lambda_ is negative.
    """
    if isinstance(lambda_, (int, float)) and lambda_ < 0:
        raise UserError(f'lambda: expected a number from 0 up, got {lambda_}.')
    logits = by_directions(features, weight)
    plain = logits.gather(1, labels[:, None])  # (B, 1)
    length = features.norm(dim=1, keepdim=True)  # (B, 1)
    cos = (plain / length.clamp_min(1e-12)).clamp(-1, 1)
    margined = (lambda_ * plain + length * angular_psi(cos, margin)) / (1 + lambda_)
    return logits.scatter(1, labels[:, None], margined.to(logits.dtype))  # eq (3): the exponents


def by_directions(features: Tensor, weight: Tensor) -> Tensor:
    """||x|| cos(theta_j), (B, C), of features (B, D) and the columns of a weight (D, C), whatever their length.

    The products are divided by the columns' lengths, not the columns: there are far more numbers in the weight.
    """
    return features @ weight / weight.norm(dim=0).clamp_min(1e-12)


def angular_psi(cos: Tensor, margin: int = 4) -> Tensor:
    """psi(theta) as a function of cos(theta).

    Args:
        cos: any shape, in [-1, 1].
        margin: m, a whole number from 1 up.

    Returns:
        Values of the same shape, from 1 (theta = 0) down to 1 - 2 m (theta = pi).

    Raises:
        UserError: margin is not a whole number from 1 up.

    >>> angular_psi(torch.tensor([1.0, 0.0, -1.0]))
    tensor([ 1., -3., -7.])
    """
    if isinstance(margin, bool) or not isinstance(margin, int) or margin < 1:
        raise UserError(f'margin: expected a whole number from 1 up, got {margin!r}.')
    k = torch.zeros_like(cos)
    for j in range(1, margin):
        k = k + (cos <= math.cos(j * math.pi / margin))  # theta >= j pi / m; no gradient: psi is continuous there
    sign = 1 - 2 * (k % 2)  # (-1)^k
    return sign * chebyshev(cos, margin) - 2 * k


def chebyshev(x: Tensor, order: int) -> Tensor:
    """T_n(x) = cos(n arccos(x)), by T_n = 2 x T_(n-1) - T_(n-2).

    Args:
        x: any shape, in [-1, 1]; the values have the same shape and range.
        order: n, from 0 up.

    >>> chebyshev(torch.tensor(0.5), 4)
    tensor(-0.5000)
    """
    before, now = torch.ones_like(x), x
    if order == 0:
        return before
    for _ in range(order - 1):
        before, now = now, 2 * x * now - before
    return now


def annealed_lambda(step: int | Tensor, *, base: float = 1000.0, gamma: float = 0.12, power: float = 1.0,
                    minimum: float = 5.0) -> float | Tensor:
    """lambda = max(minimum, base * (1 + gamma * step) ^ -power), the schedule of SphereFace's Caffe original.

    Args:
        step: iterations done, 1 at the first one; a number, or a 0-d tensor (which stays on its device, so that
            nothing waits for a GPU).
        base, gamma, power, minimum: the schedule; the defaults reach the floor at iteration 1,659.

    Returns:
        A number, or a 0-d tensor if `step` is one.

    >>> annealed_lambda(0), annealed_lambda(1659)
    (1000.0, 5.0)
    """
    value = base * (1 + gamma * step) ** -power
    return value.clamp_min(minimum) if isinstance(value, Tensor) else max(minimum, value)

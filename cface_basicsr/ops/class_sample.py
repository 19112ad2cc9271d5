"""Which classes of a large classifier a step looks at: Partial FC (An et al., ICCV workshops 2021; CVPR 2022).

Drawn on the device, from the number of the step: no generator has a state that a resumed training would have to find
again, nothing waits for a GPU, and every device draws the same.
"""

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""Of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a shift, and a factor."""


def sampled_classes(labels: Tensor, classes: int, rate: float, *, seed: int, step: int | Tensor) -> Tensor:
    """The classes of a batch, and as many others, drawn without replacement, as make up a share of all classes.

    Args:
        labels: (B,) int64 in 0 .. classes - 1; of all ranks, so that they draw the same.
        classes: C.
        rate: the share, in (0, 1].
        seed, step: what decides the draw; the step may be a 0-d int64 tensor on the device of the labels.

    Returns:
        (K,) int64 in ascending order; K is rate C, rounded, but at least min(B, C), so that no label is left out.
    """
    count = max(round(rate * classes), min(len(labels), classes))
    start = _mixed(torch.as_tensor(step, device=labels.device) + _signed(seed * _GOLDEN))
    order = _mixed(torch.arange(classes, device=labels.device) * _signed(_GOLDEN) + start) & (1 << 63) - 1
    first = order.index_fill(0, labels, -1).topk(count, largest=False, sorted=False).indices
    return first.sort().values


def _mixed(number: Tensor) -> Tensor:
    """SplitMix64's finish: int64 numbers as random ones, one to one; products wrap around."""
    for shift, factor in _ROUNDS:
        number = (number ^ _shifted(number, shift)) * _signed(factor)
    return number ^ _shifted(number, 31)


def _shifted(number: Tensor, bits: int) -> Tensor:
    """To the right, as if there were no sign."""
    return number >> bits & (1 << 64 - bits) - 1


def _signed(number: int) -> int:
    """The lowest 64 bits as torch's int64 has them."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)

"""How far apart two identity features are, one number per pair. Equation (4) of C-Face (Han et al., JAIR 2022).

`normalized` is the super-identity distance of SICNN (Zhang et al., ECCV 2018), which C-Face builds on; `l2` and
`cosine` are the two that its section 3.2 found to be worse. For unit features, normalized = 2 * cosine.
"""

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional

from cface_basicsr.errors import UserError, nearest

Distance = Literal['normalized', 'l2', 'cosine']
DISTANCES = get_args(Distance)


def identity_distance(a: Tensor, b: Tensor, distance: str = 'normalized') -> Tensor:
    """The distance of each pair of features.

    Args:
        a, b: (B, D) features, any length.
        distance: 'normalized': squared Euclidean distance of the unit features, summed over D, in [0, 4];
            'l2': the same for the raw features, from 0 up; 'cosine': 1 - cos, in [0, 2].

    Returns:
        (B,) distances; gradients reach both arguments.

    Raises:
        UserError: the distance is unknown.
        ValueError: the shapes differ or are not (B, D).
    """
    check_distance(distance)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f'expected two (B, D) features of one shape, got {tuple(a.shape)} and {tuple(b.shape)}.')
    if distance == 'l2':
        return (a - b).square().sum(1)
    a, b = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
    if distance == 'cosine':
        return 1 - (a * b).sum(1)
    return (a - b).square().sum(1)  # eq (4)


def check_distance(distance: str) -> None:
    """Check the name of a distance.

    Raises:
        UserError: it is none of `DISTANCES`; the message gives the nearest one.
    """
    if distance not in DISTANCES:
        raise UserError(f"distance: expected one of {', '.join(DISTANCES)}, got '{distance}'; "
                        f'{nearest(str(distance), DISTANCES)}')

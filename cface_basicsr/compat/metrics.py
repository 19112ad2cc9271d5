"""FID: SciPy 1.18 took away the argument that BasicSR passes to the matrix square root."""

import types
from typing import Any

import numpy as np

from cface_basicsr.compat.defect import Defect
from cface_basicsr.runtime import installed_version


def _square_root(matrix: np.ndarray, disp: bool = True) -> Any:
    """scipy.linalg.sqrtm as it was before 1.18: with `disp=False` the pair (root, relative error)."""
    from scipy import linalg
    root = linalg.sqrtm(matrix)
    if disp:
        return root
    return root, np.linalg.norm(root @ root - matrix, 'fro') / np.linalg.norm(matrix, 'fro')


def _argument_goes() -> bool:
    """SciPy 1.17 warns, 1.18 refuses."""
    major, minor = (installed_version('scipy') or '0.0').split('.')[:2]
    return (int(major), int(minor)) >= (1, 17)


FID_SQUARE_ROOT = Defect(
    'fid-square-root', 'basicsr.metrics.fid:calculate_fid',
    "TypeError: sqrtm() got an unexpected keyword argument 'disp' (SciPy >= 1.18)",
    upstream='MONAI PR #9076 (the same call)', has='disp=False', condition=_argument_goes,
    replace={'basicsr.metrics.fid:linalg': types.SimpleNamespace(sqrtm=_square_root)})

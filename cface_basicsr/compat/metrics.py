"""FID: SciPy 1.18 took away the argument that BasicSR passes to the matrix square root."""

import functools
import inspect
import types
import warnings
from typing import Any

import numpy as np

from cface_basicsr.compat.defect import Defect


def _square_root(matrix: np.ndarray, disp: bool = True) -> Any:
    """scipy.linalg.sqrtm as it was before 1.18: with `disp=False` the pair (root, relative error)."""
    from scipy import linalg
    root = linalg.sqrtm(matrix)
    if disp:
        return root
    return root, np.linalg.norm(root @ root - matrix, 'fro') / np.linalg.norm(matrix, 'fro')


@functools.cache
def _argument_is_gone() -> bool:
    """SciPy 1.17 warns, 1.18 refuses."""
    from scipy import linalg
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        try:
            linalg.sqrtm(np.eye(2), disp=False)
        except (TypeError, DeprecationWarning):
            return True
    return 'disp' not in inspect.signature(linalg.sqrtm).parameters


FID_SQUARE_ROOT = Defect(
    'fid-square-root', 'basicsr.metrics.fid:calculate_fid',
    "TypeError: sqrtm() got an unexpected keyword argument 'disp' (SciPy >= 1.18)",
    upstream='MONAI PR #9076 (the same call)', has='disp=False', condition=_argument_is_gone,
    replace={'basicsr.metrics.fid:linalg': types.SimpleNamespace(sqrtm=_square_root)})

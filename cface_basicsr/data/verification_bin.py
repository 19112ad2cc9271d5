"""InsightFace's verification sets (lfw.bin, cfp_fp.bin, agedb_30.bin …): images two by two, and which are one person.

The file is a pickle of (list of encoded images, list of bools). A pickle is a program; see `pickle_values.py` for how
it is read without running any of it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class VerificationBin:
    """The pairs of one file: images 2p and 2p + 1 are pair p. Cheap to pickle; images are read when asked for.

    Attributes:
        path: of the file.
        same: (P,) bool; True where both images show one person.
    """

    path: Path
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        """The number of images, 2P."""
        raise NotImplementedError

    def read(self, row: int) -> bytes:
        """The encoded image of a row, 0 .. 2P - 1, as it was stored (JPEG or PNG).

        Raises:
            UserError: the file cannot be read any more.
        """
        raise NotImplementedError


def read_verification_bin(path: str | Path) -> VerificationBin:
    """Open a verification set.

    Raises:
        UserError: no such file, cut off, of another structure, or it would call code when unpickled (which is named).
    """
    raise NotImplementedError

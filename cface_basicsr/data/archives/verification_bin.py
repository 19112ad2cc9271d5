"""InsightFace's verification sets (lfw.bin, cfp_fp.bin, agedb_30.bin …): pairs of images, and which show one person.

The file is a pickle of (list of encoded images, list of bools), written by Python 2 or 3. An image is bytes or a numpy
array of bytes; a flag is a bool, 0 or 1, of Python or numpy. A pickle is a program; `pickle_machine.py` says how it is
read without running any of it. (InsightFace's build_eval_pack.py and lfw2pack.py write such files.)
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.archives.byte_file import ByteFile
from cface_basicsr.data.archives.pickle_machine import Array, Code, Stored, pickled_values, stored_bytes
from cface_basicsr.errors import UserError


class VerificationBin:
    """The pairs of one file: images 2p and 2p + 1 are pair p. Cheap to pickle; an image is read only when asked for.

    Attributes:
        path: of the file.
        same: (P,) bool; True where both images show the same person.
    """

    def __init__(self, file: ByteFile, images: list[Stored], same: NDArray[np.bool_]) -> None:
        """
        Args:
            file: the file that holds the images.
            images: where the 2P images are in it.
            same: (P,) bool.
        """
        self.path, self.same = file.path, same
        self._file = file
        self._stored = np.array([(image.start, image.length, image.code) for image in images], np.int64)

    def __len__(self) -> int:
        """The number of images, 2P."""
        return len(self._stored)

    def read(self, row: int) -> bytes:
        """The encoded image of a row, 0 .. 2P - 1, as it was stored (JPEG or PNG).

        Raises:
            UserError: the file has been truncated since it was opened, or the bytes are damaged.
        """
        start, length, code = self._stored[row].tolist()
        return stored_bytes(self._file, Stored(start, length, Code(code)))


def read_verification_bin(path: str | Path) -> VerificationBin:
    """Open a verification set: find where its images are, and read its flags.

    Raises:
        UserError: the file is missing, truncated, of another structure, or would call code when unpickled (the message
            names it).
    """
    file = ByteFile(path)
    value = pickled_values(file)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise UserError(f"'{path}' holds {_describe_kind(value)}, expected (list of images, list of flags).")
    images, same = _images(file, value[0]), _same(file, value[1])
    if len(images) != 2 * len(same) or not images:
        raise UserError(f"'{path}' holds {len(images)} images and {len(same)} pairs, expected two images per pair.")
    return VerificationBin(file, images, same)


def _images(file: ByteFile, value: object) -> list[Stored]:
    """Where each image is."""
    if not isinstance(value, (list, tuple)):
        raise UserError(f"'{file.path}': the images are {_describe_kind(value)}, expected a list.")
    return [_image(file, row, image) for row, image in enumerate(value)]


def _image(file: ByteFile, row: int, value: object) -> Stored:
    if isinstance(value, Array) and value.dtype == np.uint8:
        value.check(file)
        if sum(axis != 1 for axis in value.shape) <= 1:  # OpenCV's imencode used to return (n, 1), and now (n,)
            return value.content
    if not isinstance(value, Stored) or value.is_text:
        raise UserError(f"'{file.path}': image {row} is {_describe_kind(value)}, expected the bytes of a JPEG or PNG.")
    return value


def _same(file: ByteFile, value: object) -> NDArray[np.bool_]:
    """(P,) bool."""
    flags = value.values(file) if isinstance(value, Array) and value.content else value
    if isinstance(flags, np.ndarray):
        flags = flags.tolist()
    if not isinstance(flags, (list, tuple)):
        raise UserError(f"'{file.path}': the flags are {_describe_kind(value)}, expected a list of bools.")
    for row, flag in enumerate(flags):
        if type(flag) not in (bool, int) or flag not in (0, 1):
            raise UserError(f"'{file.path}': the flag of pair {row} is {_describe_kind(flag)}, expected True or False.")
    return np.array(flags, bool)


def _describe_kind(value: object) -> str:
    """A few words for any value."""
    match value:
        case list() | tuple():
            return f'a {type(value).__name__} of {len(value)}'
        case Array():
            return f'a numpy array of shape {value.shape} and kind {value.dtype}'
        case Stored():
            return 'text' if value.is_text else 'bytes'
        case bool() | int() | None:
            return f'{value}'[:30]
    return 'something else'

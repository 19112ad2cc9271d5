"""InsightFace's face sets in RecordIO: train.rec, train.idx, property, and train.lst where there is one.

Record 0 is a header without an image; its two labels say from which number to which the identity records go (the
images are 1 .. first identity - 1). An identity record has no image either; its two labels are the range of image
numbers of one person. The first label of an image is the person. Sets without record 0, or with an image in it, hold
nothing but images. (InsightFace's face2rec2.py writes them so, its image_iter.py and arcface_torch/dataset.py read
them.)
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.record_file import RecordFile

Progress = Callable[[int, int], None]
"""Called with (records or bytes done, in all)."""
LARGEST_NUMBER = 1 << 24
"""float32 holds every whole number up to here; a larger set's identity records name rounded places."""
_EVERY = 5000


class RecordIOSource:
    """The images and labels of one set; nothing is decoded.

    Reads .idx, and of the .rec two records a person; every record's header where nothing lists the people; and the
    whole .rec from record to record where there is no .idx.

    Attributes:
        file: the .rec. It is light: other processes want it and an offset, not this whole listing.
        numbers: (N,) int64 record number of each image, ascending.
        offsets: (N,) int64 where its record begins in the .rec.
        labels: (N,) int64 person, as in the file.
        classes: number of people that `property` announces; None without one.
        size: (height, width) of an image by `property`; None without one.
        notes: sentences about what was missing and what was done instead.
    """

    file: RecordFile
    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: int | None
    size: tuple[int, int] | None
    notes: tuple[str, ...]

    def __init__(self, path: str | Path, *, progress: Progress = lambda done, total: None) -> None:
        """
        Args:
            path: the folder, or its .rec file.
            progress: called now and then when many records must be looked at.

        Raises:
            UserError: a file is missing, cut off, or does not fit the others.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, row: int) -> bytes:
        """The encoded image of a row, as it was stored (JPEG or PNG).

        Raises:
            UserError: its record is damaged, or has another label than the one listed.
        """
        raise NotImplementedError

    def original_names(self) -> list[str] | None:
        """The path that the .lst gives for each row; None where there is no .lst beside the .rec.

        Raises:
            UserError: the .lst does not fit the images.
        """
        raise NotImplementedError

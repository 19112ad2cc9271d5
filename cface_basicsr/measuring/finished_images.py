"""Finished pictures of any other software, measured like those of a network."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cface_basicsr.data.images.face_images import find_faces, read_face
from cface_basicsr.errors import UserError, first_few
from cface_basicsr.evaluation.features import Images
from cface_basicsr.files.face_store import add_entry
from cface_basicsr.files.image_keys import find_images
from cface_basicsr.files.text_file import read_whole


class FinishedImages:
    """A folder with one picture for each image of a set: of its name, or BasicSR's `<identity>__<image>`.

    Attributes:
        sha256: of all keys and pictures.
    """

    def __init__(self, folder: Path, keys: Sequence[str]) -> None:
        """
        Args:
            keys: '<identity>/<image>' of each image; further pictures in the folder are left out.

        Raises:
            UserError: the folder or a picture is missing, or a name may mean two.
        """
        if not folder.is_dir():
            raise UserError(f"--images: the folder '{folder}' is missing. Expected one picture for each image.")
        files = find_faces([folder])
        names = [str(file.name).replace('__', '/') for file in files]  # two underscores are in no key
        rows = find_images(keys, names, f"'{folder}'")
        if without := [key for key, row in zip(keys, rows, strict=True) if row is None]:
            raise UserError(f"'{folder}' has no picture for {len(without)} of {len(keys)} images: {first_few(without)}."
                            '\nName them <identity>/<image>.png, as `cface unpack` does.')
        self._paths = {key: files[row].path for key, row in zip(keys, rows, strict=True)}
        digest = hashlib.sha256()
        for key, path in self._paths.items():
            add_entry(digest, key.encode(), read_whole(path, 'Expected a picture.'))
        self.sha256 = digest.hexdigest()

    def stack(self, keys: Sequence[str], size: tuple[int, int]) -> Images:
        """The pictures of some keys as (n, H, W, 3) uint8 RGB.

        Args:
            size: (H, W) of the originals.

        Raises:
            UserError: a picture cannot be read, or has another size.
        """
        images = []
        for key in keys:
            image = read_face(self._paths[key])
            if image.shape[:2] != size:
                raise UserError(f"'{self._paths[key]}' is {image.shape[1]}x{image.shape[0]}, the original "
                                f'{size[1]}x{size[0]}. Give pictures of that size, made from the lr_x<scale> faces.')
            images.append(image)
        return np.stack(images)

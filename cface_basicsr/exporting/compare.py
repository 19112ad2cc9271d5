"""How far another form of a network is from the network itself, on synthetic faces or a user's own."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cface_basicsr.data.generated_faces import render_face
from cface_basicsr.data.images.face_images import Face, find_faces, read_face, squared
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import to_images

HALF_LIMIT, FULL_LIMIT = 1e-2, 1e-4
"""Largest difference in [0, 1] of a form in half and in full precision."""
_FACES, _SIDE, _AT_A_TIME = 8, 128, 8


def comparison_faces(scale: int) -> Tensor:
    """(8, 3, 128 / scale, 128 / scale) in [0, 1]: eight synthetic faces, as a network of this scale is given them."""
    faces = np.stack([render_face(identity, 0, _SIDE) for identity in range(_FACES)])
    return to_images(low_resolution(faces, scale), 'cpu')


def faces_of(paths: Iterable[str | Path], scale: int) -> Tensor:
    """(N, 3, 128 / scale, 128 / scale) in [0, 1]: face images of any size, as a network of this scale is given them.

    Args:
        paths: files, and folders of them.

    Raises:
        UserError: a path is missing, a folder holds no images, or one of them cannot be read or is far from square.
    """
    return to_images(np.stack([_squared(file.path, _SIDE // scale) for file in find_faces(paths)]), 'cpu')


def _squared(path: Path, size: int) -> Face:
    try:
        return squared(read_face(path), size)
    except UserError as error:
        reason = str(error).removeprefix(f"'{path}' ")
        raise UserError(f"'{path}': {reason}") from error


@torch.inference_mode()
def largest_difference(network: nn.Module, other: Callable[[Tensor], Tensor], scale: int, faces: Tensor | None = None
                       ) -> float:
    """The largest absolute difference of two networks' pixels in [0, 1]; NaN if one gives NaN.

    Both are run on the CPU in evaluation mode, eight faces together and the first one by itself.

    Args:
        faces: (N, 3, 128 / scale, 128 / scale) in [0, 1]; None: `comparison_faces`.
    """
    faces = comparison_faces(scale) if faces is None else faces
    batches = (*faces.split(_AT_A_TIME), faces[:1])
    return float(torch.stack([(network(batch) - other(batch)).abs().max() for batch in batches]).max())


def check_difference(difference: float, path: str | Path, half: bool) -> None:
    """Check that what was written equals the network.

    Raises:
        UserError: it does not.
    """
    limit = HALF_LIMIT if half else FULL_LIMIT
    if not difference < limit:  # NaN is refused, too
        advice = ' Export it in full precision, without half.' if half else ''
        raise UserError(f"'{path}' would differ from the network by {difference:.1g} of the range of a pixel, and less "
                        f'than {limit:g} is asked for. Nothing was written.{advice}')

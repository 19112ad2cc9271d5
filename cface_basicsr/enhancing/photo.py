"""A photograph whose small faces are super-resolved: found, aligned, enlarged, coloured, put back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cface_basicsr.data.images.align import similarity_transform, template_points, warp_face
from cface_basicsr.data.images.face_images import low_resolution_size
from cface_basicsr.enhancing.detector import Detect, DetectedFace, check_heights, detect_faces
from cface_basicsr.enhancing.paste import Picture, paste_face, same_colours
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.ops.resize import bicubic_resize

FACE_SIZE = 128
"""Side of a super-resolved face."""
_TEMPLATE = 'arcface'


@dataclass(frozen=True)
class EnhancedFace:
    """What became of a face.

    Attributes:
        found: where it is in the photograph.
        sr: uint8 (128, 128, 3), super-resolved; None if the face was skipped.
        bicubic: uint8 (128, 128, 3), the same face enlarged by bicubic interpolation; None if it was skipped.
        skipped: why; '' if the face was enhanced.
    """

    found: DetectedFace
    sr: NDArray[np.uint8] | None = None
    bicubic: NDArray[np.uint8] | None = None
    skipped: str = ''

    def as_plain(self) -> dict[str, Any]:
        """For JSON, in pixels of the photograph."""
        return {'box': self.found.box.round(1).tolist(), 'landmarks': self.found.landmarks.round(1).tolist(),
                'height': round(self.found.height, 1), 'score': round(self.found.score, 3),
                'skipped': self.skipped}


@dataclass(frozen=True)
class EnhancedPhoto:
    """A photograph with its faces.

    Attributes:
        image: (H, W, 3) of the type of the input, `upscale` times its size.
        faces: all that were found, from the left to the right.
    """

    image: Picture
    faces: tuple[EnhancedFace, ...]


@dataclass(frozen=True)
class PhotoSettings:
    """How a photograph is enhanced.

    Attributes:
        min_face, max_face: heights in pixels of the faces that are enhanced. Others are skipped, as are faces that are
            too large for the network's input.
        upscale: enlargement of the whole photograph; outside the faces it is bicubic.
        strength: share of the super-resolved face; 0 leaves the photograph as it is.
        keep_colours: whether the face's low frequencies stay those of the photograph.
        device: where the network runs.
    """

    min_face: float = 10.0
    max_face: float = 96.0
    upscale: int = 1
    strength: float = 1.0
    keep_colours: bool = True
    device: str | torch.device = 'cpu'

    def __post_init__(self) -> None:
        check_heights(self.min_face, self.max_face)


def enhance_photo(photo: Picture, network: Callable[[Tensor], Tensor], scale: int,
                  settings: PhotoSettings | None = None, detect: Detect | None = None) -> EnhancedPhoto:
    """Super-resolve the small faces of a photograph and put them back.

    Args:
        photo: uint8 or uint16 (H, W, 3) RGB.
        network: (B, 3, 128 / scale, 128 / scale) in [0, 1] -> (B, 3, 128, 128).
        scale: of the network.
        settings: None: the defaults.
        detect: finds the faces of one picture; None: the shipped RetinaFace.

    Raises:
        UserError: the network gives NaN.
    """
    settings = settings or PhotoSettings()
    eight = eight_bits(photo)
    found = detect_faces(eight, detect)
    reasons = [_reason_to_skip(face, scale, settings) for face in found]
    chosen = [face for face, reason in zip(found, reasons, strict=True) if not reason]
    enhanced = iter(_super_resolved(eight, chosen, network, scale, settings))
    faces = tuple(EnhancedFace(face, skipped=reason) if reason else next(enhanced)
                  for face, reason in zip(found, reasons, strict=True))
    image = enlarged(photo, settings.upscale)
    for face in sorted(faces, key=lambda each: each.found.height):  # a larger face lies in front of a smaller one
        if face.sr is not None:
            target = (face.found.landmarks + 0.5) * settings.upscale - 0.5
            paste_face(image, face.sr, template_points(_TEMPLATE, FACE_SIZE), target, settings.strength)
    return EnhancedPhoto(image, faces)


def eight_bits(photo: Picture) -> NDArray[np.uint8]:
    """A photograph in 8 bits; 16 bits are scaled and rounded."""
    return photo if photo.dtype == np.uint8 else np.rint(photo / np.float32(257)).astype(np.uint8)


def _super_resolved(photo: NDArray[np.uint8], faces: list[DetectedFace], network: Callable[[Tensor], Tensor],
                    scale: int, settings: PhotoSettings) -> list[EnhancedFace]:
    if not faces:
        return []
    side = FACE_SIZE // scale
    lr = np.stack([warp_face(photo, face.landmarks, template_points(_TEMPLATE, side), side) for face in faces])
    sr = super_resolve(network, lr, device=settings.device,
                       names=[f'the face at ({face.box[0]:.0f}, {face.box[1]:.0f})' for face in faces])
    bicubic = super_resolve(lambda images: bicubic_resize(images, (FACE_SIZE, FACE_SIZE)), lr)
    if settings.keep_colours:
        sr = np.stack([same_colours(*pair, sigma=scale) for pair in zip(sr, bicubic, strict=True)])
    return [EnhancedFace(*each) for each in zip(faces, sr, bicubic, strict=True)]


def _reason_to_skip(face: DetectedFace, scale: int, settings: PhotoSettings) -> str:
    """Why a face is not enhanced; '' where it is."""
    if face.height < settings.min_face:
        return f'{face.height:.0f} pixels high, below --min-face {settings.min_face:g}'
    if face.height > settings.max_face:
        return f'{face.height:.0f} pixels high, above --max-face {settings.max_face:g}'
    network_side, smaller = FACE_SIZE // scale, [f'x{other}' for other in (4, 2) if other < scale]
    if square_side(face) >= low_resolution_size(network_side).stop:
        advice = f'; use one for {" or ".join(smaller)}' if smaller else ''
        return (f'{face.height:.0f} pixels high: a network for x{scale} would shrink it to {network_side} pixels and '
                f'lose details{advice}')
    return ''


def square_side(face: DetectedFace) -> float:
    """The side in pixels of the photograph of the aligned square that the network is given."""
    linear = similarity_transform(template_points(_TEMPLATE, FACE_SIZE), face.landmarks)[:, :2]
    return FACE_SIZE * float(np.hypot(linear[0, 0], linear[1, 0]))


def enlarged(photo: Picture, factor: int) -> Picture:
    """A copy of a photograph, enlarged by bicubic interpolation."""
    if factor == 1:
        return photo.copy()
    return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)

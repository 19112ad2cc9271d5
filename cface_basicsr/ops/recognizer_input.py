"""The input that a recognizer expects, as a frozen record, and the one function that brings images into that form.

Losses, metrics and evaluation never need a recognizer's size, colour order or range: the network carries
`input_spec: RecognizerInput` and `feature_length: int`, and `recognizer_features` does the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr.errors import UserError
from cface_basicsr.ops.resize import bicubic_resize, linear_crop, on_device
from cface_basicsr.ops.template import Template

Channels = Literal['rgb', 'bgr']
Mean = float | tuple[float, float, float]

_ARCFACE_HEIGHT = 112
DLIB_BOX = (6.446, 21.631, 99.685)
"""Left and upper edge and side of dlib's chip in ArcFace's 112x112 template, in pixels: where a scale and a shift bring
the corners of the eyes and the base of the nose, on the average of many aligned faces at x = 80, 66, 31, 45, 56 and
y = 53, 53, 53, 53, 80, nearest to their places in the chip. The best rotation would be 0.3 degrees."""


@dataclass(frozen=True)
class RecognizerInput:
    """The input of a recognizer.

    Attributes:
        height, width: pixels.
        channels: 'rgb' or 'bgr'.
        mean, std: an 8-bit value v in [0, 255] is fed as (v - mean) / std; a mean for all channels, or one for each in
            the order of `channels`.
        template: the crop that the recognizer was made for: 'center' (square centre crop), 'arcface' (five landmarks
            of the 112x112 template), 'sphereface' (of the 112x96 one), or 'dlib' (the chip of dlib, which is cut out of
            a face that is aligned to one of these two). It is compared with the data's manifest.

    Raises:
        UserError: unknown channels or an unknown template, not one or three means, or a std that is not above 0.
    """

    height: int
    width: int
    channels: Channels = 'rgb'
    mean: Mean = 127.5
    std: float = 128.0
    template: Template = 'center'

    def __post_init__(self) -> None:
        for name, kind in (('channels', Channels), ('template', Template)):
            value, valid = getattr(self, name), get_args(kind)
            if value not in valid:
                raise UserError(f"{name} of a recognizer: expected one of {', '.join(valid)}, got {value!r}.")
        if isinstance(self.mean, (tuple, list)):
            object.__setattr__(self, 'mean', tuple(self.mean))  # an option file has a list
            if len(self.mean) != 3:
                raise UserError(f'mean of a recognizer: expected one number, or one for each of three channels, got '
                                f'{len(self.mean)}.')
        if self.std <= 0:
            raise UserError(f'std of a recognizer: expected a number above 0, got {self.std!r}.')


def as_written(input_spec: RecognizerInput) -> dict[str, Any]:
    """A record as JSON gives it back: in a file three means are a list."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(input_spec).items()}


def centre_crop_to_aspect(images: Tensor, height: int, width: int) -> Tensor:
    """The largest centred rectangle of (B, C, H, W) images with the aspect ratio height : width.

    Of 128x128 images, a 112x96 recognizer gets the 110 middle columns.
    """
    h, w = images.shape[-2:]
    crop_h = min(h, round(w * height / width))
    crop_w = min(w, round(h * width / height))
    top, left = (h - crop_h) // 2, (w - crop_w) // 2
    return images[..., top:top + crop_h, left:left + crop_w]


def dlib_chip(images: Tensor, height: int, width: int) -> Tensor:
    """dlib's chip of (B, C, H, W) faces that are aligned to ArcFace's template, (B, C, height, width)."""
    left, top, side = DLIB_BOX
    scale = images.shape[-2] / _ARCFACE_HEIGHT  # a template is as high as the face; a wider face has more columns
    margin = (images.shape[-1] - _ARCFACE_HEIGHT * scale) / 2
    box = (left * scale + margin, top * scale, (left + side) * scale + margin, (top + side) * scale)
    return linear_crop(images, box, (height, width))


def to_recognizer(images: Tensor, input_spec: RecognizerInput) -> Tensor:
    """Bring RGB images to a recognizer's input: crop, antialiased resize, colour order, range. Differentiable.

    Args:
        images: (B, 3, H, W) RGB, nominal range [0, 1]; super-resolved images are fed unclamped.
        input_spec: the recognizer's record.

    Returns:
        (B, 3, input_spec.height, input_spec.width) in the recognizer's own range and colour order.

    Raises:
        ValueError: the images have another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f'expected (B, 3, H, W) RGB images, got {tuple(images.shape)}.')
    if input_spec.template == 'dlib':
        images = dlib_chip(images, input_spec.height, input_spec.width)
    else:
        images = centre_crop_to_aspect(images, input_spec.height, input_spec.width)
        images = bicubic_resize(images, (input_spec.height, input_spec.width))
    if input_spec.channels == 'bgr':
        images = images.flip(1)
    mean = input_spec.mean
    if isinstance(mean, tuple):
        mean = on_device(torch.tensor, (mean,), images.dtype, images.device).view(3, 1, 1)
    return (images * 255.0 - mean) / input_spec.std


def recognizer_features(network: Callable[[Tensor], Tensor], images: Tensor, bare: nn.Module | None = None) -> Tensor:
    """phi(I): identity features (B, D) of RGB images (B, 3, H, W) in [0, 1], not normalized.

    Args:
        network: the recognizer, or a call of it.
        images: see `to_recognizer`.
        bare: the unwrapped recognizer, which carries the record, if `network` is not it.
    """
    input_spec = cast(RecognizerInput, (network if bare is None else bare).input_spec)
    return network(to_recognizer(images, input_spec))


def unit(features: Tensor) -> Tensor:
    """Features (B, D) scaled to unit length."""
    return functional.normalize(features, dim=1)


def feature_batch(device: str | torch.device) -> int:
    """The number of faces to embed at a time without a gradient: 64 on a GPU, 8 on a CPU.

    On a CPU, large batches cost more in fresh memory pages than they save: MobileFaceNet takes 85 ms per face with them
    and 31 ms without.
    """
    return 8 if torch.device(device).type == 'cpu' else 64

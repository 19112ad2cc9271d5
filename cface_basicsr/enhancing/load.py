"""A trained network as one object: faces in, faces out; a photograph in, the same one out."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cface_basicsr.data.images.face_images import FACE_SIZE, to_low_resolution
from cface_basicsr.enhancing.detector import Detect
from cface_basicsr.enhancing.evidence import Judge, load_judge
from cface_basicsr.enhancing.networks import UNKNOWN, check_not_led, enhancer_of
from cface_basicsr.enhancing.paste import Picture
from cface_basicsr.enhancing.photo import EnhancedPhoto, PhotoSettings, enhance_photo
from cface_basicsr.enhancing.reference import reference_faces
from cface_basicsr.enhancing.request import AUTO
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import check_finite, scale_of, super_resolve
from cface_basicsr.exporting.compare import faces_of
from cface_basicsr.exporting.export import export_network
from cface_basicsr.ops.template import Template
from cface_basicsr.runtime import eval_mode
from cface_basicsr.zoo.catalogue import network_path
from cface_basicsr.zoo.open import open_network, trained_template

Crops = list[NDArray[np.uint8]] | NDArray[np.uint8] | NDArray[np.floating] | Tensor


def load(path: str | Path, device: str | torch.device = 'cpu') -> 'SuperResolver':
    """A super-resolution network by its name or from its file, ready to use.

    It is one network of one scale, which says what size of faces it takes. What `cface enhance --weights auto` does, to
    give each face to the network that fits its height, takes several of them, so `load` has no such name: load
    the one that fits your faces; photographs of mixed ones are for the command.

    Args:
        path: a name that `cface models list` prints; or a .pth or .safetensors file, which says which network it
            holds; or an .onnx file.
        device: where it runs.

    Raises:
        UserError: the name is unknown, or 'auto'; or the file is missing or damaged, or holds another kind of network.

    >>> load('net_g.pth').scale
    8
    """
    if str(path) == AUTO:
        raise UserError("'auto' is several networks, and one is loaded here. Name the one that fits your faces: `cface "
                        'models list` prints their scales; `cface enhance` chooses by height.')
    path = network_path(path)
    network = open_network(path)
    scale, template = scale_of(network, f"weights file '{path}'"), trained_template(network, path)
    return SuperResolver(network.to(device), scale, path, template)


class SuperResolver:
    """A network that makes 128x128 faces of faces of 128 / scale pixels.

    Attributes:
        network: (B, 3, h, w) in [0, 1] -> (B, 3, s h, s w).
        scale: s.
        path: the file that the network came from; None: it came from none.
        template: how the faces were cropped that it was trained on; None: its file does not say it.

    >>> SuperResolver(torch.nn.Upsample(scale_factor=8), 8).enhance(np.zeros((2, 16, 16, 3), np.uint8)).shape
    (2, 128, 128, 3)
    """

    def __init__(self, network: nn.Module, scale: int, path: Path | None = None,
                 template: Template | None = None) -> None:
        self.network, self.scale, self.path, self.template = network, scale, path, template

    def __repr__(self) -> str:
        return f'SuperResolver(x{self.scale}, {type(self.network).__name__}, {str(self.path or "from no file")!r})'

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next((weights.device for weights in self.network.parameters()), torch.device('cpu'))

    def enhance(self, images: Crops, batch_size: int = 32) -> Crops:
        """Super-resolve face crops.

        Args:
            images: a list of uint8 (H, W, 3) RGB crops whose short sides have 10 to 128 / scale pixels, or 5 % more,
                which are cut square and resized; or (B, h, w, 3) uint8 RGB; or (B, 3, h, w) floating point in [0, 1],
                a tensor or an array.
            batch_size: faces at a time.

        Returns:
            the same kind: a list of uint8 (128, 128, 3); (B, s h, s w, 3) uint8; or (B, 3, s h, s w) in [0, 1], on the
            device of the input.

        Raises:
            UserError: another type or shape, values outside [0, 1], a crop of another size, or the network gives NaN.
        """
        if isinstance(images, Tensor):
            return self._of_tensor(images, batch_size)
        if isinstance(images, np.ndarray) and images.dtype in (np.float16, np.float32, np.float64):
            return self._of_tensor(torch.tensor(images), batch_size).numpy()
        if isinstance(images, np.ndarray):
            _check_array(images, 4, '(B, h, w, 3)')
            return self._of_arrays(images, batch_size)
        return list(self._of_arrays(self._fitted(images), batch_size)) if len(images) else []

    def enhance_photo(self, image: Picture, settings: PhotoSettings | None = None, detect: Detect | None = None,
                      reference: Iterable[str | Path] = ()) -> EnhancedPhoto:
        """Super-resolve the small faces of a photograph and put them back.

        Args:
            image: uint8 or uint16 (H, W, 3) RGB.
            settings: None: the defaults, on the device of the network. Faces are aligned to the network's own template;
                `templates` says it where that is unknown, and without it ArcFace's is taken, with a warning.
            detect: finds the faces of one picture; None: the detector that comes with the package.
            reference: photos of the person, one face each: files, and folders of them. dlib's recognizer compares.

        Returns:
            `image`, of the type of the input and `upscale` times its size; and `faces`, from the left to the right.
            Each has `box`, `landmarks` and `height` in pixels of the photograph; `skipped`, why it was left as it was
            ('' where it was not); `bicubic` and `sr`, uint8 (128, 128, 3), None where it was skipped; and with photos
            of the person `similarity` to them and a `verdict` in words.

        Raises:
            UserError: another type or shape; a photo of the person cannot be used, or dlib's recognizer led a loss of
                the network.
        """
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or \
                image.dtype not in (np.uint8, np.uint16):
            raise UserError(f'expected a photograph as uint8 or uint16 (H, W, 3) RGB, got {_described(image)}.')
        settings = settings or PhotoSettings(device=self.device)
        if self.template:
            settings = replace(settings, templates={self.scale: self.template})
        if photos := [reference] if isinstance(reference, (str, Path)) else list(reference):
            settings = replace(settings, judge=self._judge(photos, detect))
        enhanced = enhance_photo(image, self.network, self.scale, settings, detect)
        if self.scale not in settings.templates and any(face.scale for face in enhanced.faces):
            warnings.warn(f'{self!r}: {UNKNOWN} PhotoSettings(templates={{{self.scale}: ...}}) says another one.',
                          stacklevel=2)
        return enhanced

    def export(self, path: str | Path, half: bool = False, faces: Iterable[str | Path] = ()) -> float:
        """Write the network for other programs: .onnx, or .safetensors, which also says which network it holds.

        Args:
            path: its ending says which.
            half: in half precision.
            faces: face images, and folders of them, on which both are compared; none: eight synthetic faces.

        Returns:
            the largest difference of a pixel in [0, 1] from this network, on those faces.

        Raises:
            UserError: another ending, an image that cannot be read, a network that cannot be written so, or a
                difference of 1e-4 or more (half: 1e-2). Nothing is written then.
        """
        paths = [faces] if isinstance(faces, (str, Path)) else list(faces)
        return export_network(path, self.network, self.scale, self.path, half,
                              faces_of(paths, self.scale) if paths else None)

    def _judge(self, photos: list[str | Path], detect: Detect | None) -> Judge:
        known = enhancer_of(self.network, self.scale, self.path, str(self.path or 'the network'))
        check_not_led([known])
        return load_judge(reference_faces(photos, detect), {self.scale: known.tables}, self.device)

    def _of_arrays(self, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.uint8]:
        return super_resolve(self.network, images, batch_size=batch_size, device=self.device)

    @torch.inference_mode()
    def _of_tensor(self, images: Tensor, batch_size: int) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise UserError(f'expected faces as (B, 3, h, w) floating point in [0, 1], got {_described(images)}.')
        if images.numel() and not 0 <= float(images.min()) <= float(images.max()) <= 1:
            raise UserError('expected faces in [0, 1], got values from '
                            f'{float(images.min()):g} to {float(images.max()):g}. Divide 8-bit values by 255.')
        parts = []
        with eval_mode(self.network):
            for start, part in enumerate(images.split(batch_size)):
                sr = self.network(part.to(self.device).float())
                check_finite(sr, self.network, start * batch_size)
                parts.append(sr.clamp(0, 1).to(images))
        return torch.cat(parts)

    def _fitted(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        for image in images:
            _check_array(image, 3, '(H, W, 3)')
        return np.stack([to_low_resolution(image, FACE_SIZE // self.scale) for image in images])


def _check_array(image: NDArray, axes: int, shape: str) -> None:
    if not isinstance(image, np.ndarray) or image.ndim != axes or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise UserError(f'expected faces as uint8 {shape} RGB, got {_described(image)}.')


def _described(value: object) -> str:
    shape = getattr(value, 'shape', None)
    return type(value).__name__ if shape is None else f"{tuple(shape)} of {str(value.dtype).removeprefix('torch.')}"

"""From photographs to the encoded HR and LR faces, in several processes, in order, with bounded memory."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cface_basicsr.data.images.align import Aligner, face_at, find_detector
from cface_basicsr.data.images.face_crop import Crop, Rejected, Size, center_crop, decode_photo, no_crop
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.data.layouts.source import Listing, Photos, Source
from cface_basicsr.data.worker_pool import map_chunks
from cface_basicsr.files.face_store import FORMS, decode_image, encode_image

CHUNK = 32
"""Number of photographs that a process takes at a time; they are downscaled as one batch."""


class Packed(NamedTuple):
    """The result for one photograph.

    Attributes:
        images: the HR face and each LR face, encoded; empty if the photograph was rejected.
        pixels: hash of the HR face's pixels; empty if the photograph was rejected.
        reason: why it was rejected; empty if it was not.
    """

    images: tuple[bytes, ...]
    pixels: str
    reason: str


@dataclass(frozen=True)
class Packing:
    """How photographs are packed; it is sent to the processes.

    Attributes:
        photos: gives the bytes of a source.
        crop: 'center', 'align', 'box' or 'none'.
        size: of the HR face in pixels.
        scales: of the LR stores.
        template: for 'align'.
        detector: weights file, for 'align' if the sources have no landmarks.
        store: form of the images, one of `files.face_store.FORMS`.
    """

    photos: Photos
    crop: str
    size: Size
    scales: tuple[int, ...]
    template: str = ''
    detector: Path | None = None
    store: str = 'png'

    def face(self, source: Source) -> np.ndarray:
        """The HR face of a photograph, uint8 (height, width, 3) RGB.

        Raises:
            Rejected: the photograph gives no face.
        """
        photo = decode_photo(self.photos.read(source))
        if source.points is None:
            return self._crop(photo)
        return face_at(photo, np.reshape(source.points, (-1, 2)), self.template, self.size)

    @cached_property
    def _crop(self) -> Crop:
        if self.crop == 'align':
            return Aligner(self.detector, self.template, self.size)
        return partial({'center': center_crop, 'none': no_crop}[self.crop], size=self.size)


def packing_of(settings: PrepareSettings, listing: Listing) -> Packing:
    """The settings and the listing as far as the packing processes need them.

    Raises:
        UserError: the settings name a folder without a face detector.
    """
    detector = find_detector(settings.weights) if settings.weights else None
    return Packing(listing.photos, settings.crop, settings.size, settings.scales, settings.template or '', detector,
                   settings.store)


def pack_chunk(packing: Packing, sources: Sequence[Source]) -> list[Packed]:
    """Pack some photographs; returns one result for each, in order."""
    faces, reasons = [], []
    for source in sources:
        try:
            faces.append(packing.face(source))
            reasons.append('')
        except Rejected as rejected:
            reasons.append(str(rejected))
    packed = _encode(np.stack(faces), packing.scales, packing.store) if faces else iter(())
    return [Packed((), '', reason) if reason else next(packed) for reason in reasons]


def form_of_lr(store: str) -> str:
    """The form of LR faces: that of HR, or PNG where HR loses by it."""
    return store if FORMS[store].exact else 'png'


def _encode(hr: np.ndarray, scales: tuple[int, ...], store: str) -> Iterator[Packed]:
    """One `Packed` for each of the faces, uint8 (B, height, width, 3); LR faces are made from HR as it will be read."""
    contents = [encode_image(image, store) for image in hr]
    if not FORMS[store].exact:
        hr = np.stack([decode_image(content) for content in contents])
    small = (low_resolution(hr, scale) for scale in scales)
    for content, image, *others in zip(contents, hr, *small, strict=True):
        pixels = hashlib.sha256(image.tobytes()).hexdigest()[:16]
        yield Packed((content, *(encode_image(other, form_of_lr(store)) for other in others)), pixels, '')


def pack_all(packing: Packing, sources: Sequence[Source], workers: int) -> Iterator[tuple[Source, Packed]]:
    """Pack photographs; yields each with its result, in order.

    Args:
        packing: how.
        sources: the photographs.
        workers: number of processes; 1: this process does the work.

    Raises:
        UserError: a process was killed (usually for lack of memory).
    """
    for chunk, packed in map_chunks(partial(pack_chunk, packing), sources, CHUNK, workers):
        yield from zip(chunk, packed, strict=True)

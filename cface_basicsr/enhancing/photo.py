"""Photographs whose small faces are super-resolved: found, aligned, enlarged, coloured, put back.

Faces of several photographs go through the network together. A photograph is kept in memory until its faces are back.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cface_basicsr.data.images.align import warp_face
from cface_basicsr.data.images.face_images import FACE_SIZE, MOST_SHRUNK, SMALLEST_FACE, fits, scale_for
from cface_basicsr.enhancing.detector import Detect, DetectedFace, detect_faces
from cface_basicsr.enhancing.enlarging import enlarged, enlarged_part
from cface_basicsr.enhancing.evidence import Evidence, Judge
from cface_basicsr.enhancing.paste import Picture, paste_detail, same_colours
from cface_basicsr.enhancing.placing import USUAL, face_points, square_side, to_usual
from cface_basicsr.enhancing.request import check_heights, check_scales
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.ops.resize import bicubic_resize
from cface_basicsr.ops.template import Template

_WAITING = 2 ** 28
"""Bytes of photographs that wait at most for the faces of others, the last one not counted."""
FaceNetwork = Callable[[Tensor], Tensor]
"""(B, 3, 128 / scale, 128 / scale) in [0, 1] -> (B, 3, 128, 128)."""
Find = Callable[[NDArray[np.uint8]], list[DetectedFace]]
"""uint8 (H, W, 3) RGB -> its faces."""
Enlarge = Callable[[Picture, int], Picture]
"""(H, W, 3), f -> (f H, f W, 3) of the same type."""
Key = TypeVar('Key')


@dataclass(frozen=True)
class EnhancedFace:
    """What became of a face.

    Attributes:
        found: where it is in the photograph.
        skipped: why it was not enhanced; then the others are 0 and None.
        scale: of the network.
        lr: uint8 (128 / scale, 128 / scale, 3), what the network was given.
        bicubic: uint8 (128, 128, 3), the same enlarged by bicubic interpolation.
        sr: uint8 (128, 128, 3), super-resolved.
        evidence: what a judge sees in the latter two, where one was asked.
        kept: whether the photograph keeps its bicubic face, since the person is more similar to it.
    """

    found: DetectedFace
    skipped: str = ''
    scale: int = 0
    lr: NDArray[np.uint8] | None = field(default=None, repr=False)
    bicubic: NDArray[np.uint8] | None = field(default=None, repr=False)
    sr: NDArray[np.uint8] | None = field(default=None, repr=False)
    evidence: Evidence | None = None
    kept: bool = False

    @property
    def box(self) -> NDArray[np.float64]:
        """(4,) left, top, right, bottom, in pixels of the photograph."""
        return self.found.box

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """(5, 2) x, y in pixels of the photograph: eyes, nose tip, corners of the mouth."""
        return self.found.landmarks

    @property
    def height(self) -> float:
        """Of the box, in pixels of the photograph."""
        return self.found.height

    @property
    def similarity(self) -> float | None:
        """Of the enhanced face to the nearest photo of the person, a cosine; None where no judge had one."""
        return self.evidence.similarity if self.evidence else None

    @property
    def verdict(self) -> str:
        """What the judge says of that, in a line; '' where `similarity` is None."""
        return '' if self.similarity is None else self.evidence.words()

    @property
    def enhanced(self) -> bool:
        """Whether the super-resolved face is in the photograph."""
        return self.sr is not None and not self.kept

    def as_plain(self) -> dict[str, Any]:
        """For JSON, in pixels of the photograph."""
        judged = {'evidence': self.evidence.as_plain(), 'kept': self.kept} if self.evidence else {}
        return {'box': self.found.box.round(1).tolist(), 'landmarks': self.found.landmarks.round(1).tolist(),
                'height': round(self.found.height, 1), 'score': round(self.found.score, 3),
                'scale': self.scale or None, 'skipped': self.skipped, **judged}


@dataclass(frozen=True)
class EnhancedPhoto:
    """A photograph with its faces.

    Attributes:
        image: (H, W, 3) of the type of the input, `upscale` times its size.
        faces: all that were found, from the left to the right.
    """

    image: Picture = field(repr=False)
    faces: tuple[EnhancedFace, ...]


@dataclass(frozen=True)
class PhotoSettings:
    """How photographs are enhanced.

    Attributes:
        min_face, max_face: heights in pixels of the faces that are enhanced. Others are skipped, as is, whatever
            `max_face` says, a face that is larger than the network's input by more than 5 % (`MOST_SHRUNK`).
        upscale: enlargement of the whole photograph.
        background: enlarges what is around the faces, where `upscale` is above 1; None: bicubic interpolation.
        detect_scales: sizes of the copies in which faces are looked for, relative to the photograph; None: 1, 2, the
            whole in 1024 pixels, and 4 below half a megapixel.
        templates: scale of a network -> how the faces were cropped that it was trained on; faces are aligned to that.
            Where it is missing: arcface.
        strength: share of what the super-resolved face adds; 0 leaves the photograph as it is.
        keep_colours: whether the face's low frequencies stay those of the photograph.
        device: where the network runs.
        batch_size: faces at a time.
        judge: looks at each face before and after; None: nobody does.
        gate: keep: where the judge finds the bicubic face nearer to the person, it is put back; warn: the evidence only
            says so.

    >>> PhotoSettings(upscale=4, max_face=64).min_face
    10
    """

    min_face: float = SMALLEST_FACE
    max_face: float = 96.0
    upscale: int = 1
    strength: float = 1.0
    keep_colours: bool = True
    device: str | torch.device = 'cpu'
    batch_size: int = 32
    judge: Judge | None = None
    gate: Literal['warn', 'keep'] = 'warn'
    background: Enlarge | None = None
    detect_scales: Sequence[float] | None = None
    templates: Mapping[int, Template] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_heights(self.min_face, self.max_face)
        check_scales(self.detect_scales)


def enhance_photo(photo: Picture, network: FaceNetwork, scale: int, settings: PhotoSettings | None = None,
                  detect: Detect | None = None) -> EnhancedPhoto:
    """Super-resolve the small faces of one photograph and put them back; see `enhance_photos`."""
    ((_, enhanced),) = enhance_photos([('the photograph', photo)], {scale: network}, settings, detect)
    return enhanced


def enhance_photos(photos: Iterable[tuple[Key, Picture]], networks: Mapping[int, FaceNetwork],
                   settings: PhotoSettings | None = None, detect: Detect | None = None, find: Find | None = None
                   ) -> Iterator[tuple[Key, EnhancedPhoto]]:
    """Super-resolve the small faces of photographs and put them back.

    Faces of several photographs go through a network together, so a result may differ by one grey level from that of
    the photograph by itself: for another number of faces, torch may add in another order.

    Args:
        photos: pairs of a key, which names the photograph in messages, and uint8 or uint16 (H, W, 3) RGB. They are
            taken one by one; those whose faces wait are at most 256 MB and one more.
        networks: scale -> network; a face is given to the one with the smallest input that does not shrink it, or else
            to the one with the largest input, if that does not shrink it by more than 5 %.
        settings: None: the defaults.
        detect: finds the faces of one picture; None: the shipped RetinaFace.
        find: finds the faces of a photograph in 8 bits; None: `detect_faces` with `detect`, in copies of the sizes
            that the settings name.

    Yields:
        the key and the enhanced photograph, in the order of `photos`.

    Raises:
        UserError: a network gives NaN.
    """
    settings = settings or PhotoSettings()
    find = find or (lambda photo: detect_faces(photo, detect, settings.detect_scales))
    waiting = (_prepared(key, photo, networks, settings, find) for key, photo in photos)
    for group in _in_groups(waiting, settings.batch_size):
        _super_resolve_faces(group, networks, settings)
        while group:
            photo = group.pop(0)
            yield photo.key, EnhancedPhoto(_put_back(photo, settings), tuple(photo.faces))


class _Waiting(NamedTuple):
    """A photograph whose faces wait for the network, and then are there."""

    key: Any
    photo: Picture
    faces: list[EnhancedFace]


def _prepared(key: Any, photo: Picture, networks: Collection[int], settings: PhotoSettings, find: Find) -> _Waiting:
    eight = eight_bits(photo)
    return _Waiting(key, photo, [_aligned(eight, face, networks, settings) for face in find(eight)])


def _aligned(photo: NDArray[np.uint8], found: DetectedFace, scales: Collection[int], settings: PhotoSettings
             ) -> EnhancedFace:
    """A face as its network's input, or the reason why it is skipped."""
    if reason := _reason_to_skip(found, scales, settings):
        return EnhancedFace(found, reason)
    scale = scale_for({scale: square_side(found.landmarks, _template(settings, scale)) for scale in scales})
    side = FACE_SIZE // scale
    points = face_points(_template(settings, scale), side)
    return EnhancedFace(found, scale=scale, lr=warp_face(photo, found.landmarks, points, side))


def _template(settings: PhotoSettings, scale: int) -> Template:
    return settings.templates.get(scale, USUAL)


def _in_groups(photos: Iterable[_Waiting], faces: int) -> Iterator[list[_Waiting]]:
    """Photographs that have at least this number of faces together, or as many bytes as may wait."""
    group: list[_Waiting] = []
    for photo in photos:
        group.append(photo)
        if (sum(face.lr is not None for each in group for face in each.faces) >= faces
                or sum(each.photo.nbytes for each in group) >= _WAITING):
            yield group
            group = []
    if group:
        yield group


def _super_resolve_faces(group: list[_Waiting], networks: Mapping[int, FaceNetwork], settings: PhotoSettings) -> None:
    """Complete the faces of some photographs, in place."""
    for scale, network in networks.items():
        places = [(photo, number) for photo in group for number, face in enumerate(photo.faces) if face.scale == scale]
        if not places:
            continue
        lr = np.stack([photo.faces[number].lr for photo, number in places])
        names = ['the face at ({:.0f}, {:.0f}) of {}'.format(*photo.faces[number].found.box[:2], photo.key)
                 for photo, number in places]
        bicubic, sr = super_resolved(lr, network, scale, settings, names)
        heights = [square_side(photo.faces[number].found.landmarks) for photo, number in places]
        judged = [to_usual(faces, _template(settings, scale)) for faces in (sr, bicubic)] if settings.judge else []
        evidence = settings.judge.look(*judged, scale, heights) if settings.judge else [None] * len(sr)
        for (photo, number), *made in zip(places, bicubic, sr, evidence, strict=True):
            photo.faces[number] = _completed(photo.faces[number], *made, settings.gate)


def _completed(face: EnhancedFace, bicubic: NDArray[np.uint8], sr: NDArray[np.uint8], evidence: Evidence | None,
               gate: str) -> EnhancedFace:
    kept = gate == 'keep' and evidence is not None and evidence.bicubic_is_nearer
    return replace(face, bicubic=bicubic, sr=sr, evidence=evidence, kept=kept)


def super_resolved(lr: NDArray[np.uint8], network: FaceNetwork, scale: int, settings: PhotoSettings,
                   names: list[str] | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Faces enlarged by bicubic interpolation, and by a network in the colours of the former.

    Args:
        lr: uint8 (N, 128 / scale, 128 / scale, 3).
        names: what a message calls them.

    Returns:
        two times uint8 (N, 128, 128, 3).
    """
    sr = super_resolve(network, lr, batch_size=settings.batch_size, device=settings.device, names=names)
    bicubic = super_resolve(lambda images: bicubic_resize(images, (FACE_SIZE, FACE_SIZE)), lr)
    if settings.keep_colours:
        sr = np.stack([same_colours(*pair, sigma=scale) for pair in zip(sr, bicubic, strict=True)])
    return bicubic, sr


def _put_back(waiting: _Waiting, settings: PhotoSettings) -> Picture:
    enlarge = settings.background if settings.background and settings.upscale > 1 else enlarged
    image = enlarge(waiting.photo, settings.upscale)
    enhanced = [face for face in waiting.faces if face.sr is not None]
    for face in sorted(enhanced, key=lambda each: each.found.height):  # a larger face lies in front of a smaller one
        target = (face.found.landmarks + 0.5) * settings.upscale - 0.5
        detail = (face.bicubic if face.kept else face.sr) - face.bicubic.astype(np.float32)
        paste_detail(image, detail, face_points(_template(settings, face.scale), FACE_SIZE), target, settings.strength,
                     plain=partial(enlarged_part, waiting.photo, settings.upscale))
    return image


def eight_bits(photo: Picture) -> NDArray[np.uint8]:
    """A photograph in 8 bits; 16 bits are scaled and rounded."""
    return photo if photo.dtype == np.uint8 else np.rint(photo / np.float32(257)).astype(np.uint8)


def _reason_to_skip(face: DetectedFace, scales: Collection[int], settings: PhotoSettings) -> str:
    """Why a face is not enhanced; '' where it is."""
    high, least = f'{_number(face.height)} pixels high', min(scales)
    if face.height < settings.min_face:
        return f'{high}, below --min-face {settings.min_face:g}'
    side = square_side(face.landmarks, _template(settings, least))
    if not fits(side, least):
        larger = [f'x{scale}' for scale in (4, 2) if scale < least and fits(square_side(face.landmarks), scale)]
        most = face.height * MOST_SHRUNK * FACE_SIZE / least / side
        advice = f'; use one for {" or ".join(larger)}' if larger else ''
        return f'{high}, larger than the {_number(most)} that a network for x{least} takes{advice}'
    if face.height > settings.max_face:
        return f'{high}, above --max-face {settings.max_face:g}'
    return ''


def _number(pixels: float) -> str:
    return f'{round(pixels, 1):g}'

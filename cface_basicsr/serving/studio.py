"""What the page asks for: a photograph with its faces, reference photos, and the photograph as a network makes it.

All of it goes through `enhancing`, by the same calls as in `cface enhance`, so the same settings give the same file.
"""

import base64
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from cface_basicsr.enhancing.detector import DetectedFace, detect_faces, no_face
from cface_basicsr.enhancing.evidence import Evidence, Judge, load_judge, percent_above
from cface_basicsr.enhancing.half import HalfPrecision
from cface_basicsr.enhancing.networks import FaceEnhancer, check_not_led, open_enhancers, templates_of
from cface_basicsr.enhancing.photo import EnhancedFace, PhotoSettings, eight_bits, enhance_photos
from cface_basicsr.enhancing.photo_file import PhotoFile, open_photo, png_bytes
from cface_basicsr.enhancing.reference import reference_face
from cface_basicsr.enhancing.request import AUTO
from cface_basicsr.enhancing.saved import with_pixels
from cface_basicsr.errors import UserError, check_known
from cface_basicsr.files.face_store import encode_png
from cface_basicsr.options.sections import Section
from cface_basicsr.serving.kept import Kept
from cface_basicsr.zoo.catalogue import zoo

MOST_PIXELS = 50_000_000
"""Of a photograph, and of its enlargement."""
_UNKNOWN_TEMPLATE = ("Aligned to ArcFace's template: the network's file does not say how the faces were cropped that "
                     'it was trained on.')
_KEPT = 1 << 30
"""Bytes of photographs and results that are kept."""


class Wanted(Section):
    """How a photograph is to be enhanced; what `cface enhance` calls the same means the same."""

    system: str
    """A network, by the name that the page knows it by."""
    upscale: int = Field(1, ge=1, le=8)
    strength: float = Field(1.0, ge=0, le=1)
    min_face: float = Field(10.0, gt=0)
    max_face: float = Field(96.0, gt=0)
    references: list[str] = Field([], max_length=50)
    """Names of reference photos."""
    gate: Literal['warn', 'keep'] = 'warn'
    half: bool = False


class OfferedNetwork(NamedTuple):
    """A network, or `auto`; its scale and licence in words; and what its card says of it."""

    name: str
    kind: str
    about: str = ''


class _Photo(NamedTuple):
    """A photograph and its faces."""

    file: PhotoFile
    found: list[DetectedFace]


class _Reference(NamedTuple):
    """The face of a photo of a person, uint8 (128, 128, 3) RGB, aligned."""

    face: NDArray[np.uint8]


class Studio:
    """Answers the page's questions, one after the other: it must not be called from two threads at a time.

    `picture` may be called from any thread.
    """

    def __init__(self, weights: Sequence[str] = (), device: str | torch.device = 'cpu') -> None:
        """
        Args:
            weights: names and files of networks; none: those of the zoo that are here.
            device: where they run.

        Raises:
            UserError: one of `weights` is missing or damaged.
        """
        self.weights, self.device = weights, device
        self.kept = Kept(_KEPT)
        self._opened = {each: open_enhancers(each) for each in weights}
        self._in_half: dict[str, dict[int, HalfPrecision]] = {}

    @property
    def offers_half(self) -> bool:
        """Whether half precision is worth an offer: on a CPU it gains nothing."""
        return torch.device(self.device).type != 'cpu'

    def systems(self) -> list[OfferedNetwork]:
        """The networks to choose from, the best for most photographs first.

        Raises:
            UserError: a card of the zoo is broken.
        """
        known = {name: each.card for name, each in zoo().items() if each.here}
        named = self.weights or [*([AUTO] if len(known) > 1 else []), *known]
        systems = {name: OfferedNetwork(name, f'×{card.scale}, licence: {card.licence}', card.about)
                   for name, card in known.items()}
        systems[AUTO] = OfferedNetwork(AUTO, 'each face by the network that fits its height')
        return [systems.get(name) or OfferedNetwork(name, 'a network file') for name in dict.fromkeys(named)]

    def look(self, content: bytes, name: str) -> dict[str, Any]:
        """Find the faces of a photograph.

        Args:
            content: of its file.
            name: of its file; for messages, and for the names of results.

        Raises:
            UserError: it cannot be read, is too large, or shows no face.
        """
        file = open_photo(content, _name_of_file(name), MOST_PIXELS)
        eight = eight_bits(file.pixels)
        found = detect_faces(eight)
        if not found:
            raise no_face(eight, file.path)
        height, width = file.pixels.shape[:2]
        key = self.kept.add(_Photo(file, found), file.pixels.nbytes + (0 if file.alpha is None else file.alpha.nbytes))
        return {'key': key, 'name': str(file.path), 'width': width, 'height': height,
                'picture': self._picture(png_bytes(file)),
                'faces': [EnhancedFace(face).as_plain() for face in found]}

    def add_reference(self, content: bytes, name: str) -> dict[str, Any]:
        """Take the face of a photo of a person; the photo itself is not kept.

        Raises:
            UserError: it cannot be read, is too large, or does not show one face of 64 pixels or more.
        """
        face = reference_face(open_photo(content, _name_of_file(name), MOST_PIXELS))
        return {'key': self.kept.add(_Reference(face), face.nbytes), 'name': str(_name_of_file(name)),
                'face': _inline(face)}

    def enhance(self, key: str, wanted: Wanted) -> dict[str, Any]:
        """The photograph of this key as a network makes it.

        Raises:
            UserError: the photograph is not kept any more, or its enlargement is too large; the network is unknown or
                cannot be opened.
        """
        photo = self.kept.get(key, _Photo)
        _check_enlarged(photo.file, wanted.upscale)
        enhancers = self._enhancers(wanted.system)
        settings = PhotoSettings(wanted.min_face, wanted.max_face, wanted.upscale, wanted.strength, device=self.device,
                                 judge=self._judge(wanted.references, enhancers), gate=wanted.gate,
                                 templates=templates_of(enhancers))
        networks = self._half(wanted.system) if wanted.half else {
            scale: each.network for scale, each in enhancers.items()}
        ((_, enhanced),) = enhance_photos([(f"'{photo.file.path}'", photo.file.pixels)], networks, settings,
                                          find=lambda eight: photo.found)
        content = png_bytes(with_pixels(photo.file, enhanced.image, wanted.upscale))
        return {'picture': self._picture(content), 'file': f'{photo.file.path.stem}.png', 'bytes': len(content),
                'command': command_line(photo.file.path, wanted),
                'faces': [_shown(face, enhancers) for face in enhanced.faces]}

    def picture(self, key: str) -> bytes:
        """A PNG file that an answer has named.

        Raises:
            UserError: it is not kept any more.
        """
        return self.kept.get(key, bytes)

    def _picture(self, content: bytes) -> str:
        return f'/pictures/{self.kept.add(content, len(content))}.png'

    def _enhancers(self, system: str) -> dict[int, FaceEnhancer]:
        if system not in self._opened:
            check_known('network', system, [each.name for each in self.systems()])
            self._opened[system] = open_enhancers(system)
        return self._opened[system]

    def _half(self, system: str) -> dict[int, HalfPrecision]:
        """The networks of `_enhancers` in half precision: opened once more, since a network that is halved stays so."""
        if system not in self._in_half:
            self._in_half[system] = {scale: HalfPrecision(each.network)
                                     for scale, each in open_enhancers(system).items()}
        return self._in_half[system]

    def _judge(self, references: Sequence[str], enhancers: dict[int, FaceEnhancer]) -> Judge:
        """What looks at the faces; with photos of the person, a network that it has led is an error."""
        known = [self.kept.get(key, _Reference, 'photo of the person').face for key in references]
        if known:
            check_not_led(enhancers.values())
        return replace(self._dlib, reference=np.stack(known) if known else self._dlib.reference,
                       tables={scale: each.tables for scale, each in enhancers.items()},
                       led=[scale for scale, each in enhancers.items() if each.led])

    @cached_property
    def _dlib(self) -> Judge:
        return load_judge(device=self.device)


def command_line(path: Path, wanted: Wanted) -> str:
    """The command that writes the same file.

    >>> command_line(Path('our party.jpg'), Wanted(system='auto', upscale=2))
    "cface enhance 'our party.jpg' --out enhanced --faces photo --weights auto --upscale 2"
    """
    words = ['cface', 'enhance', str(path), '--out', 'enhanced', '--faces', 'photo', '--weights', wanted.system]
    for name, field in Wanted.model_fields.items():
        value = getattr(wanted, name)
        if name not in ('system', 'references', 'gate') and value != field.default:
            words += [f'--{name.replace("_", "-")}', *([] if value is True else [f'{value:g}'])]
    if wanted.references:
        words += ['--reference', 'photos_of_the_person', '--gate', wanted.gate]
    return shlex.join(words)


def plain_words(evidence: Evidence | None) -> list[str]:
    """The evidence in sentences for people who have not read about it.

    >>> plain_words(Evidence(0.0312))
    ['Change from bicubic: 0.031.']
    """
    return list(_sentences(evidence))


def _sentences(evidence: Evidence | None) -> Iterator[str]:
    if evidence is None:
        yield "Not judged: dlib's recognizer led a loss of this network."
        return
    if evidence.similarity is None:
        yield f'Change from bicubic: {evidence.change:.3f}.'
        return
    yield f'Similarity to the reference: {evidence.similarity:.3f}; bicubic: {evidence.bicubic:.3f}.'
    if evidence.bicubic_is_nearer:
        yield 'Bicubic is nearer to the reference.'
    if evidence.far is None:
        yield f'How often faces of other people are as similar is unknown: {evidence.unknown}.'
    else:
        yield (f'At most {percent_above(evidence.far)} of faces of other people are as similar, as measured on '
               f'{evidence.pairs:,} pairs.')


def _shown(face: EnhancedFace, enhancers: Mapping[int, FaceEnhancer]) -> dict[str, Any]:
    """A face for the page: what the record says of it, its network, its pictures, and the evidence in words."""
    if face.sr is None:
        return face.as_plain()
    network = enhancers[face.scale]
    return face.as_plain() | {
        'network': network.name, 'input': len(face.lr), 'bicubic': _inline(face.bicubic), 'enhanced': _inline(face.sr),
        'words': [*plain_words(face.evidence), *([] if network.template else [_UNKNOWN_TEMPLATE])]}


def _inline(face: NDArray[np.uint8]) -> str:
    return 'data:image/png;base64,' + base64.b64encode(encode_png(face)).decode()


def _name_of_file(name: str) -> Path:
    """A name without folders, of any system, and of a length that every disk takes."""
    last = name.replace('\0', '').replace('\\', '/').rpartition('/')[2]
    return Path(last[-100:].lstrip('.') or 'photo')


def _check_enlarged(file: PhotoFile, upscale: int) -> None:
    pixels = file.pixels.shape[0] * file.pixels.shape[1] * upscale ** 2
    if pixels > MOST_PIXELS:
        raise UserError(f"'{file.path}' would have {pixels:,} pixels; expected at most {MOST_PIXELS:,}. Enlarge it "
                        'less, or use the command.')

"""What decides what `cface prepare` makes, and which settings go together."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cface_basicsr.data.images.align import find_detector, template_points
from cface_basicsr.data.images.face_crop import Size, both_sides
from cface_basicsr.data.layouts.source import Listing
from cface_basicsr.data.prepare.packing import Packing
from cface_basicsr.errors import UserError, nearest
from cface_basicsr.files.network_file import file_hash

LAYOUTS: dict[str, tuple[str, ...]] = {
    'casia': (), 'folders': ('identity',), 'lfw': ('pairs', 'people'), 'celeba': ('partition', 'annotations'),
    'recordio': (), 'bin': ()}
"""The layouts of a source, and the settings that belong to one alone."""
CROPS = ('center', 'align', 'box', 'none')
IDENTITIES = ('first', 'last')
PARTITIONS = ('train', 'val', 'test', 'all')
_PATHS = ('weights', 'landmarks', 'pairs', 'people', 'annotations')
"""Settings that name files; what a folder remembers of them is their content."""


@dataclass(frozen=True)
class PrepareSettings:
    """What decides the result; a folder is continued only by the same settings.

    Attributes:
        layout: of the source, see `layouts.py`.
        scales: each gives a store lr_x<scale>.lmdb.
        crop: 'center', 'align', 'box' (CelebA's boxes) or 'none'.
        size: pixels of the HR face: a square's side, or (height, width).
        template: 'arcface' or 'sphereface', for crop 'align' alone.
        weights: folder with the face detector, for crop 'align' alone.
        landmarks: file with five landmarks an image, for crop 'align' alone. Without one and without weights, CelebA's
            own file is taken.
        holdout: so many identities go to test/, the others to train/; 0: one folder with all.
        seed: chooses them.
        identity: layout 'folders': which folder of a longer path is the person, 'first' or 'last'.
        pairs, people: layout 'lfw': pairs.txt and people.txt; None: those beside or inside the folder.
        partition: layout 'celeba': 'train', 'val', 'test' or 'all' (None).
        annotations: layout 'celeba': folder with its text files; None: they are looked for around the images.
    """

    scales: tuple[int, ...]
    crop: str = 'center'
    size: Size = 128
    layout: str = 'casia'
    template: str | None = None
    weights: Path | None = None
    landmarks: Path | None = None
    holdout: int = 0
    seed: int = 0
    identity: str | None = None
    pairs: Path | None = None
    people: Path | None = None
    partition: str | None = None
    annotations: Path | None = None

    def check(self) -> None:
        """
        Raises:
            UserError: a value that is not valid, or that contradicts another.
        """
        _one_of('layout', self.layout, LAYOUTS)
        _one_of('crop', self.crop, CROPS)
        _one_of('identity', self.identity, IDENTITIES)
        _one_of('partition', self.partition, PARTITIONS)
        self._check_layout()
        self._check_sizes()
        self._check_align()

    def _check_layout(self) -> None:
        for layout, names in LAYOUTS.items():
            for name in names:
                if layout != self.layout and getattr(self, name) is not None:
                    raise UserError(f'--{name} belongs to --layout {layout}, got --layout {self.layout}.')
        if self.crop == 'box' and self.layout != 'celeba':
            raise UserError(f'--crop box needs the boxes of --layout celeba, got --layout {self.layout}.')
        if self.holdout and self.layout == 'bin':
            raise UserError('--holdout divides people; --layout bin has pairs, and does not say who is on them.')
        if self.holdout and self.pairs:
            raise UserError('--holdout divides the people, --pairs needs all of them: give one of the two.')

    def _check_sizes(self) -> None:
        height, width = both_sides(self.size)
        if min(height, width) < 16:
            raise UserError(f'--size: expected 16 pixels or more, got {height}x{width}.')
        for scale in self.scales:
            if scale < 2 or height % scale or width % scale:
                shown = self.size if isinstance(self.size, int) else f'{height}x{width}'
                raise UserError(f'--scale: {scale} does not divide the HR size {shown}, or is no reduction.')
        if not self.scales:
            raise UserError('--scale: expected at least one, for example --scale 2 4 8.')

    def _check_align(self) -> None:
        given = [f'--{name}' for name in ('template', 'weights', 'landmarks') if getattr(self, name) is not None]
        if self.crop != 'align':
            if given:
                raise UserError(f'{", ".join(given)} belong to --crop align, got --crop {self.crop}.')
            return
        if self.weights and self.landmarks:
            raise UserError('--weights has the landmarks found, --landmarks gives them: name one of the two.')
        if self.template is None or not (self.weights or self.landmarks or self.layout == 'celeba'):
            raise UserError('--crop align needs --template, and --weights DIR (a folder with a face detector) or '
                            '--landmarks FILE.')
        template_points(self.template, self.size)

    def packing(self, listing: Listing) -> Packing:
        """The part that the packing processes need."""
        detector = find_detector(self.weights) if self.weights else None
        return Packing(listing.photos, self.crop, self.size, self.scales, self.template or '', detector)

    def signature(self, listing: Listing) -> dict[str, Any]:
        """What a folder remembers of its settings, as plain values; None where a setting is not used."""
        values = {name: value for name, value in asdict(self).items() if name not in _PATHS}
        return values | {
            'scales': list(self.scales),
            'partition': None if self.partition == 'all' else self.partition,
            'size': self.size if isinstance(self.size, int) else list(self.size),
            'source_sha256': listing.digest,
            'detector_sha256': file_hash(find_detector(self.weights), 64) if self.weights else None,
            'files_sha256': {part: file_hash(path, 64) for part, path in listing.files.items()} or None}


def _one_of(name: str, value: str | None, valid: tuple[str, ...] | dict[str, Any]) -> None:
    if value is not None and value not in valid:
        raise UserError(f"--{name}: expected {', '.join(valid)}, got '{value}'; {nearest(value, valid)}")

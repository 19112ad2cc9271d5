"""The settings that determine what `cface prepare` makes, and which of them go together."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cface_basicsr.data.images.align import find_detector, load_detector, template_points
from cface_basicsr.data.images.face_crop import Size, both_sides
from cface_basicsr.data.layouts.source import Listing
from cface_basicsr.errors import UserError, check_known
from cface_basicsr.files.face_store import FORMS
from cface_basicsr.files.manifest import file_hash

LAYOUTS: dict[str, tuple[str, ...]] = {
    'casia': (), 'folders': ('identity',), 'lfw': ('pairs', 'people'), 'celeba': ('partition', 'annotations'),
    'csv': (), 'recordio': (), 'bin': (), 'tinyface': ('partition',), 'survface': (), 'scface': ()}
"""The layouts of a source, and the settings that belong to only some of them."""
SMALL_LAYOUTS = ('tinyface', 'survface', 'scface')
"""Those whose photographs are natively low-resolution."""
CROPS = ('center', 'align', 'box', 'resize', 'none')
IDENTITIES = ('first', 'last')
PARTITIONS = ('train', 'val', 'test', 'all')
_PATHS = ('weights', 'landmarks', 'pairs', 'people', 'annotations')
"""Settings that name files or folders; a prepared folder records the hashes of their content instead."""


@dataclass(frozen=True)
class PrepareSettings:
    """What determines the result; a killed run can be continued only with the same settings.

    Attributes:
        scales: each makes a store lr_x<scale>.lmdb.
        crop: 'center', 'align', 'box' (CelebA's boxes), 'resize' (the whole photograph, straight to each size) or
            'none'.
        size: of the HR face in pixels: the side of a square, or (height, width).
        layout: of the source, a key of `LAYOUTS`.
        template: 'arcface' or 'sphereface', only for crop 'align'.
        weights: folder with the face detector, only for crop 'align'; None: the one that comes with the package.
        landmarks: file with five, four or two points per image, only for crop 'align'. If neither this nor `weights`
            is given, layout 'celeba' uses CelebA's own file.
        store: form of the images in the stores, one of `files.face_store.FORMS`.
        holdout: number of identities that go to test/, the others go to train/; 0: one folder with all.
        seed: of the choice of the held-out identities.
        identity: layout 'folders': which folder of a longer path is the identity, 'first' or 'last'.
        pairs, people: layout 'lfw': pairs.txt and people.txt; None: those next to or inside the folder.
        partition: layout 'celeba': 'train', 'val', 'test' or 'all' (None); layout 'tinyface': 'train' or 'test' (None).
        annotations: layout 'celeba': folder with its text files; None: they are looked for around the images.
    """

    scales: tuple[int, ...]
    crop: str = 'center'
    size: Size = 128
    layout: str = 'casia'
    template: str | None = None
    weights: Path | None = None
    landmarks: Path | None = None
    store: str = 'png'
    holdout: int = 0
    seed: int = 0
    identity: str | None = None
    pairs: Path | None = None
    people: Path | None = None
    partition: str | None = None
    annotations: Path | None = None

    def check(self) -> None:
        """Check each setting, and whether they go together.

        Raises:
            UserError: a value is not valid, or contradicts another.
        """
        check_known('--layout', self.layout, LAYOUTS)
        check_known('--crop', self.crop, CROPS)
        check_known('--store', self.store, FORMS)
        check_known('--identity', self.identity or 'first', IDENTITIES)
        check_known('--partition', self.partition or 'all', PARTITIONS)
        self._check_layout()
        self._check_sizes()
        self._check_align()

    def _check_layout(self) -> None:
        for name in dict.fromkeys(name for names in LAYOUTS.values() for name in names):
            takers = [layout for layout, names in LAYOUTS.items() if name in names]
            if self.layout not in takers and getattr(self, name) is not None:
                raise UserError(f"--{name} belongs to --layout {' or '.join(takers)}, got --layout {self.layout}.")
        if self.crop == 'box' and self.layout != 'celeba':
            raise UserError(f'--crop box needs the boxes of --layout celeba, got --layout {self.layout}.')
        small = self.layout in SMALL_LAYOUTS
        if small and self.crop == 'center' or self.crop == 'resize' and not small:
            raise UserError(f'--crop {self.crop}, --layout {self.layout}: native low-resolution faces '
                            f"({', '.join(SMALL_LAYOUTS)}) take --crop resize, align or none, and others no resize.")
        if self.holdout and self.layout == 'bin':
            raise UserError('--holdout divides people; --layout bin has pairs, and does not say who is on them.')
        if self.holdout and self.pairs:
            raise UserError('--holdout divides the people, but --pairs needs all of them: give one of the two.')

    def _check_sizes(self) -> None:
        height, width = both_sides(self.size)
        if min(height, width) < 16:
            raise UserError(f'--size: expected 16 pixels or more, got {height}x{width}.')
        for scale in self.scales:
            if scale < 2 or height % scale or width % scale:
                shown = self.size if isinstance(self.size, int) else f'{height}x{width}'
                raise UserError(f'--scale: expected whole numbers from 2 that divide the HR size {shown}, got {scale}.')
        if not self.scales:
            raise UserError('--scale: expected at least one number, for example --scale 2 4 8.')

    def _check_align(self) -> None:
        given = [f'--{name}' for name in ('template', 'weights', 'landmarks') if getattr(self, name) is not None]
        if self.crop != 'align':
            if given:
                raise UserError(f'{", ".join(given)} belong to --crop align, got --crop {self.crop}.')
            return
        if self.weights and self.landmarks:
            raise UserError('--weights is for finding landmarks, --landmarks gives them: name only one of the two.')
        if self.template is None:
            raise UserError('--crop align needs --template: arcface or sphereface.')
        template_points(self.template, self.size)
        if self.needs_detector:
            load_detector(find_detector(self.weights))

    @property
    def needs_detector(self) -> bool:
        """Whether the landmarks are found on the photographs."""
        return self.crop == 'align' and not self.landmarks and (self.weights is not None or self.layout != 'celeba')

    def signature(self, listing: Listing) -> dict[str, Any]:
        """What a prepared folder records of its settings, as plain values; None where a setting is not used."""
        values = {name: value for name, value in asdict(self).items() if name not in _PATHS}
        return values | {
            'scales': list(self.scales),
            'store': None if self.store == 'png' else self.store,
            'partition': None if self.partition == 'all' else self.partition,
            'size': self.size if isinstance(self.size, int) else list(self.size),
            'source_sha256': listing.digest,
            'detector_sha256': file_hash(find_detector(self.weights), 64) if self.needs_detector else None,
            'files_sha256': {part: file_hash(path, 64) for part, path in listing.files.items()} or None}

"""Centre crops, aligned when they are measured: the landmarks that a detector finds on HR serve every row of a table.

dlib's recognizer takes faces whose landmarks are in fixed places. A detector that looked at each super-resolved face
would judge the detector, too; so all rows are aligned by what is found on the original.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from typing_extensions import TypedDict

from cface_basicsr.data.images.align import Aligner, main_face, template_points, warp_face
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.evaluation.face_systems import Embedded
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import file_hash, manifest_hash
from cface_basicsr.measuring.measure import Chunks, FaceSet, FaceSource

MOST_WITHOUT = 0.02
"""The share of faces that may have no landmarks of their own; they are aligned by the median of the others."""


class _Kept(TypedDict):
    """What landmarks.json holds."""

    of: str
    faces: dict[str, list[list[float]] | None]


@dataclass(frozen=True)
class AlignedFaceSet(FaceSet):
    """A face set whose images are aligned to ArcFace's template before a recognizer sees them.

    Attributes:
        landmarks: key -> (5, 2) x, y in pixels of HR.
        height: of HR in pixels.
    """

    landmarks: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    height: int = 0

    def chunks(self, system: FaceSource, *, at_once: int = 256, **how: Any) -> Chunks:
        """See `FaceSet.chunks`; the images are aligned, the originals stay as they are."""
        for number, (images, originals) in enumerate(super().chunks(system, at_once=at_once, **how)):
            keys = self.keys[number * at_once:]
            yield np.stack([self._aligned(image, key) for image, key in zip(images, keys, strict=False)]), originals

    def _aligned(self, image: NDArray[np.uint8], key: str) -> NDArray[np.uint8]:
        size = image.shape[:2]
        landmarks = (self.landmarks[key] + 0.5) * size[0] / self.height - 0.5  # an LR image is smaller than HR
        return warp_face(image, landmarks, template_points('arcface', size), size)


def align_by_landmarks(faces: FaceSet, detector: Path, cache: Path,
                       progress: Callable[[int], None] = lambda done: None) -> tuple[AlignedFaceSet | None, str]:
    """The faces of a set, aligned by the landmarks that are found on HR.

    Args:
        detector: weights file, see `find_detector`.
        cache: folder where the landmarks are kept; they are known by the manifest and the detector.
        progress: called with the number of images done.

    Returns:
        the aligned set and a note; None where too many faces have no landmarks.
    """
    mark = f'{manifest_hash(faces.folder)} {file_hash(detector, 64)}'
    path = cache / 'landmarks.json'
    kept = read_json(path, _Kept) if path.is_file() else {}
    found = kept['faces'] if kept.get('of') == mark else _find(faces, detector, progress)
    if kept.get('of') != mark:
        write_json(path, {'of': mark, 'faces': found})
    known = {key: np.array(found[key], dtype=float) for key in faces.keys if found.get(key)}
    without = len(faces.keys) - len(known)
    if without > MOST_WITHOUT * len(faces.keys):
        return None, (f'Judge not applicable: no landmarks are found on {without} of {len(faces.keys)} originals, and '
                      f'at most {100 * MOST_WITHOUT:g} % may be without.')
    median = np.median(list(known.values()), axis=0)
    note = ('The judge sees faces that are aligned to the ArcFace template by the landmarks found on HR, the same for '
            f'all rows; {without} of {len(faces.keys)} originals show none and are aligned by the median.')
    height = faces.hr.image(faces.keys[0]).shape[0]
    landmarks = {key: known.get(key, median) for key in faces.keys}
    return AlignedFaceSet(**vars(faces), landmarks=landmarks, height=height), note


def embed_with_aligned(faces: FaceSet, aligned: AlignedFaceSet | None, theirs: Collection[str], system: FaceSource,
                       recognizers: Mapping[str, nn.Module], also: Mapping[str, Any], **how: Any) -> Embedded:
    """What recognizers see in a system's faces, some of them in the aligned ones, where there are such.

    For those a network super-resolves the faces once more, and their features are not kept.

    Args:
        theirs: names of the recognizers that see aligned faces.
        also: arguments of `FaceSet.embed` for the faces as they are; how: for both.
    """
    chips = {name: network for name, network in recognizers.items() if aligned and name in theirs}
    plain = {name: network for name, network in recognizers.items() if name not in chips}
    embedded = faces.embed(system, plain, **also, **how)
    if not chips:
        return embedded
    features = embedded.features | aligned.embed(system, chips, originals=False, **how).features
    return embedded._replace(features={name: features[name] for name in recognizers})


def _find(faces: FaceSet, detector: Path, progress: Callable[[int], None]) -> dict[str, list[list[float]] | None]:
    """Key -> five landmarks of the main face, or None."""
    aligner, found = Aligner(detector, 'arcface', 112), {}
    for number, key in enumerate(faces.keys, 1):
        image = faces.hr.image(key)
        try:
            found[key] = main_face(aligner.detect(image), image.shape[1], image.shape[0]).tolist()
        except Rejected:
            found[key] = None
        progress(number)
    return found

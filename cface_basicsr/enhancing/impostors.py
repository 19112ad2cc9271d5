"""How similar other people are: the table of a network's card that tells what a similarity means.

A judge compares faces that the network made of a few pixels with original faces of other people.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cface_basicsr.data.images.align import warp_face
from cface_basicsr.data.images.face_images import FACE_SIZE
from cface_basicsr.enhancing.evidence import FEWEST, AlignedFaces, Judge, load_judge
from cface_basicsr.enhancing.photo import FaceNetwork, PhotoSettings, super_resolved
from cface_basicsr.enhancing.placing import USUAL, face_points, to_usual
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import manifest_settings
from cface_basicsr.ops.resize import bicubic_resize
from cface_basicsr.ops.template import Template

_FINENESS = 1.15
"""Factor between the counts of two rows of a table."""


def card_evidence(network: FaceNetwork, scale: int, folder: str | Path, heights: Iterable[int] = (), faces: int = 1000,
                  device: str | torch.device = 'cpu', template: Template = USUAL) -> dict[str, Any]:
    """What a network's card says about similarities: `evidence` of `zoo.card.Draft`.

    Args:
        network: see `enhancing.photo.FaceNetwork`.
        scale: of the network.
        folder: made by `cface prepare --crop align`; neither the network nor the judge has seen its people.
        heights: of the faces, in pixels; none: 3/4, 4/4 and 5/4 of the network's input.
        faces: at most this number, evenly from the folder; all pairs of different people among them are scored.
        device: where the network and the judge run.
        template: how the faces were cropped that the network was trained on; it is given such.

    Raises:
        UserError: the folder's faces are not aligned by landmarks, or too few people are in it.
    """
    folder = Path(folder)
    if (crop := manifest_settings(folder).get('crop')) != 'align':
        raise UserError(f"'{folder}' has faces of --crop {crop or 'unknown'}; a judge needs those of --crop align "
                        '(cface prepare).')
    keys, labels = read_identities(folder)
    rows = np.unique(np.linspace(0, len(keys) - 1, min(faces, len(keys))).round().astype(int))
    store, judge, side = FaceStore(folder / 'hr.lmdb'), load_judge(device=device), FACE_SIZE // scale
    hr = np.stack([store.image(keys[row]) for row in rows])
    originals = judge.features(hr)
    tables = {height: impostor_table(_scores(network, scale, hr, originals, labels[rows], height, judge, template))
              for height in heights or (3 * side // 4, side, 5 * side // 4)}
    return {'judge': 'dlib', 'impostor_scores': tables}


def impostor_scores(network: FaceNetwork, scale: int, hr: AlignedFaces, labels: ArrayLike, height: int, judge: Judge,
                    template: Template = USUAL) -> NDArray[np.float64]:
    """Similarities of super-resolved faces of some people to original faces of others.

    Args:
        hr: uint8 (N, 128, 128, 3) RGB, aligned.
        labels: (N,), who they are.
        height: pixels to which faces are reduced before they are enhanced as those of a photograph are.
        template: see `card_evidence`.

    Returns:
        (P,) cosines of all pairs (i, j) of different people: SR of i, HR of j. Pairs share faces, so they are less
        than as many independent ones.
    """
    return _scores(network, scale, hr, judge.features(hr), np.asarray(labels), height, judge, template)


def _scores(network: FaceNetwork, scale: int, hr: AlignedFaces, originals: NDArray[np.float32], labels: NDArray,
            height: int, judge: Judge, template: Template) -> NDArray[np.float64]:
    """See `impostor_scores`; `originals` are the features (N, D) of `hr`, which are those of every height."""
    settings = PhotoSettings(device=judge.device)
    _, sr = super_resolved(_small_faces(hr, height, FACE_SIZE // scale, template), network, scale, settings)
    scores = judge.features(to_usual(sr, template)).astype(np.float64) @ originals.T
    return scores[labels[:, None] != labels]


def impostor_table(scores: ArrayLike) -> list[list[float]]:
    """Rows (score, count), see `evidence.ImpostorTable`: counts grow from 10 by 15 % to the number of scores.

    Raises:
        UserError: there are fewer than 10 scores.

    >>> impostor_table([0.1] * 9 + [0.2] + [0.3] * 2)
    [[0.1, 10], [-1.0, 12]]
    """
    ordered = np.sort(np.asarray(scores, np.float64).ravel())[::-1]
    if len(ordered) < FEWEST:
        raise UserError(f'expected at least {FEWEST} pairs of different people, got {len(ordered)}.')
    counts, count = [], float(FEWEST)
    while round(count) < len(ordered):
        counts.append(round(count))
        count = max(count * _FINENESS, round(count) + 1)
    # Rounded up, so that a score between the true value and this one counts as lower.
    return [*([math.ceil(ordered[count - 1] * 1e4 - 1e-6) / 1e4, count] for count in counts), [-1.0, len(ordered)]]


def _small_faces(hr: AlignedFaces, height: int, side: int, template: Template = USUAL) -> AlignedFaces:
    """Faces of this height, as a network is given them: uint8 (N, side, side, 3)."""
    images = torch.from_numpy(np.ascontiguousarray(hr.transpose(0, 3, 1, 2))).float()
    small = bicubic_resize(images, (height, height)).clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()
    points = face_points(USUAL, height), face_points(template, side)
    return small if np.array_equal(*points) else np.stack([warp_face(face, *points, side) for face in small])

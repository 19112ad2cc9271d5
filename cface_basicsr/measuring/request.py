"""What is measured: what `cface evaluate` is asked for, and the test sets of a recipe or a benchmark file."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.perceptual import PerceptualKind
from cface_basicsr.evaluation.restoration import Color
from cface_basicsr.options import Section

Sides = Literal['both', 'one', 'lr']
SIDES = {'both': 'all images are super-resolved',
         'one': 'the first image of a pair is HR, the second super-resolved',
         'lr': "all images are LR, enlarged only by the recognizer's own resize"}
SIDES_OF_SMALL = SIDES | {
    'one': 'mug shots, or the first image of a pair, as they are; the others super-resolved', 'lr': 'all images are LR'}
"""The same for natively low-resolution images."""

HELD_OUT = 'held-out'
"""The name of a test set that a file does not name."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `cface evaluate` is asked for; its options have the same names.

    Attributes:
        protocol: one of `protocols.PROTOCOLS`.
        data: a prepared folder; with `features` also identities.csv, a pairs file, or official lists.
        recognizers, weights, features: name -> file (of a recognizer also 'package.module:callable').
        images: name -> folder of finished pictures.
        scale: None: that of the networks, or of the only low-resolution store.
        sides: one of SIDES; None: the protocol's default.
        degrade: kinds of degradation; each of their strengths is a further row of every system but HR.
        flip: None: the protocol's default.
        color, border: of PSNR and SSIM.
        lpips, dists: folders with the networks that they are measured by; None: they are not.
        folds, pairs_per_fold, seed: of what is drawn.
        pairs: a pairs file for 'lfw'; config: the lists of BLUFR, TinyFace or QMUL-SurvFace.
        far, far_identification: shares in [0, 1]; None: the protocol's default.
        cache: folder of features that are kept; None: `features` in the prepared folder.
        batch_size, device: of the networks.
        curves: whether ROC curves are wanted.
        judge: whether dlib's recognizer is the second one where only one is named.
        detector: folder with facexlib's detector, which finds landmarks on HR where centre crops get that judge; None:
            the one that comes with the package.
        strict: whether a judge that led a loss of a network is refused.
    """

    protocol: str
    data: Path
    recognizers: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    features: Mapping[str, Path] = field(default_factory=dict)
    scale: int | None = None
    sides: Sides | None = None
    degrade: tuple[str, ...] = ()
    flip: bool | None = None
    color: Color = 'rgb'
    border: int = 0
    lpips: Path | None = None
    dists: Path | None = None
    folds: int = 10
    pairs_per_fold: int | None = None
    pairs: Path | None = None
    config: Path | None = None
    far: float | None = None
    far_identification: float | None = None
    seed: int = 0
    cache: Path | None = None
    batch_size: int = 64
    device: str = 'cpu'
    curves: bool = False
    judge: bool = False
    detector: Path | None = None
    strict: bool = False


class TestSet(Section):
    """Faces to measure on, and how; rates are shares in [0, 1]."""

    data: str | None = None
    """Folder of `cface prepare`; by default the held-out part of the data that is trained on."""
    like: Literal['lfw', 'celeba'] | None = None
    """The paper's set whose tables it fills."""
    pairs: str | None = None
    """A file in the layout of LFW's pairs.txt; by default pairs are drawn, with seed 0."""
    folds: int = Field(default=10, ge=2)
    """Folds of drawn pairs; a file has its own."""
    pairs_per_fold: Annotated[int, Field(ge=2)] | Literal['most', 'all'] = 300
    """Pairs in each drawn fold, half of them genuine; `most`: as many as the people of the smallest fold allow; `all`:
    in each fold as many as its own people allow, so that every pair of one person is compared."""
    far: float = Field(default=0.01, gt=0, lt=1)
    """Share of impostor pairs that may be accepted where the verification rate VR is measured."""
    blufr: str | None = None
    """BLUFR's `blufr_lfw_config.mat`, or its folder of lists, for a set that holds all of LFW's images: VR and DIR are
    then BLUFR's. By default VR is that of the pairs, and DIR that of drawn galleries."""
    far_identification: float = Field(default=0.01, gt=0, lt=1)
    """Share of impostors that may raise a false alarm in DIR."""
    faces: int = Field(default=6, ge=0)
    """How many identities the grid of faces shows; 0: no grid."""


Perceptual = dict[PerceptualKind, str]
"""What else a file asks for: `lpips` or `dists` -> folder with the network that it is measured by."""


def check_names(where: str, *names: Iterable[str]) -> None:
    """Check names of test sets and recognizers, which become parts of file names.

    Raises:
        UserError: one has a character other than letters, digits, '.', '-' and '_'.
    """
    for name in chain(*names):
        if not re.fullmatch(r'[\w.-]+', name):
            raise UserError(f"{where}: '{name}' becomes a part of file names: use only letters, digits, '.', '-', '_'.")

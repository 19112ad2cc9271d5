"""What `cface evaluate` is asked for, and what it cannot be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cface_basicsr.errors import UserError, nearest
from cface_basicsr.evaluation.restoration import Color
from cface_basicsr.measuring.protocol import LfwProtocol, PairsProtocol, Protocol
from cface_basicsr.measuring.set_protocols import BlufrProtocol, IdentificationProtocol

PROTOCOLS: dict[str, type[Protocol]] = {kind.name: kind for kind in (PairsProtocol, LfwProtocol, BlufrProtocol,
                                                                     IdentificationProtocol)}
COLORS = ('rgb', 'y')
Sides = Literal['both', 'one', 'lr']
SIDES = {'both': 'all images are super-resolved, both of each pair',
         'one': 'the first image of a pair is HR, the second super-resolved',
         'lr': "all images are LR, enlarged by the recognizer's own resize alone"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for; the options of the command have the same names.

    Attributes:
        protocol: one of PROTOCOLS.
        data: a prepared folder; with `features` also identities.csv, a pairs file, or BLUFR's lists.
        recognizers, weights, features: name -> file (of a recognizer also 'package.module:callable').
        scale: None: that of the networks, or of the only low-resolution store.
        sides: one of SIDES.
        flip: None: as the protocol has it.
        color, border: of PSNR and SSIM.
        folds, pairs_per_fold, seed: of drawn pairs.
        pairs: a pairs file for 'lfw'; config: BLUFR's lists.
        far, far_identification: None: 0.01 for pairs, 0.001 (VR) and 0.01 (DIR) for BLUFR.
        batch_size, device: of the networks.
        curves: whether ROC curves are wanted.
    """

    protocol: str
    data: Path
    recognizers: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    features: Mapping[str, Path] = field(default_factory=dict)
    scale: int | None = None
    sides: Sides = 'both'
    flip: bool | None = None
    color: Color = 'rgb'
    border: int = 0
    folds: int = 10
    pairs_per_fold: int | None = None
    pairs: Path | None = None
    config: Path | None = None
    far: float | None = None
    far_identification: float | None = None
    seed: int = 0
    batch_size: int = 64
    device: str = 'cpu'
    curves: bool = False

    @property
    def flips(self) -> bool:
        """Whether the features of an image and its mirror image are joined."""
        return PROTOCOLS[self.protocol].flip if self.flip is None else self.flip


def check(request: Request) -> None:
    """Refuse what cannot be meant, before anything is read.

    Raises:
        UserError: an unknown name, or options that exclude one another.
    """
    if request.protocol not in PROTOCOLS:
        raise UserError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got '{request.protocol}'; "
                        f'{nearest(request.protocol, PROTOCOLS)}')
    if request.sides not in SIDES:
        raise UserError(f"--sides: expected one of {', '.join(SIDES)}, got '{request.sides}'.")
    if request.color not in COLORS:
        raise UserError(f"--color: expected {' or '.join(COLORS)}, got '{request.color}'.")
    contradictions = {
        'give --recognizer (it tells people apart), or --features with what one has said already.':
            not request.features and not request.recognizers,
        '--features stand for themselves: leave out --recognizer, --weights, --scale, --sides and --flip.':
            bool(request.features) and bool(request.recognizers or request.weights or request.scale
                                            or request.sides != 'both' or request.flip is not None),
        f"--sides one needs pairs with a first and a second image; '{request.protocol}' has none. Expected both or lr.":
            request.sides == 'one' and not PROTOCOLS[request.protocol].has_sides,
        '--sides lr uses no network: leave out --weights.': request.sides == 'lr' and bool(request.weights),
        'blufr needs --config: blufr_lfw_config.mat of the official toolkit, or its folder of lists.':
            request.protocol == 'blufr' and request.config is None and not request.features,
        "--config belongs to the protocol 'blufr'.": request.protocol != 'blufr' and request.config is not None,
        "--pairs belongs to the protocol 'lfw'; 'pairs' draws its own.":
            request.protocol != 'lfw' and request.pairs is not None,
        f"'{request.protocol}' has no ROC curve to save: leave out --curves.":
            request.curves and not PROTOCOLS[request.protocol].has_curve,
    }
    for message, holds in contradictions.items():
        if holds:
            raise UserError(message)

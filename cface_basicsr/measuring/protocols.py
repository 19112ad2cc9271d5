"""All protocols, and those of a request or of a test set. A new protocol is a module of its own and a line here."""

from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import get_args

from cface_basicsr.data.images.degradations import measured_strengths
from cface_basicsr.errors import UserError, check_known
from cface_basicsr.evaluation.restoration import Color
from cface_basicsr.evaluation.verification import Ints
from cface_basicsr.measuring.protocol import PairsProtocol, Protocol
from cface_basicsr.measuring.request import SIDES, Request, TestSet
from cface_basicsr.measuring.set_protocols import BlufrProtocol, OpenSetProtocol

_KINDS = (
    'protocol.PairsProtocol',
    'protocol.LfwProtocol',
    'set_protocols.BlufrProtocol',
    'set_protocols.IdentificationProtocol',
    'set_protocols.OpenSetProtocol',
    'search_protocol.TinyFaceProtocol',
    'search_protocol.SurvFaceProtocol',
    'scface_protocol.ScfaceProtocol',
)


def _kind(place: str) -> type[Protocol]:
    module, name = place.split('.')
    return getattr(import_module(f'cface_basicsr.measuring.{module}'), name)


PROTOCOLS = {kind.name: kind for kind in map(_kind, _KINDS)}
"""Name -> class; the only list of protocols."""


def check_request(request: Request) -> type[Protocol]:
    """Check a request before anything is read; returns the class of its protocol.

    Raises:
        UserError: an unknown name, or options that exclude each other.
    """
    check_known('protocol', request.protocol, PROTOCOLS)
    check_known('--sides', request.sides or 'both', SIDES)
    check_known('--color', request.color, get_args(Color))
    measured_strengths(request.degrade)
    if not request.features and not request.recognizers:
        raise UserError('give --recognizer, or --features that a recognizer has already made.')
    others = (request.recognizers or request.weights or request.images or request.scale or request.cache
              or request.degrade)
    if request.features and (others or request.sides or request.flip is not None):
        raise UserError('--features need nothing else: leave out --recognizer, --weights, --images, --scale, --sides, '
                        '--degrade, --flip and --cache.')
    if request.degrade and request.images:
        raise UserError('--degrade changes what networks are given, and --images are finished: leave one out.')
    if request.sides == 'lr' and (request.weights or request.images):
        raise UserError('--sides lr uses no network: leave out --weights and --images.')
    if (request.lpips or request.dists) and (request.features or request.sides == 'lr'):
        raise UserError('--lpips and --dists compare super-resolved pictures with HR: leave out --features and '
                        '--sides lr.')
    _check_options(request)
    PROTOCOLS[request.protocol].check(request)
    return PROTOCOLS[request.protocol]


def _check_options(request: Request) -> None:
    """Refuse options of other protocols, which would silently do nothing."""
    defaults = {each.name: each.default for each in fields(request)}
    for option in dict.fromkeys(option for kind in PROTOCOLS.values() for option in kind.takes):
        takers = [name for name, kind in PROTOCOLS.items() if option in kind.takes]
        if request.protocol not in takers and getattr(request, option) != defaults[option]:
            raise UserError(f"--{option.replace('_', '-')} belongs to the protocol '{' or '.join(takers)}'; "
                            f"'{request.protocol}' does not use it.")


def protocols_of(test: TestSet, keys: Sequence[str], labels: Ints, where: str) -> list[Protocol]:
    """What a test set of a recipe or a benchmark file is measured by: its pairs, and open-set identification.

    Args:
        keys, labels: of its N images; labels are (N,).
        where: its section in that file, such as 'report.tests.held-out'; for messages.

    Raises:
        UserError: a file is missing, or names images that the set lacks; or there are too few people for the pairs.
    """
    pairs = PairsProtocol.of_file(Path(test.pairs), keys, far=test.far) if test.pairs else PairsProtocol.drawn(
        keys, labels, folds=test.folds, pairs_per_fold=test.pairs_per_fold, seed=0, far=test.far,
        asked_by=(f'{where}.pairs_per_fold', f'{where}.folds'))
    if test.blufr:
        return [pairs, BlufrProtocol(Path(test.blufr), keys, far=test.far, far_identification=test.far_identification,
                                     fars=())]
    return [pairs, OpenSetProtocol(keys, labels, far_identification=test.far_identification)]

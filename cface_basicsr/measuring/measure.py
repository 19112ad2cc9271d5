"""The measurer: one system's faces by some recognizers and protocols, in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from cface_basicsr.evaluation.face_systems import Embedded
from cface_basicsr.measuring.faces import FaceSet
from cface_basicsr.measuring.protocol import Features, Outcome, Protocol
from cface_basicsr.measuring.results import Measured


def measure(system: str | nn.Module, faces: FaceSet, recognizers: Mapping[str, nn.Module],
            protocols: Sequence[Protocol], **how: Any) -> Measured:
    """All numbers of one system; both sides of a pair are super-resolved.

    Args:
        system: 'HR', 'Bicubic', 'LR', or a super-resolution network (B, 3, h, w) in [0, 1] -> (B, 3, s h, s w).
        recognizers: name -> network that carries `input_spec`.
        how: see `FaceSet.embed`.
    """
    unit_length = all(each.unit_length for each in protocols)
    return judge(faces.embed(system, recognizers, unit_length=unit_length, **how), protocols)[0]


def judge(right: Embedded, protocols: Sequence[Protocol],
          left: Mapping[str, Features] | None = None) -> tuple[Measured, dict[str, Outcome]]:
    """The second half of `measure`: what each recognizer's features say.

    Args:
        right: of the system.
        left: recognizer -> features (N, D) of the first image of each pair, where they are another system's.

    Returns:
        the numbers, those of the later protocol where two have one of the same name; and for each recognizer the
        outcome that has the scores of pairs, where there is one.
    """
    measured, scored = Measured(dict(right.restoration())), {}
    for name, features in right.features.items():
        for protocol in protocols:
            outcome = protocol.measure(name, *([features] if left is None else [left[name], features]))
            measured.numbers |= outcome.numbers
            measured.per_fold |= outcome.per_fold
            scored |= {name: outcome} if outcome.scores is not None else {}
    return measured, scored

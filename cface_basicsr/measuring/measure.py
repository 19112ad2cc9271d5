"""The measurer: one system's faces by some recognizers and protocols, in numbers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from cface_basicsr.evaluation.face_systems import Embedded, embed
from cface_basicsr.evaluation.restoration import Color
from cface_basicsr.evaluation.roc import RocCurve, roc_curve
from cface_basicsr.measuring.faces import FaceSet
from cface_basicsr.measuring.protocol import Features, Outcome, Protocol
from cface_basicsr.measuring.results import Measured
from cface_basicsr.runtime import pick_device


@dataclass(frozen=True, kw_only=True)
class Switches:
    """How faces are looked at.

    Attributes:
        flip: whether the features of an image and of its mirror image are joined.
        color, border: of PSNR and SSIM, see `psnr_ssim`.
        originals: whether PSNR and SSIM are measured.
        batch_size, at_once: faces that a super-resolution network is given at a time, and faces in memory.
        device: None: the GPU where there is one.
    """

    flip: bool = False
    color: Color = 'rgb'
    border: int = 0
    originals: bool = True
    batch_size: int = 32
    at_once: int = 256
    device: str | torch.device | None = None


@dataclass(frozen=True)
class Measurement:
    """What was measured of one system.

    Attributes:
        restoration: 'psnr' (dB) and 'ssim', means over the images; None where they were not measured.
        outcomes: recognizer -> outcome by each protocol.
    """

    restoration: Mapping[str, float | None]
    outcomes: Mapping[str, Sequence[Outcome]]

    def record(self) -> Measured:
        """Its numbers, for the record; where two protocols have a number of one name, that of the later one."""
        measured = Measured(dict(self.restoration))
        for outcome in (each for outcomes in self.outcomes.values() for each in outcomes):
            measured.numbers |= outcome.numbers
            measured.per_fold |= outcome.per_fold
        return measured

    def scored(self) -> dict[str, Outcome]:
        """Recognizer -> the outcome that has the scores of pairs, where there is one."""
        return {name: outcome for name, outcomes in self.outcomes.items() for outcome in outcomes
                if outcome.scores is not None}

    def curves(self) -> dict[str, RocCurve]:
        """Recognizer -> ROC curve, where a protocol has one."""
        return {name: roc_curve(outcome.scores, outcome.same) for name, outcome in self.scored().items()}


def measure(system: str | nn.Module, faces: FaceSet, recognizers: Mapping[str, nn.Module],
            protocols: Sequence[Protocol], switches: Switches | None = None) -> Measurement:
    """All numbers of one system; both sides of a pair are super-resolved.

    Args:
        system: 'HR', 'Bicubic', 'LR', or a super-resolution network (B, 3, h, w) in [0, 1] -> (B, 3, s h, s w).
        recognizers: name -> network that carries `eats`.
    """
    return by_protocols(embed_faces(system, faces, recognizers, protocols, switches), protocols)


def embed_faces(system: str | nn.Module, faces: FaceSet, recognizers: Mapping[str, nn.Module],
                protocols: Sequence[Protocol], switches: Switches | None = None, *, keep: Collection[int] = (),
                progress: Callable[[int], None] = lambda done: None) -> Embedded:
    """The first half of `measure`, which takes the time: features, PSNR and SSIM of a system's N faces.

    Args:
        keep: rows whose images are returned.
        progress: called with the number of faces done.
    """
    switches = switches or Switches()
    device = pick_device() if switches.device is None else switches.device
    chunks = faces.chunks(system, batch_size=switches.batch_size, at_once=switches.at_once, device=device,
                          progress=progress)
    return embed(((given, originals if switches.originals else None) for given, originals in chunks), recognizers,
                 flip=switches.flip, unit_length=all(each.unit_length for each in protocols), color=switches.color,
                 border=switches.border, device=device, keep=keep)


def by_protocols(right: Embedded, protocols: Sequence[Protocol],
                 left: Mapping[str, Features] | None = None) -> Measurement:
    """The second half of `measure`: what each recognizer's features say.

    Args:
        right: of the system.
        left: recognizer -> features (N, D) of the first image of each pair, where they are another system's.
    """
    return Measurement(right.restoration(), {
        name: [each.measure(name, features) if left is None else each.measure(name, left[name], features)
               for each in protocols] for name, features in right.features.items()})

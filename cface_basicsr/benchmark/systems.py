"""The compared systems: the trainings that each consists of, in order, and which of them give a row of the table.

A phase names an option file and repeats nothing of its content. Lengths are shares: a system's phases divide one budget
of images through its generator, in the proportions of the published schedules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cface_basicsr.errors import UserError, nearest
from cface_basicsr.measuring.results import REFERENCES

LOSS, HEAD = 'loss recognizer', 'loss head'
"""In `weights`: the recognizer that leads the losses, and its classifier (none where it comes from an ONNX file)."""


@dataclass(frozen=True)
class Phase:
    """One training of a system, or stage 2.

    Attributes:
        name: within its system.
        options: file in options/, of any scale, since a recipe sets its own; '' for stage 2.
        share: of the system's budget of images; 0 leaves the phase out unless the benchmark file gives it a share.
        learner: 'g': the share is of images through the generator, and all such shares together are the budget;
            'r': only a recognizer is trained, on `share` times the budget, which is listed apart.
        weights: network -> an earlier phase of the system, LOSS or HEAD. Where that phase is left out, nothing is
            handed over.
        set: changes to the option file.
        generate: stage 2: the phase whose generator super-resolves the training set.
        d_sr: the stage-2 phase whose D_SR is read.
    """

    name: str
    options: str = ''
    share: float = 1.0
    learner: str = 'g'
    weights: Mapping[str, str] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    generate: str = ''
    d_sr: str = ''


@dataclass(frozen=True)
class System:
    """A chain of phases.

    Attributes:
        rows: title in the tables -> the phase whose generator it is.
        pixel: titles of rows that learn only from pixels, so a PSNR below Bicubic's means that they have not
            converged.
        compares: the training set needs compare images, hence the index of the loss's recognizer.
        published: the schedule that the shares are taken from.
    """

    name: str
    phases: tuple[Phase, ...]
    rows: Mapping[str, str]
    pixel: tuple[str, ...] = ()
    compares: bool = False
    published: str = ''

    def phase(self, name: str) -> Phase:
        """A phase by its name.

        Raises:
            UserError: there is none of that name; the message gives the nearest.
        """
        names = {phase.name: phase for phase in self.phases}
        if name not in names:
            raise UserError(f"system '{self.name}' has no phase '{name}'; {nearest(name, names)}")
        return names[name]


def _one(name: str, file: str) -> System:
    """A system of one training that learns only from pixels."""
    return System(name, (Phase('train', f'baselines/{file}_x8.yml'),), {name: 'train'}, (name,))


WARMUP = Phase('warmup', 'cface_stage1.yml', share=0.0, set={
    'network_d': None, 'network_r': None, 'datasets': {'train': {'compare_mode': 'none', 'compare_index': None}},
    'train': {'optim_d': None, 'content_opt': None, 'gan_opt': None, 'cface_opt': None,
              'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0}}})
"""Pixels only. The paper has no such phase; a benchmark too small to train a GAN from scratch may give it a share."""


def _stage1(share: float = 1.0) -> Phase:
    return Phase('stage1', 'cface_stage1.yml', share, weights={'network_g': 'warmup', 'network_r': LOSS})


_STAGES = (
    WARMUP, _stage1(share=10 / 15),
    Phase('stage2', generate='stage1'),
    Phase('stage3', 'cface_stage3.yml', share=20 / 15, learner='r', d_sr='stage2',
          weights={'network_r': LOSS, 'network_c': HEAD}),
    Phase('stage4', 'cface_stage4.yml', share=5 / 15, weights={
        'network_g': 'stage1', 'network_d': 'stage1', 'network_r': 'stage3', 'network_c': 'stage3'}),
)

_ALL = (
    _one('VDSR', 'vdsr'),
    _one('Wavelet-SRNet', 'wavelet_srnet'),
    _one('EDSR', 'edsr'),
    System('SRGAN', (Phase('mse', 'baselines/srresnet_x8.yml', share=10 / 12),
                     Phase('gan', 'baselines/srgan_x8.yml', share=2 / 12, weights={'network_g': 'mse'})),
           {'SRGAN': 'gan'}, published='1,000,000 and 200,000 iterations of 16'),
    _one('DBPN', 'dbpn'),
    _one('RDN', 'rdn'),
    System('SICNN', (Phase('pre', 'baselines/sicnn_pre_x8.yml', share=8 / 9),
                     Phase('train', 'baselines/sicnn_x8.yml', share=1 / 9, weights={
                         'network_g': 'pre', 'network_r': LOSS, 'network_c': HEAD})),
           {'SICNN': 'train'}, published='200,000 iterations of 48, 30,000 of 40'),
    System('ESRGAN', (Phase('psnr', 'baselines/esrgan_psnr_x8.yml', share=10 / 14),
                      Phase('gan', 'baselines/esrgan_x8.yml', share=4 / 14, weights={'network_g': 'psnr'})),
           {'ESRGAN (PSNR)': 'psnr', 'ESRGAN': 'gan'}, ('ESRGAN (PSNR)',),
           published='1,000,000 and 400,000 iterations of 16'),
    _one('SRFBN', 'srfbn'),
    System('C-Face-v1', (WARMUP, _stage1()), {'C-Face-v1': 'stage1'}, compares=True, published='stage 1 only'),
    System('C-Face-v2', _STAGES, {'C-Face-v2': 'stage4'}, compares=True,
           published='10 epochs of stage 1, 5 of stage 4; stage 3: 10 epochs of D_HR and D_SR'),
)

SYSTEMS: dict[str, System] = {system.name: system for system in _ALL}
"""All systems that are trained; those of the paper in the order of its tables."""


def find_systems(names: Iterable[str] | str, known: Mapping[str, System]) -> list[System]:
    """Systems by name, in the given order. HR and Bicubic are always there and may be named.

    Raises:
        UserError: a name is unknown; the message gives the nearest.
    """
    found = []
    for name in [names] if isinstance(names, str) else names:
        if name in known:
            found.append(known[name])
        elif name not in REFERENCES:
            raise UserError(f"system '{name}' is unknown; {nearest(name, [*known, *REFERENCES])}")
    return found

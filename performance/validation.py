"""Validation during a training, and stage 2: images a second, each side in a process of its own.

BasicSR validates one image after the other; ours has batches (`val.batch_size`), the same metrics and the same network.
Stage 2 reads LR faces, super-resolves them and writes them as PNG; its rival only computes the generator's forward.
"""

import os
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from performance.commands import build, described, operations
from performance.faces_on_disk import photos, prepared
from performance.limits import Limit
from performance.measure import Finding, ratio
from performance.sides import Job, Side, against
from performance.training_step import SCALE, SIZE, model_builder

BATCH = 16
METRICS = {name: {'type': f'calculate_{name}', 'crop_border': 0, 'test_y_channel': False} for name in ('psnr', 'ssim')}


def run(*, width: str = 'paper', identities: int = 16, images: int = 4, rounds: int = 3,
        threads: int = 1) -> list[Finding]:
    """Measure.

    Args:
        width: of the generator, a key of `training_step.WIDTHS`.
        identities, images: of the generated photos.
        rounds: passes over them.
        threads: of our sides; a rival has one or as many, whichever is faster.
    """
    with tempfile.TemporaryDirectory() as name:
        data = prepared(photos(Path(name, 'photos'), identities, images), Path(name, 'data'))
        settings = {'folder': str(data), 'width': width}
        sides = {kind: Side(f'performance.validation:{kind}', settings, threads)
                 for kind in ('ours', 'basicsr', 'stage_2', 'forward')}
        validated = against(sides['ours'], sides['basicsr'], rounds)
        made = against(sides['stage_2'], sides['forward'], rounds)
    faces = identities * images
    limit = Limit(faces * operations('g', width), faces * 2 * 3 * SIZE ** 2, threads)
    apart = np.abs(np.subtract(validated.ours.results[-1], validated.rival.results[-1]))
    return [Finding('validation', f'validation of {faces} faces, PSNR and SSIM, {width} widths, batches of {BATCH}; '
                                  f'the means differ by {apart[0]:.1g} dB and {apart[1]:.1g}',
                    f'{validated.ours.spread()} s, {max(validated.ours.peak):.2f} GB',
                    f'BasicSR, image by image, {validated.threads} thread(s): {validated.rival.spread()} s, '
                    f'{max(validated.rival.peak):.2f} GB', ratio(validated.ours.seconds, validated.rival.seconds),
                    limit=limit.words(), of_limit=validated.ours.median / limit.seconds),
            Finding('stage_2', f'stage 2 (`cface generate`) of {faces} faces, {width} widths, batches of {BATCH}',
                    f'{made.ours.spread()} s, {max(made.ours.peak):.2f} GB',
                    f"the generator's forward, {made.threads} thread(s): {made.rival.spread()} s, "
                    f'{max(made.rival.peak):.2f} GB', ratio(made.ours.seconds, made.rival.seconds),
                    limit=limit.words(), of_limit=made.ours.median / limit.seconds)]


def ours(folder: str, width: str) -> Job:
    """The patched validation, in batches of bytes that our data set reads."""
    return _validation(folder, width, {'type': 'FacePairDataset'}, BATCH)


def basicsr(folder: str, width: str) -> Job:
    """BasicSR's own validation of its own data set."""
    os.environ['CFACE_COMPAT_WITHOUT'] = 'validation-in-batches'
    return _validation(folder, width, {'type': 'PairedImageDataset', 'io_backend': {'type': 'lmdb'}}, 1)


def _validation(folder: str, width: str, kind: dict[str, Any], batch: int) -> Job:
    import torch
    from torch.utils.data import DataLoader

    model = model_builder()({
        'model_type': 'SRModel', 'is_train': False, 'dist': False, 'rank': 0, 'world_size': 1, 'scale': SCALE,
        'num_gpu': 1 if torch.cuda.is_available() else 0, 'path': {}, 'network_g': described('g', width),
        'val': {'metrics': METRICS, 'batch_size': batch}})
    from basicsr.data import build_dataset
    faces = build_dataset(kind | {'name': 'faces', 'phase': 'val', 'scale': SCALE, 'dataroot_gt': f'{folder}/hr.lmdb',
                                  'dataroot_lq': f'{folder}/lr_x{SCALE}.lmdb'})
    loader = DataLoader(faces, batch_size=1)

    def job() -> list[float]:
        model.nondist_validation(loader, 0, None, False)
        return [model.metric_results[name] for name in METRICS]
    return job


def stage_2(folder: str, width: str) -> Job:
    """D_SR of a prepared folder's LR faces, each time a new store."""
    from cface_basicsr.data.super_resolved_store import write_super_resolved_store
    network, number = build('g', width), count()

    def job() -> None:
        out = Path(folder, f'sr_{os.getpid()}_{next(number)}.lmdb')
        write_super_resolved_store(network, Path(folder, f'lr_x{SCALE}.lmdb'), out, batch_size=BATCH)
        shutil.rmtree(out)
    return job


def forward(folder: str, width: str) -> Job:
    """The generator's forward of as many faces, and nothing else."""
    import torch

    from cface_basicsr.files.face_store import FaceStore
    network, faces = build('g', width), len(FaceStore(Path(folder, f'lr_x{SCALE}.lmdb')))

    def job() -> None:
        with torch.inference_mode():
            for start in range(0, faces, BATCH):
                network(torch.zeros(min(BATCH, faces - start), 3, SIZE // SCALE, SIZE // SCALE))
    return job

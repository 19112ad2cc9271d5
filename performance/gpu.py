"""Everything that is worth doing on one GPU, in one run of less than nine minutes.

1. A first step of the paper's stages on the GPU and on the CPU: are the losses the same?
2. The same stages and SICNN under torchrun with one rank: does DDP take them as it takes them on several GPUs?
3. A stage-1 step in other precisions and memory layouts (`performance.precision`).
4. LR faces as `lq_from_gt` makes them there and on the CPU: how many bytes differ, and by how much?
5. A few steps of every training of a benchmark file, by BasicSR, with its own batch: do they run, and how fast?

Without a GPU the same code runs on the CPU, at small sizes: it shows that the script works, not how fast anything is.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from performance import precision
from performance.measure import Finding
from performance.training_step import LAYER, random_vgg19

STAGES = (0, 1, 3, 4)
RANKS = ('stage 0', 'stage 1', 'stage 4', 'SICNN')
SAME = 1e-3
"""How far a loss on the GPU may be from the CPU's, relative to it: float32 sums in another order."""


def run(*, width: str | None = None, batch: int | None = None, rounds: int | None = None, layer: str = LAYER,
        compiled: bool | None = None, ranks: Sequence[str] = RANKS, benchmark: str | None = None) -> list[Finding]:
    """All five parts.

    Args:
        width, batch, rounds, layer, compiled: see `performance.precision.run`.
        ranks: what is trained under torchrun.
        benchmark: the benchmark file of part 5; default: the paper's at x8 on a GPU, the demo's on a CPU.
    """
    gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory(prefix='cface_gpu_') as name:
        folder = Path(name)
        options = dict(small_options(folder))
        distributed = {name: options[name] for name in ranks}
        return [*equal_losses(options, folder, gpu), *under_torchrun(distributed, folder, gpu),
                *precision.run(width=width, batch=batch, rounds=rounds, layer=layer, compiled=compiled),
                lr_faces('cuda' if gpu else 'cpu'),
                *every_training(benchmark or f"benchmark/{'paper' if gpu else 'demo'}.yml", folder)]


def small_options(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name -> options of the paper's stages and of SICNN, small, on faces and weights in the folder."""
    from cface_basicsr.options import merge
    from tests.narrow import narrow
    from tests.tiny_stages import stage_options, tiny, write_tiny_data
    data = write_tiny_data(folder / 'data')
    torch.save({f'features.{key}': value for key, value in random_vgg19(LAYER).state_dict().items()},
               folder / 'vgg19.pth')
    content = {'train': {'content_opt': {'type': 'VGGContentLoss', 'weights': str(folder / 'vgg19.pth')}}}
    for stage in STAGES:
        yield f'stage {stage}', stage_options(stage, data, content if stage in (1, 4) else {})
    opt = tiny('baselines/sicnn_x8.yml', data, handed_over='rc')
    yield 'SICNN', merge(opt, {'network_g': {'num_block': None, **narrow(opt['network_g'])}})


def equal_losses(options: Mapping[str, Any], folder: Path, gpu: bool) -> list[Finding]:
    """The losses of a first step, on the GPU against the CPU."""
    lines = []
    for name, opt in options.items():
        there, here = (first_losses(opt | {'num_gpu': count}, folder / f'{name} {count}') for count in (int(gpu), 0))
        worst = max(abs(there[key] - here[key]) / (abs(here[key]) + 1e-6) for key in here)
        lines.append(Finding(f'losses_{name.replace(" ", "_")}', f'losses of a first step, {name}', device_name(gpu),
                             'CPU', worst, unit='of the loss', target=SAME))
    return lines


def first_losses(opt: dict[str, Any], folder: Path) -> dict[str, float]:
    """The logged losses of one step; everything random is drawn on the CPU."""
    from tests.tiny_stages import train_one_step
    torch.manual_seed(0)
    with precision.tf32(False):
        model = train_one_step(opt, folder)
    return {key: float(value) for key, value in model.get_current_log().items() if key.startswith('l_')}


def lr_faces(device: str, identities: int = 250) -> Finding:
    """How many grey levels LR faces at x8 differ by, at most, that the device and the CPU make of the same HR faces."""
    from cface_basicsr.data.generated_faces import render_face
    from cface_basicsr.data.images.low_resolution import reduce_bytes
    faces = np.stack([render_face(identity=number, image=0, size=128) for number in range(identities)])
    hr = torch.from_numpy(faces.transpose(0, 3, 1, 2).copy())
    here, there = reduce_bytes(hr, 8), reduce_bytes(hr.to(device), 8).cpu()
    apart = (here.int() - there.int()).abs()
    return Finding('lr_faces', f'LR of {identities} faces at x8, made on the device and on the CPU',
                   f'{int((apart > 0).sum()):,} bytes of {apart.numel():,} differ', '–', float(apart.max()),
                   unit='grey levels', target=1.0)


def under_torchrun(options: Mapping[str, Any], folder: Path, gpu: bool) -> list[Finding]:
    """A training of two iterations, as one rank of a distributed run; the number is its exit code."""
    from cface_basicsr.options import merge, write_option_file
    from cface_basicsr.training.process import Ranks, last_words
    lines = []
    for name, opt in options.items():
        path = folder / f'{name.replace(" ", "_")}.yml'
        ranks = {'num_gpu': 1 if gpu else 0, 'path': {'experiments_root': str(folder / 'ranks')},
                 'train': {'total_iter': 2}}
        write_option_file(merge(opt, ranks), path)
        log = path.with_suffix('.log')
        log.write_text('')
        rank = Ranks(path, 1, [log], distributed=True)
        rank.join()
        said = 'trained' if rank.exitcode == 0 else last_words(log)
        lines.append(Finding(f'ranks_{name.replace(" ", "_")}', f'one rank of DDP on {device_name(gpu)}, {name}', said,
                             '–', float(rank.exitcode), unit='exit code', target=0.0))
    return lines


def every_training(benchmark: str, folder: Path) -> list[Finding]:
    """Images per second of every training of a benchmark file at x8, or why it could not be run."""
    from cface_basicsr.benchmark.file import read_benchmark
    from cface_basicsr.benchmark.plan import make_plan
    from cface_basicsr.benchmark.throughput import find_throughput, trainings
    from cface_basicsr.cli.show import ShowSteps
    from cface_basicsr.options.shipped import find_option_file
    file = read_benchmark(find_option_file(benchmark), changes={'scales': [8], 'seeds': [0]})
    plan = make_plan(file, folder / 'run', 10_000_000)
    with ShowSteps(1) as show:
        found, unknown, _ = find_throughput(plan, None, show)
    batches = {each.key: each.images // each.iterations for each in trainings(plan)}
    return [Finding(f'train_{key}', f'training of {key}, batch {batches[key]}',
                    f'{1 / found[key]:.4g} images/s' if key in found else f'cannot run here: {unknown.get(key)}', '–',
                    1 / found[key] if key in found else None, unit='images/s', target=0.0 if key in found else math.inf,
                    at_most=False) for key in batches]


def device_name(gpu: bool) -> str:
    """What the steps run on."""
    return torch.cuda.get_device_name() if gpu else 'CPU'

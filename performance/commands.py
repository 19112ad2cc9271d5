"""Commands of `cface` from end to end, each run a process: time, and the most memory that it held.

The rival of a command is the least that anybody would have to do in a new process: import torch, build the network,
compute. Its process does nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from performance.faces_on_disk import photos, prepared
from performance.limits import Limit
from performance.measure import Finding, Times, ratio, turns
from performance.sides import ROOT, THREADS
from performance.training_step import WIDTHS

PAGE, FACE = 4096, 3 * 128 ** 2
"""Bytes: the least that a command reads, and the pixels of a face."""
_NETWORK_ALONE = """
import sys, torch
from performance.commands import build
network = build('g', sys.argv[1])
with torch.inference_mode():
    network(torch.zeros(1, 3, 16, 16))
"""
_WATCH = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print()
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
_FORWARD_ALONE = """
import sys, torch
from performance.commands import build
network = build('r', sys.argv[1])
with torch.inference_mode():
    for start in range(0, 2 * int(sys.argv[2]), 8):
        network(torch.zeros(8, 3, 112, 96))
"""


def run(*, width: str = 'paper', identities: int = 24, images: int = 4, rounds: int = 3,
        threads: int = 1) -> list[Finding]:
    """Measure.

    Args:
        width: of the networks, a key of `training_step.WIDTHS`.
        identities, images: of the generated photos that are indexed and evaluated.
        rounds: how often each command runs.
        threads: of torch.
    """
    count = identities * images
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, crop = write_inputs(folder, identities, images, width)
        recognizer = ['--recognizer', folder / 'r.pth']
        commands = {
            'help': cface('--help'),
            'help alone': [sys.executable, '-c', 'pass'],
            'enhance': cface('enhance', crop, '--weights', folder / 'g.pth', '--out', folder / 'out', '--overwrite'),
            'enhance alone': [sys.executable, '-c', _NETWORK_ALONE, width],
            'index': cface('index', data, *recognizer),
            'index alone': [sys.executable, '-c', _FORWARD_ALONE, width, str(count)],
            'evaluate': cface('evaluate', 'pairs', data, *recognizer, '--scale', 8, '--json')}
        runs = measure(commands, rounds, threads, before=lambda: shutil.rmtree(data / 'index', ignore_errors=True))
    forward, rival = 2 * count * operations('r', width), "torch and the recognizer's forward"
    evaluate, store = runs['evaluate'], Limit(moved=count * FACE, threads=threads)
    rows = (('help', '`cface --help`', 'an empty Python', None, 0),
            ('enhance', '`cface enhance` of one crop', 'torch and the network', 1.2, operations('g', width)),
            ('index', f'`cface index` of {count} faces and their mirror images', rival, 1.15, forward))
    return [*(_finding(key, what, against, runs, target, Limit(work, PAGE, threads))
              for key, what, against, target, work in rows),
            Finding('evaluate', f'`cface evaluate pairs` of pairs of {count} faces, HR and Bicubic, by CPU time',
                    f'{evaluate.median_cpu:.3g} s, {max(evaluate.peak):.2f} GB', '–', evaluate.median_cpu, 's',
                    limit=store.words(), of_limit=evaluate.median_cpu / store.seconds)]


def _finding(key: str, what: str, rival: str, runs: dict[str, Times], target: float | None, limit: Limit) -> Finding:
    ours, alone = runs[key], runs[f'{key} alone']
    return Finding(key, f'{what}, by CPU time', f'{ours.median_cpu:.3g} s, {max(ours.peak):.2f} GB',
                   f'{rival}: {alone.median_cpu:.3g} s, {max(alone.peak):.2f} GB', ratio(ours.cpu, alone.cpu), 'x',
                   target, True, limit.words(), ours.median_cpu / limit.seconds)


def described(name: str, width: str) -> dict[str, Any]:
    """The options of network 'g', SRResNet at x8, or 'r', SphereFace20."""
    kind = {'g': {'type': 'SRResNet', 'scale': 8}, 'r': {'type': 'SphereFace20'}}[name]
    return kind | WIDTHS[width][name]


def build(name: str, width: str) -> Any:
    """That network with random weights."""
    from cface_basicsr.files.network_file import build_network
    return build_network(described(name, width)).eval()


def operations(name: str, width: str) -> int:
    """Of one forward pass of one face."""
    import torch

    from cface_basicsr.benchmark.costs import count_macs
    return 2 * count_macs(build(name, width), torch.zeros(1, 3, *{'g': (16, 16), 'r': (112, 96)}[name]))


def write_inputs(folder: Path, identities: int, images: int, width: str) -> tuple[Path, Path]:
    """Network files g.pth and r.pth, a prepared folder, and one face crop."""
    import cv2
    import numpy as np

    from cface_basicsr.files.network_file import save_atomically
    for name in ('g', 'r'):
        save_atomically({'params': build(name, width).state_dict(), 'network': described(name, width)},
                        folder / f'{name}.pth')
    cv2.imwrite(str(folder / 'face.png'), np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    return prepared(photos(folder / 'photos', identities, images), folder / 'data'), folder / 'face.png'


def cface(*words: object) -> list[str]:
    """A command line of `cface`."""
    return [sys.executable, '-m', 'cface_basicsr', *map(str, words)]


def measure(commands: Mapping[str, Sequence[str]], rounds: int, threads: int,
            before: Callable[[], object] = lambda: None) -> dict[str, Times]:
    """Run each command once a round, after one round that is not measured; `before` each run.

    Raises:
        RuntimeError: a command failed.
    """
    times = {name: Times() for name in commands}
    with tempfile.TemporaryDirectory() as compiled:
        for number, name in turns(commands, rounds, warm_up=1):
            before()
            seconds, cpu, peak = run_command(commands[name], threads, compiled)
            if number >= 0:
                times[name].seconds.append(seconds)
                times[name].cpu.append(cpu)
                times[name].peak.append(peak)
    return times


def run_command(command: Sequence[str], threads: int, compiled: str) -> tuple[float, float, float]:
    """Seconds by the clock, CPU seconds, and peak memory (GB) of a process.

    A small process starts it and asks: Linux counts the memory of the process that starts another as the other's, too.

    Args:
        command: its words.
        threads: of torch.
        compiled: a folder for Python's bytecode. What pip installs has got it; a checkout that may not be written to
            would be compiled at each start.
    """
    environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {
        'PYTHONDONTWRITEBYTECODE': '', 'PYTHONPYCACHEPREFIX': compiled}
    clock = time.perf_counter()
    done = subprocess.run([sys.executable, '-S', '-c', _WATCH, *command], cwd=ROOT, env=environment,
                          capture_output=True, text=True)
    clock = time.perf_counter() - clock
    *output, last = done.stdout.splitlines()
    code, cpu, peak = json.loads(last)
    if code:
        raise RuntimeError(f"{' '.join(command)}:\n{chr(10).join(output)[-1000:]}{done.stderr[-2000:]}")
    return clock, cpu, peak / 1e6

"""What it costs that checkpoints are whole: to hash them, to flush them to the disk, and to compare their checksums.

A share of the time between two checkpoints is printed, at the shipped `save_checkpoint_freq` of stage 1 and ten steps a
second, which is faster than any measured here: the true share is smaller.
"""

import hashlib
import statistics
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from cface_basicsr.files.atomic import flush
from performance.faces_on_disk import temporary_folder
from performance.limits import Limit
from performance.measure import Finding, Times

BETWEEN = 5000 / 10
"""Seconds between two checkpoints."""


def run(*, megabytes: int = 400, rounds: int = 3) -> list[Finding]:
    """Measure.

    Args:
        megabytes: of a checkpoint, all files together; stage 4 at the paper's widths has about as much.
        rounds: how often it is written.
    """
    content = {'params': [torch.randn(25_000 * megabytes) for _ in range(10)]}
    written, hashed, flushed, checked = Times(), Times(), Times(), Times()
    with temporary_folder() as folder:
        path = Path(folder, 'checkpoint')
        for _ in range(rounds):
            _add(written, lambda: torch.save(content, path))
            _add(flushed, lambda: flush(path))
            whole = path.read_bytes()
            _add(hashed, lambda: hashlib.sha256(whole))  # noqa: B023  it is called at once
            _add(checked, lambda: zipfile.ZipFile(path).testzip())
            path.unlink()
    parts = {'hash': ('SHA-256', hashed), 'flush': ('fsync', flushed), 'check': ('CRC-32 of all records', checked)}
    return [_finding(key, *part, written, len(whole)) for key, part in parts.items()]


def _add(times: Times, job: Callable[[], object]) -> None:
    clock, cpu = time.perf_counter(), time.process_time()
    job()
    times.seconds.append(time.perf_counter() - clock)
    times.cpu.append(time.process_time() - cpu)


def _finding(key: str, what: str, ours: Times, written: Times, size: int) -> Finding:
    limit, share = Limit(moved=size), 100 * statistics.median(ours.seconds) / BETWEEN
    said = f'{what} of a checkpoint of {size / 1e6:.0f} MB; 100 %: the {BETWEEN:.0f} s to the next'
    return Finding(f'checkpoint_{key}', said, f'{ours.spread()} s, {ours.median_cpu:.3g} s of CPU time',
                   f'torch.save alone: {written.spread()} s, {written.median_cpu:.3g} s of CPU time', share, '%', 0.5,
                   True, limit.words(), ours.median / limit.seconds)

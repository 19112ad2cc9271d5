"""A stage-1 step in other precisions and memory layouts: float32, TF32, bfloat16 autocast, channels last, compiled.

Made for a GPU, with the paper's widths and batch; on a CPU it takes small ones. A variant that this machine cannot
run is named with the reason.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from performance.limits import Limit
from performance.measure import Finding, Times, ratio, take_turns
from performance.training_step import LAYER, a_batch, cface_model, srgan_model, stepper

LONGEST = 150.0
"""Seconds that one variant may take until its first step is done (compilation); then it is left out."""

Make = Callable[[Any], Callable[[], None]]
"""Makes a step from a batch of faces."""


def run(*, width: str | None = None, batch: int | None = None, rounds: int | None = None, layer: str = LAYER,
        compiled: bool | None = None) -> list[Finding]:
    """Measure the variants, taking turns.

    Args:
        width, batch, rounds: default: the paper's, 64 faces and 20 rounds on a GPU; small widths, 4 and 2 on a CPU.
        layer: of VGG19.
        compiled: torch.compile too, measured after the others; default: only on a GPU (on a CPU it takes minutes).
    """
    gpu = torch.cuda.is_available()
    width, batch = width or ('paper' if gpu else 'small'), batch or (64 if gpu else 4)
    rounds = rounds or (20 if gpu else 2)
    faces = a_batch(batch, torch.device('cuda' if gpu else 'cpu'))
    groups = [eager(gpu, width, layer), with_compiler(gpu, width, layer) if (gpu if compiled is None else compiled)
              else {}]
    return [line for group in groups for line in _measure(group, faces, rounds, width, batch)]


def _measure(group: dict[str, Make], faces: Any, rounds: int, width: str, batch: int) -> list[Finding]:
    jobs, refused, operations = {}, [], {}
    for name, make in group.items():
        job, reason = _first_step(make, faces)
        if job:
            jobs[name] = job
            operations[name] = operations['float32'] if 'compiled' in name else _operations(job)
        else:
            refused.append(Finding(_key(name), f'step, {name}', f'cannot run here: {reason}', '–', None))
    times = take_turns(jobs, rounds)
    return [*(_finding(name, each, times['float32'], operations[name], width, batch)
              for name, each in times.items()), *refused]


def _operations(step: Callable[[], None]) -> float:
    """Floating-point operations of a step's products and convolutions; a compiler would hide them."""
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def _limit(name: str, operations: float) -> Limit:
    """At the rate of a product of the variant's numbers; without a word, convolutions on a GPU take TF32."""
    kinds = [kind for kind in ('bfloat16', 'float16') if name.startswith(kind)]
    tf32 = torch.cuda.is_available() and 'without TF32' not in name
    return Limit(operations, threads=torch.get_num_threads(), kind=(*kinds, 'tf32' if tf32 else 'float32')[0])


def _key(name: str) -> str:
    return 'precision_' + name.replace(',', '').replace(' ', '_')


def _finding(name: str, times: Times, base: Times, operations: float, width: str, batch: int) -> Finding:
    limit = _limit(name, operations)
    target = 1 / 1.5 if name.startswith('SRGANModel') else None  # the step's target, seen from the other side
    return Finding(_key(name), f'step, {name}; {width} widths, batch {batch}',
                   f'{times.spread(1000)} ms, {batch / times.median:.4g} faces/s',
                   f'float32: {base.spread(1000)} ms', ratio(times.seconds, base.seconds), target=target,
                   at_most=False, limit=limit.words(), of_limit=times.median / limit.seconds)


HALF = {'use_amp': True, 'amp_bf16': True}
LAST = {'use_channels_last': True}


def eager(gpu: bool, width: str, layer: str) -> dict[str, Make]:
    """The variants without a compiler: name -> what makes the step from a batch of faces."""
    found: dict[str, Make] = {
        'float32': lambda faces: ours(faces, width, layer),
        'SRGANModel, float32, no recognizer': lambda faces: stepper(srgan_model(width, layer), faces),
        'float32, channels last': lambda faces: ours(faces, width, layer, LAST),
        'bfloat16 autocast': lambda faces: ours(faces, width, layer, HALF),
        'bfloat16 autocast, channels last': lambda faces: ours(faces, width, layer, HALF | LAST)}
    if gpu:
        fused = {f'optim_{label}': {'fused': True} for label in 'gd'}
        found['bfloat16 autocast, channels last, fused'] = lambda faces: ours(faces, width, layer, HALF | LAST | fused)
        found['float16 autocast, channels last, fused'] = lambda faces: ours(
            faces, width, layer, LAST | fused | {'use_amp': True})
        found['TF32'] = lambda faces: _inside(ours(faces, width, layer), tf32)
        found['float32 without TF32 in convolutions'] = lambda faces: _inside(
            ours(faces, width, layer), lambda: tf32(False))
    return found


def with_compiler(gpu: bool, width: str, layer: str) -> dict[str, Make]:
    """The variants with torch.compile, and float32 again to compare with."""
    found: dict[str, Make] = {'float32': lambda faces: ours(faces, width, layer)}
    for mode in ('default', 'reduce-overhead') if gpu else ('default',):
        compiled = HALF | LAST | {'use_compile': True, 'compile_mode': mode}
        found[f'bfloat16 autocast, channels last, compiled {mode}'] = lambda faces, changes=compiled: ours(
            faces, width, layer, changes)
    return found


def ours(faces: Any, width: str, layer: str, changes: dict[str, Any] | None = None) -> Callable[[], None]:
    """A stage-1 step with other options."""
    return stepper(cface_model(width, layer, changes=changes), faces)


def _inside(step: Callable[[], None], around: Callable) -> Callable[[], None]:
    def run_inside() -> None:
        with around():
            step()
    return run_inside


@contextlib.contextmanager
def tf32(allowed: bool = True) -> Iterator[None]:
    """Tensor cores for float32, with 10 bits of mantissa; torch's default is to take them only in convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _first_step(make: Make, faces: Any) -> tuple[Callable[[], None] | None, str]:
    """The step, run once; or None and why it is left out."""
    try:
        with at_most(LONGEST):
            job = make(faces)
            job()
    except Exception as error:  # no compiler, no memory, an operator without bfloat16: each is an answer here
        return None, f'{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ""}'
    return job, ''


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise a TimeoutError inside the block when it takes longer; compilers run Python code, which hears signals."""
    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f'took more than {seconds:.0f} s')
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""`python -m performance.profile_step [--width small] [--batch 4]`: where the time of a step goes, by operation.

Stages 1 and 4 at the paper's widths, each without what makes a step faster and with it: what the profiler of PyTorch
says of one step on one thread, after two that it does not see. Each has a process of its own, with our allocator
settings in all of them.
"""

import argparse
from collections import Counter
from multiprocessing import get_context

import torch
from torch.profiler import ProfilerActivity, profile

from cface_basicsr.runtime import start_computing
from performance.training_step import LAYER, WIDTHS, a_batch, model_of, stepper

STEPS = ('stage 1', 'stage 1, fast', 'stage 4, nothing reused', 'stage 4, fast')
"""What is compared: names as in `training_step.model_of`."""
_KINDS = {
    'convolutions, forward': ('mkldnn_convolution', 'convolution', 'thnn_conv2d'),
    'convolutions, backward': ('convolution_backward',),
    'matrix products': ('mm', 'addmm', 'bmm'),
    'batch normalization': ('native_batch_norm', 'native_batch_norm_backward'),
    'activations and pooling': ('_prelu_kernel', '_prelu_kernel_backward', 'leaky_relu_', 'leaky_relu_backward',
                                'clamp_min_', 'threshold_backward', 'max_pool2d_with_indices',
                                'max_pool2d_with_indices_backward'),
    'copies and sums': ('copy_', 'add', 'add_', 'mul', 'mul_', 'cat', 'fill_', 'sum'),
    'Adam and SGD': ('_fused_adam_', '_fused_sgd_', 'addcmul_', 'addcdiv_', 'lerp_', 'sqrt', '_foreach_addcdiv_',
                     '_foreach_lerp_', '_foreach_addcmul_', '_foreach_sqrt', '_foreach_mul_', '_foreach_add_'),
}
REST = 'all else'


def kind_of(operation: str) -> str:
    """The kind of an operation of PyTorch.

    >>> kind_of('aten::mm'), kind_of('aten::pixel_shuffle')
    ('matrix products', 'all else')
    """
    name = operation.removeprefix('aten::')
    return next((kind for kind, names in _KINDS.items() if name in names), REST)


def seconds_by_kind(step: str, width: str = 'paper', batch: int = 4, layer: str = LAYER) -> dict[str, float]:
    """Kind of operation -> seconds that one step spends in it, on one thread."""
    start_computing()
    torch.set_num_threads(1)
    faces = a_batch(batch, torch.device('cpu'), WIDTHS[width]['r']['feature_length'])
    run = stepper(model_of(step, width, layer), faces)
    run()
    run()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    found: Counter[str] = Counter()
    for event in seen.key_averages():
        found[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    return dict(found)


def markdown(found: dict[str, dict[str, float]]) -> str:
    """Kinds as rows, steps as columns: seconds, and the share of the step."""
    totals = {step: sum(seconds.values()) for step, seconds in found.items()}
    rows = [[kind, *(f'{seconds.get(kind, 0):.2f} s, {seconds.get(kind, 0) / totals[step]:.0%}'
                     for step, seconds in found.items())] for kind in (*_KINDS, REST)]
    lines = [['kind of operation', *found], ['---'] * (1 + len(found)), *rows,
             ['together', *(f'{total:.2f} s' for total in totals.values())]]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog='python -m performance.profile_step', description=__doc__)
    parser.add_argument('--width', choices=list(WIDTHS), default='paper', help='of the networks')
    parser.add_argument('--batch', type=int, default=4, help='faces in a step')
    chosen = parser.parse_args()
    with get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
        found = {step: pool.apply(seconds_by_kind, (step, chosen.width, chosen.batch)) for step in STEPS}
    print(markdown(found))


if __name__ == '__main__':
    main()

"""What a network costs: parameters, multiply-accumulates, milliseconds per face."""

import statistics
import time

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cface_basicsr.measuring.results import Costs
from cface_basicsr.runtime import describe_device, eval_mode


def measure_costs(network: nn.Module, scale: int, *, size: tuple[int, int] = (128, 128),
                  device: str | torch.device = 'cpu', warm_up: int = 3, repeats: int = 10) -> Costs:
    """Costs of a super-resolution network for one face, in evaluation mode.

    Args:
        network: (1, 3, height / scale, width / scale) in [0, 1] -> (1, 3, height, width); comes back in its own mode,
            but stays on `device`.
        size: height and width of the HR face.
        device: where the time is measured.
        warm_up: forwards before the clock starts.
        repeats: forwards that are timed; the result is their median.

    Returns:
        the costs, with None for `images_a_second`, which training measures.
    """
    device = torch.device(device)
    low = torch.rand(1, 3, size[0] // scale, size[1] // scale, generator=torch.Generator().manual_seed(0)).to(device)
    with eval_mode(network.to(device)):
        macs = count_macs(network, low)
        times = [_milliseconds(network, low) for _ in range(warm_up + repeats)]
    return Costs(count_parameters(network), macs, statistics.median(times[warm_up:]), None, describe_device(device))


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters; buffers (statistics, fixed filters, mean shifts) and frozen ones do not count."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_macs(network: nn.Module, images: Tensor) -> int:
    """Multiply-accumulates of one forward: those of convolutions and matrix products, as torch counts them.

    Element-wise operations, normalization and resizing count as 0, as usual. 1 MAC = 2 FLOP.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(images)
    return counter.get_total_flops() // 2


def _milliseconds(network: nn.Module, images: Tensor) -> float:
    _wait(images.device)
    start = time.perf_counter()
    with torch.inference_mode():
        network(images)
    _wait(images.device)
    return 1000 * (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':  # its work is only queued when the call returns
        torch.cuda.synchronize(device)

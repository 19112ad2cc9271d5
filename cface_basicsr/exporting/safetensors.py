"""A network as a .safetensors file, in half precision where that does not show."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cface_basicsr.exporting.compare import HALF_LIMIT, largest_difference
from cface_basicsr.files.network_file import LED_BY
from cface_basicsr.files.safetensors_file import write_safetensors
from cface_basicsr.zoo.card import StoredAs


class Written(NamedTuple):
    """How weights were written.

    Attributes:
        weights: their precision.
        difference: the largest of a pixel in [0, 1] that it makes.
    """

    weights: StoredAs
    difference: float


def in_half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict whose floating-point numbers have half precision."""
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def half_difference(network: nn.Module, scale: int) -> float:
    """What storing the weights in half precision changes: the largest difference of a pixel in [0, 1]."""
    rounded = copy.deepcopy(network)
    rounded.load_state_dict(in_half(network.state_dict()))
    return largest_difference(network, rounded, scale)


@torch.no_grad()
def write_network(path: str | Path, network: nn.Module, scale: int, options: dict[str, Any],
                  led_by: list[str] | None = None) -> Written:
    """Write a network's weights, in half precision where no pixel changes by 0.01 or more.

    Args:
        path: .safetensors.
        network: on the CPU, in evaluation mode.
        options: {'type': NAME, …}, from which it is built again.
        led_by: SHA-256 of the recognizers that led its losses.
    """
    difference = half_difference(network, scale)
    fits = difference < HALF_LIMIT  # not with NaN
    state = network.state_dict()
    entries = {'network': options} | ({LED_BY: led_by} if led_by else {})
    write_safetensors(path, in_half(state) if fits else state, entries)
    return Written('float16', difference) if fits else Written('float32', 0.0)

"""A network as a .safetensors file, in half precision where that does not show."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cface_basicsr.exporting.compare import HALF_LIMIT, check_difference, largest_difference
from cface_basicsr.files.network_file import LED_BY, TEMPLATE
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


def half_difference(network: nn.Module, scale: int, faces: Tensor | None = None) -> float:
    """What storing the weights in half precision changes: the largest difference of a pixel in [0, 1]."""
    rounded = copy.deepcopy(network)
    rounded.load_state_dict(in_half(network.state_dict()))
    return largest_difference(network, rounded, scale, faces)


@torch.no_grad()
def write_network(path: str | Path, network: nn.Module, scale: int, entries: dict[str, Any],
                  half: bool | None = None, faces: Tensor | None = None) -> Written:
    """Write a network's weights as .safetensors.

    Args:
        network: on the CPU, in evaluation mode.
        entries: of its file: 'network', the options {'type': NAME, …} from which it is built again, LED_BY and
            TEMPLATE.
        half: whether in half precision; None: where no pixel changes by 0.01 of its range or more.
        faces: on which that is found out, see `exporting.compare.largest_difference`.

    Raises:
        UserError: half precision is asked for and changes a pixel by that much. Nothing is written then.
    """
    difference = 0.0 if half is False else half_difference(network, scale, faces)
    if half:
        check_difference(difference, path, half)
    in_full = half is False or not difference < HALF_LIMIT  # also with NaN
    state = network.state_dict()
    kept = {key: entries[key] for key in ('network', LED_BY, TEMPLATE) if entries.get(key)}
    write_safetensors(path, state if in_full else in_half(state), kept)
    return Written('float32', 0.0) if in_full else Written('float16', difference)

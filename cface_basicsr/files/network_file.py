"""Network files: one writer, one reader. Each file says which network it holds.

A file is BasicSR's own dictionary ({'params': state_dict, 'params_ema': …}) with one more entry, 'network': the
options that build the network ({'type': 'SRResNet', 'scale': 8, …}). BasicSR reads it like any of its files; it holds
only tensors and plain values, so it loads under `weights_only=True`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.atomic import replacing
from cface_basicsr.registration import find_arch


def save_atomically(content: Any, path: str | Path) -> None:
    """`torch.save` to a temporary file next to `path`, then rename: a kill leaves the old file or the new one."""
    with replacing(path) as aside:
        torch.save(content, aside)


def read_network_file(path: str | Path) -> dict[str, Any]:
    """The whole dictionary of a network file, tensors on the CPU.

    Raises:
        UserError: the file is missing, cut off, or not a network file.
    """
    path = check_file(path, 'Expected a .pth file that `cface train` or BasicSR wrote.', 'weights file')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise UserError(f"weights file '{path}' cannot be read ({type(error).__name__}): it is cut off or not a "
                        'PyTorch file. Copy, download or train it again.') from error
    if not isinstance(content, dict):
        raise UserError(f"weights file '{path}' holds a {type(content).__name__}, expected a dictionary.")
    return content


def network_options(path: str | Path) -> dict[str, Any]:
    """The options that build the network of a file, as {'type': NAME, …}.

    Raises:
        UserError: the file does not say which network it is.
    """
    content = read_network_file(path)
    if not isinstance(content.get('network'), dict):
        raise UserError(f"weights file '{path}' does not say which network it holds (no 'network' entry). "
                        'Files that the plugin saves have one; `cface convert` gives one to published recognizers, and '
                        'docs/networks.md shows how to give one to a generator.')
    return dict(content['network'])


def network_parameters(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a file: the averaged one (EMA) if there is one.

    Raises:
        UserError: it has none.
    """
    content = read_network_file(path)
    for key in ('params_ema', 'params'):
        if key in content:
            return content[key]
    raise UserError(f"weights file '{path}' has no 'params' entry; found: {', '.join(map(str, content))[:80]}.")


def build_network(options: Mapping[str, Any], parameters: Mapping[str, Tensor] | None = None) -> nn.Module:
    """The network that options {'type': NAME, …} describe, ours or BasicSR's, with these weights.

    Raises:
        UserError: the network is unknown.
    """
    arguments = dict(options)
    network = find_arch(arguments.pop('type'))(**arguments)
    if parameters is not None:
        network.load_state_dict(parameters)
    return network


def build_network_from_file(path: str | Path) -> nn.Module:
    """The network of a file with its weights, in eval mode, on the CPU."""
    return build_network(network_options(path), network_parameters(path)).eval()


def file_hash(path: str | Path, digits: int = 12) -> str:
    """The first hexadecimal digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:digits]

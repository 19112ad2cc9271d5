"""A network from whatever names it: a name of the zoo, a network file, or an ONNX file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from cface_basicsr.files.network_file import build_network_from_file, leaders_in, read_network_file, template_in
from cface_basicsr.ops.template import Template
from cface_basicsr.runtime import installed_version
from cface_basicsr.zoo.card import agreed_template
from cface_basicsr.zoo.catalogue import card_next_to, network_path
from cface_basicsr.zoo.onnx_network import OnnxNetwork


def open_network(text: str | Path) -> nn.Module:
    """The network that a text names, in evaluation mode, on the CPU.

    Args:
        text: a name that `cface models list` prints; or the path of a .pth, .safetensors or .onnx file. A file that
            does not say which network it holds is opened by spandrel, where that is installed.

    Raises:
        UserError: the name is unknown; or the file is missing or damaged, or does not say which network it holds.
    """
    path = network_path(text)
    if path.suffix == '.onnx':
        return OnnxNetwork(path)
    if installed_version('spandrel') and 'network' not in (content := read_network_file(path)):
        from cface_basicsr.zoo.spandrel_network import SpandrelNetwork
        return SpandrelNetwork(content, path).eval()
    return build_network_from_file(path)


def trained_template(network: nn.Module, path: Path | None) -> Template | None:
    """How the faces were cropped that a network was trained on, by its card or its file; None where neither says it.

    Args:
        network: as `open_network` gives it.
        path: its file; None: it came from none.

    Raises:
        UserError: the file is missing or damaged, or says something unknown; or the card next to it is damaged, says
            something else, or is another network's.
    """
    if isinstance(network, OnnxNetwork):
        return network.template
    if path is None:
        return None
    return recorded_template(read_network_file(path), path)


def recorded_leaders(network: nn.Module, path: Path | None) -> list[str]:
    """The marks of the recognizers that led a network's losses, by its file; none where that does not say it.

    Args:
        network, path: see `trained_template`.

    Raises:
        UserError: the file is missing or damaged.
    """
    if isinstance(network, OnnxNetwork):
        return network.led_by
    return [] if path is None else leaders_in(read_network_file(path), path)


def recorded_template(content: Mapping[str, Any], path: Path) -> Template | None:
    """The same by what the file holds; see `trained_template`."""
    card, own = card_next_to(path), template_in(content, path)
    return agreed_template(card, own) if card else own

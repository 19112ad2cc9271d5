"""A network from whatever names it: a name of the zoo, a network file of ours, or an ONNX file."""

from pathlib import Path

from torch import nn

from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.zoo.catalogue import network_path
from cface_basicsr.zoo.onnx_network import OnnxNetwork


def open_network(text: str | Path) -> nn.Module:
    """The network that a text names, in evaluation mode, on the CPU.

    Args:
        text: a name that `cface models list` prints; or the path of a .pth, .safetensors or .onnx file.

    Raises:
        UserError: there is no such name or file, the file is damaged, or does not say which network it holds.
    """
    path = network_path(text)
    return OnnxNetwork(path) if path.suffix == '.onnx' else build_network_from_file(path)

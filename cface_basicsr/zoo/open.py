"""A network from whatever names it: a name of the zoo, a network file, or an ONNX file."""

from pathlib import Path

from torch import nn

from cface_basicsr.files.network_file import build_network_from_file, read_network_file
from cface_basicsr.runtime import installed_version
from cface_basicsr.zoo.catalogue import network_path
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

"""One way to write a network as a file, whichever its ending says."""

import copy
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.exporting.onnx_file import export_onnx
from cface_basicsr.exporting.safetensors import write_network
from cface_basicsr.files.network_file import TEMPLATE, read_network_file
from cface_basicsr.files.safetensors_file import SAFETENSORS
from cface_basicsr.zoo.onnx_network import OnnxNetwork
from cface_basicsr.zoo.open import recorded_leaders, recorded_template, trained_template


def export_network(path: str | Path, network: nn.Module, scale: int, source: Path | None, half: bool,
                   faces: Tensor | None = None) -> float:
    """Write a network; see `enhancing.load.SuperResolver.export`.

    Args:
        path: .onnx or .safetensors.
        source: the file that the network came from, which says which one it is.
        faces: on which both are compared, see `exporting.compare.largest_difference`.

    Raises:
        UserError: as there; or the network came from no file.
    """
    path = Path(path)
    check_source(network, source)
    if path.suffix == '.onnx':
        return export_onnx(path, network, scale, half=half, template=trained_template(network, source),
                           led_by=recorded_leaders(network, source), faces=faces)
    if path.suffix != SAFETENSORS:
        raise UserError(f"'{path}': expected a name that ends in .onnx or {SAFETENSORS}.")
    own = copy.deepcopy(network).cpu().eval()
    return write_network(path, own, scale, entries_of(source), half, faces).difference


def check_source(network: nn.Module, source: Path | None) -> None:
    """Check that a network is not an ONNX graph, which is exported already.

    Raises:
        UserError: it is.
    """
    if isinstance(network, OnnxNetwork):
        raise UserError(f"'{source}' is an ONNX file already. Export the .pth or .safetensors file it comes from.")


def entries_of(source: Path | None) -> dict[str, Any]:
    """What the file of a network says besides its weights, and how the faces were cropped that it was trained on.

    Raises:
        UserError: the file is missing or damaged.
    """
    if source is None:
        raise UserError('this network came from no file, so nobody knows its options. Export it as .onnx.')
    content = read_network_file(source)
    known = {key: value for key, value in content.items() if not key.startswith('params')}
    return known | {TEMPLATE: recorded_template(content, source)}

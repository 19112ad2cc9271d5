"""A network as an ONNX file, compared with it by ONNX Runtime before the file appears."""

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError, describe_error
from cface_basicsr.exporting.compare import check_difference, comparison_faces, largest_difference
from cface_basicsr.files.atomic import replacing
from cface_basicsr.files.network_file import LED_BY, TEMPLATE
from cface_basicsr.ops.template import Template
from cface_basicsr.zoo.onnx_network import OnnxNetwork

_OPSET = 17


class _Half(nn.Module):
    """A network in half precision whose images stay float32; (B, 3, h, w) in [0, 1] to (B, 3, s h, s w)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.half()).float()


def export_onnx(path: str | Path, network: nn.Module, scale: int, *, half: bool = False,
                template: Template | None = None, led_by: Sequence[str] = (), faces: Tensor | None = None) -> float:
    """Write a network as ONNX: input 'lr' (B, 3, 128 / scale, 128 / scale), output 'sr' (B, 3, 128, 128), any B.

    Args:
        network: (B, 3, h, w) in [0, 1] -> (B, 3, s h, s w); it stays as it is.
        half: weights and arithmetic in half precision; the images stay float32.
        template: how the faces were cropped that it was trained on; it is written into the file's metadata.
        led_by: marks of the recognizers that led its losses; they are written there, too.
        faces: on which both are compared, see `exporting.compare.largest_difference`.

    Returns:
        the largest difference of a pixel in [0, 1] from the network.

    Raises:
        UserError: ONNX Runtime is missing, the network has operations that ONNX lacks, or the difference is 1e-4 or
            more (half: 1e-2). Nothing is written then.
    """
    if not find_spec('onnxruntime'):
        raise UserError(f"'{path}' would be compared with the network by ONNX Runtime, which is missing: pip install "
                        'onnxruntime')
    own = copy.deepcopy(network).cpu().eval()
    with replacing(path) as aside:
        _write(aside, _Half(copy.deepcopy(own)) if half else own, scale)
        entries = {TEMPLATE: template or '', LED_BY: json.dumps(list(led_by)) if led_by else ''}
        with open(aside, 'ab') as file:
            file.write(_metadata({key: value for key, value in entries.items() if value}))
        difference = largest_difference(own, OnnxNetwork(aside), scale, faces)
        check_difference(difference, path, half)
    return difference


def _write(path: Path, network: nn.Module, scale: int) -> None:
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')  # about the exporter itself, and about sizes that are constants here
            torch.onnx.export(network, (comparison_faces(scale)[:2],), str(path), input_names=['lr'],
                              output_names=['sr'], dynamic_axes={'lr': {0: 'batch'}, 'sr': {0: 'batch'}},
                              opset_version=_OPSET, dynamo=False)
    except Exception as error:
        raise UserError(f'{type(network).__name__} cannot be written as ONNX ({describe_error(error)}). Export it as '
                        'safetensors.') from error


def _metadata(entries: Mapping[str, str]) -> bytes:
    """What adds entries at the end of a file: of two models in a row protobuf reads one with the fields of both."""
    import onnx
    return onnx.ModelProto(metadata_props=[onnx.StringStringEntryProto(key=key, value=value)
                                           for key, value in entries.items()]).SerializeToString()

"""Any face recognizer that comes as an ONNX file, turned into a torch network by the library onnx2torch.

It can then be CNN_R: gradients flow through it to the image, and its parameters can be fine-tuned.
"""

from pathlib import Path
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from cface_basicsr.archs.input_size import refuse_wrong_size
from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import RecognizerInput


@ARCH_REGISTRY.register()
class OnnxRecognizer(nn.Module):
    """Faces to identity features, by the network of an ONNX file.

    The parameters are trainable: all that onnx2torch makes torch layers of (convolutions, Gemm, normalizations); loose
    constants, such as the matrix of a bare MatMul, stay as they are. Batch normalization always works with the
    statistics of the file, in training mode too: small batches, and batches of super-resolved faces, would spoil
    them (most exporters fold it away anyhow). So fine-tuning with small batches is safe.

    A network file (.pth) of a fine-tuned one holds all its weights, but not the graph: its 'network' entry names the
    ONNX file, which must still be there when the network is built.

    Args:
        file: path of the ONNX file: one image input (B, 3, height, width), one output (B, D), any B.
        height, width: of the faces.
        channels: 'rgb' or 'bgr', the colour order the network was trained with.
        mean, std: values v of 0 .. 255 go in as (v - mean) / std.
        template: the crop the network was trained on: 'center', 'arcface' or 'sphereface'.

    Attributes:
        eats: its `RecognizerInput`.
        feature_length: D, found by one forward pass.

    Shape: (B, 3, height, width) in the recognizer's own range (see `ops.recognizer_input.to_recognizer`) to (B, D),
        not normalized.

    Raises:
        UserError: the file is missing, unreadable, uses an operator that onnx2torch lacks, or takes other images.
    """

    def __init__(self, *, file: str, height: int = 112, width: int = 112, channels: str = 'rgb', mean: float = 127.5,
                 std: float = 128.0, template: str = 'arcface') -> None:
        super().__init__()
        for name, side in (('height', height), ('width', width)):
            if type(side) is not int or side < 1:
                raise UserError(f'OnnxRecognizer: {name}: expected a whole number from 1 up, got {side!r}.')
        self.eats = RecognizerInput(height, width, channels, mean, std, template)
        proto = _read_onnx(Path(file))
        _refuse_other_input(proto, self.eats, file)
        self.body = _convert(proto, file)
        self.train(self.training)
        self.feature_length = self._dry_forward(file)

    def train(self, mode: bool = True) -> 'OnnxRecognizer':
        """Training or evaluation mode, for all but batch normalization, which keeps the file's statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        refuse_wrong_size(x, self.eats.height, self.eats.width, 'OnnxRecognizer')
        return self.body(x)

    @torch.no_grad()
    def _dry_forward(self, file: str) -> int:
        """D. Two faces, because many files are fixed to a batch of one."""
        expected = f"'{file}': expected one output (B, D) for (B, 3, {self.eats.height}, {self.eats.width}) faces"
        try:
            features = self.body(torch.zeros(2, 3, self.eats.height, self.eats.width))
        except Exception as error:
            raise UserError(f'{expected}; a batch of two fails ({_in_short(error)}).\n'
                            'Export the network with a free batch axis, and give its height and width.') from error
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UserError(f'{expected}; a batch of two gives {shape}.')
        return features.shape[1]


def _read_onnx(path: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise UserError('OnnxRecognizer needs two more libraries: pip install onnx onnx2torch') from error
    if not path.is_file():
        raise UserError(f"ONNX file '{path}' is missing. Give `file` the path of a face recognizer's .onnx file.")
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf, checker and file errors share no base class
        raise UserError(f"'{path}' cannot be read as an ONNX network ({type(error).__name__}): it is cut off or no "
                        'ONNX file. Copy it again.') from error
    return proto


def _refuse_other_input(proto: Any, eats: RecognizerInput, file: str) -> None:
    weights = {weight.name for weight in proto.graph.initializer}  # old files list them among the inputs
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise UserError(f"'{file}' has {len(inputs)} inputs; a recognizer has one, the faces.")
    sides = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]  # 0 stands for any
    wanted = [0, 3, eats.height, eats.width]
    if len(sides) != 4 or any(side and side != want for side, want in zip(sides[1:], wanted[1:], strict=True)):
        raise UserError(f"'{file}' takes images of shape {sides} (batch, channels, height, width; 0 = any), "
                        f'the options say {eats.height}x{eats.width}. Set height and width to the file\'s.')


def _convert(proto: Any, file: str) -> nn.Module:
    try:
        from onnx2torch import convert
    except ImportError as error:
        raise UserError('OnnxRecognizer needs one more library: pip install onnx2torch') from error
    try:
        return convert(proto)
    except Exception as error:
        raise UserError(f"'{file}' cannot be turned into a torch network ({_in_short(error)}).") from error


def _in_short(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:160]}'

"""Any face recognizer in an ONNX file, turned into a torch network by the library onnx2torch.

It can then be CNN_R: gradients flow through it to the image, and its parameters can be fine-tuned. onnx2torch knows
single versions of each operator; files of an older or a newer opset are converted in memory, by ONNX's own converter.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.batchnorm import KeepsStatistics
from cface_basicsr.archs.layers import check_size
from cface_basicsr.errors import UserError, check_file, describe_error, nearest
from cface_basicsr.files.recognizer_file import external_weights, read_input_spec
from cface_basicsr.ops.recognizer_input import Channels, Mean, RecognizerInput, Template

DEFAULTS = {'channels': 'rgb', 'mean': 127.5, 'std': 128.0, 'template': 'arcface', 'output': None}
"""What is assumed if neither the options nor the settings file say anything."""
_OPSETS = (17, 13)
"""Versions of ONNX's operators of which onnx2torch knows most; the first has more ways to it, from older and newer."""
_LARGEST_SIDE = 1024
_FREE_SIDE = 112
"""Height and width if the file leaves them free and nothing sets them."""


@registration.arch
class OnnxRecognizer(KeepsStatistics):
    """Faces to identity features, by the network of an ONNX file.

    Trainable are the parameters of all that onnx2torch turns into torch layers (convolutions, Gemm, normalizations);
    loose constants, such as the matrix of a bare MatMul, stay as they are. Batch normalization always uses the
    statistics of the file, in training mode too (most exporters fold it away anyhow), so fine-tuning with small
    batches is safe.

    What an ONNX file does not say about itself and differs from the defaults is given by the arguments, or once for
    all commands in a settings file next to it (`FILE.input.yml`, see `files.recognizer_file`); arguments take
    precedence.

    A network file (.pth) of a fine-tuned recognizer holds all its weights, but not the graph: its 'network' entry names
    the ONNX file, which must still be there when the network is built, with its settings file.

    Args:
        file: path of the ONNX file: one float32 image input (B, 3, height, width), and an output (B, D) or
            (B, D, 1, 1). Any B; a file that works only with one face at a time is run face by face.
        height, width: of the faces, in pixels. None: those of the file, or 112 if it leaves them free.
        channels: 'rgb' or 'bgr', the colour order that the network was trained with. None: 'rgb'.
        mean, std: a value v in 0 .. 255 goes in as (v - mean) / std; the mean may be a list of three, one for each
            channel. None: 127.5 and 128.
        template: the crop that the network was trained on: 'center', 'arcface', 'sphereface' or 'dlib'. None:
            'arcface'.
        output: name of the output that is the feature, if the file has several.

    Attributes:
        input_spec: its `RecognizerInput`.
        feature_length: D, found by a forward pass.
        face_by_face: whether the file works only with one face at a time.

    Shape: (B, 3, height, width) in the recognizer's own range (see `ops.recognizer_input.to_recognizer`) to (B, D),
        not normalized.

    Raises:
        UserError: the file is missing or unreadable, uses an operator that onnx2torch lacks, takes other images, or
            has several outputs and none is named.
    """

    def __init__(self, *, file: str, height: int | None = None, width: int | None = None,
                 channels: Channels | None = None, mean: Mean | None = None, std: float | None = None,
                 template: Template | None = None, output: str | None = None) -> None:
        super().__init__()
        given = {'height': height, 'width': width, 'channels': channels, 'mean': mean, 'std': std,
                 'template': template, 'output': output}
        settings = DEFAULTS | read_input_spec(file, given) | {name: value for name, value in given.items()
                                                        if value is not None}
        for name in ('height', 'width', 'mean', 'std'):
            _check_number(file, name, settings.get(name))
        proto = _read_onnx(Path(file))
        sides = _sides(proto, settings.pop('height', None), settings.pop('width', None), file)
        _keep_one_output(proto, settings.pop('output'), file)
        try:
            self.input_spec = RecognizerInput(*sides, **settings)
        except UserError as error:
            raise UserError(f"'{file}': {error}") from error
        self.body = _convert(proto, file)
        self.feature_length, self.face_by_face = self._measure(file)
        self.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.input_spec.height, self.input_spec.width, 'OnnxRecognizer')
        if self.face_by_face:
            return torch.cat([self._features(face) for face in x.split(1)])
        return self._features(x)

    def _features(self, x: Tensor) -> Tensor:
        """(B, D), from that or from (B, D, 1, 1)."""
        features = self.body(x)
        of_one_pixel = isinstance(features, Tensor) and features.ndim > 2 and set(features.shape[2:]) == {1}
        return features.flatten(1) if of_one_pixel else features

    @torch.no_grad()
    def _measure(self, file: str) -> tuple[int, bool]:
        """D, and whether the file works only with one face at a time: two together give other features, or none."""
        self.body.eval()
        height, width = self.input_spec.height, self.input_spec.width
        faces = 2 * torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) - 1
        expected = f"'{file}': expected an output (B, D) for (B, 3, {height}, {width}) faces"
        try:
            singly = [self._features(face) for face in faces.split(1)]
        except Exception as error:
            raise UserError(f'{expected}; one face fails ({describe_error(error)}).\n'
                            'Give its height and width, or export it with a free batch axis.') from error
        if not all(isinstance(each, Tensor) and each.ndim == 2 and len(each) == 1 for each in singly):
            shape = tuple(singly[0].shape) if isinstance(singly[0], Tensor) else type(singly[0]).__name__
            raise UserError(f'{expected}; one face gives {shape}.')
        if not torch.cat(singly).isfinite().all():
            raise UserError(f'{expected}; it gives NaN or infinity. Its weights are damaged: copy it again.')
        return singly[0].shape[1], not self._same_together(faces, torch.cat(singly))

    def _same_together(self, faces: Tensor, singly: Tensor) -> bool:
        try:
            features = self._features(faces)
        except Exception:  # whatever a fixed reshape runs into; one face was fine
            return False
        tolerance = 1e-3 * singly.std().item()
        return features.shape == singly.shape and torch.allclose(features, singly, rtol=1e-3, atol=tolerance)


def _check_number(file: str, name: str, value: Any) -> None:
    if name in ('height', 'width') and value is not None and (type(value) is not int or value < 1):
        raise UserError(f"'{file}': {name}: expected a whole number from 1 up, got {value!r}.")
    numbers = value if name == 'mean' and isinstance(value, (list, tuple)) else [value]
    if name in ('mean', 'std') and not all(type(each) in (int, float) for each in numbers):
        raise UserError(f"'{file}': {name}: expected a number, got {value!r}.")


def _read_onnx(path: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise UserError('OnnxRecognizer needs two more libraries: pip install onnx onnx2torch') from error
    check_file(path, "Give `file` the path of a face recognizer's .onnx file.", 'ONNX file')
    try:
        for weights in external_weights(path):
            if not weights.is_file():
                raise UserError(f"'{path}' keeps its weights in '{weights.name}', which is missing. Copy it into the "
                                'same folder.')
        proto = onnx.load(str(path))
        if proto.ir_version > onnx.IR_VERSION or opset_of(proto) > onnx.defs.onnx_opset_version():
            raise UserError(f"'{path}' has opset {opset_of(proto)} and IR version {proto.ir_version}; onnx "
                            f'{onnx.__version__} knows them up to {onnx.defs.onnx_opset_version()} and '
                            f'{onnx.IR_VERSION}.\npip install --upgrade onnx, or export it with opset {_OPSETS[0]}.')
        onnx.checker.check_model(proto)
    except UserError:
        raise
    except Exception as error:  # protobuf, checker and file errors share no base class
        raise UserError(f"'{path}' cannot be read as an ONNX network ({type(error).__name__}): it is cut off or not "
                        'an ONNX file. Copy it again.') from error
    return proto


def _sides(proto: Any, height: int | None, width: int | None, file: str) -> tuple[int, int]:
    """(height, width) from the options and the file, which must agree."""
    weights = {weight.name for weight in proto.graph.initializer}  # old files list them among the inputs
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise UserError(f"'{file}' has {len(inputs)} inputs; a recognizer has one, the faces.")
    kind = inputs[0].type.tensor_type
    sides = [dim.dim_value for dim in kind.shape.dim]  # 0 means any
    _check_images(kind.elem_type, sides, file)
    for name, side, wanted in (('height', sides[2], height), ('width', sides[3], width)):
        if side and wanted and side != wanted:
            raise UserError(f"'{file}' takes images of shape {sides} (batch, channels, height, width; 0 = any), "
                            f"the options say {name} {wanted}. Leave it out, or set it to the file's.")
    found = height or sides[2] or _FREE_SIDE, width or sides[3] or _FREE_SIDE
    if not 1 <= min(found) <= max(found) <= _LARGEST_SIDE:
        raise UserError(f"'{file}' takes faces of {found[1]}x{found[0]} pixels; expected sides from 1 to "
                        f'{_LARGEST_SIDE}.')
    return found


def _check_images(kind: int, sides: list[int], file: str) -> None:
    from onnx import TensorProto
    came = f"'{file}' takes {TensorProto.DataType.Name(kind).lower()} images of shape {sides} (0 = any)"
    if len(sides) == 4 and sides[1] != 3 and sides[3] == 3:
        raise UserError(f'{came}: channels last. Expected (batch, 3, height, width).\nExport it again with the '
                        'channels first (tf2onnx: --inputs-as-nchw).')
    if len(sides) != 4 or sides[1] not in (0, 3) or kind != TensorProto.FLOAT:
        raise UserError(f'{came}. Expected float images (batch, 3, height, width).')


def _keep_one_output(proto: Any, wanted: str | None, file: str) -> None:
    """Remove all outputs of the graph but the feature."""
    outputs = {value.name: value for value in proto.graph.output}
    if wanted is None and len(outputs) > 1:
        raise UserError(f"'{file}' has {len(outputs)} outputs: {', '.join(outputs)}. Say which is the feature, by "
                        '`output: NAME` in the options or in the settings file next to it (FILE.input.yml).')
    if wanted is not None and wanted not in outputs:
        raise UserError(f"'{file}' has no output '{wanted}'; {nearest(str(wanted), outputs)}")
    if wanted is not None:
        del proto.graph.output[:]
        proto.graph.output.append(outputs[wanted])


def _convert(proto: Any, file: str) -> nn.Module:
    try:
        from onnx2torch import convert
    except ImportError as error:
        raise UserError('OnnxRecognizer needs one more library: pip install onnx2torch') from error
    from onnx import version_converter
    body, failed = None, None
    for target in (None, *_OPSETS):  # the file as it is, where that is possible
        try:
            body = convert(version_converter.convert_version(_one_batch_norm(proto), target) if target else proto)
            break
        except Exception as error:
            failed = failed or error
    if body is None:
        raise UserError(f"'{file}' cannot be turned into a torch network ({describe_error(failed)}),\neither as it is, "
                        f'with opset {opset_of(proto)}, or with {" or ".join(map(str, _OPSETS))}.\n'
                        f'Export it again with opset_version={_OPSETS[0]}, or with other operators.') from failed
    body.graph.eliminate_dead_code()  # what only the other outputs need
    body.delete_all_unused_submodules()
    body.recompile()
    return body


def opset_of(proto: Any) -> int:
    """The version of ONNX's own operators that a network uses; 0 if it does not say."""
    return max((each.version for each in proto.opset_import if each.domain in ('', 'ai.onnx')), default=0)


def _one_batch_norm(proto: Any) -> Any:
    """A copy without spatial=0, which old exporters of MXNet wrote though there is one weight for each channel.

    With spatial=0 each position of a map has weights of its own; a vector of weights belongs to channels, either way.
    """
    copied = type(proto).FromString(proto.SerializeToString())
    vectors = {weight.name for weight in copied.graph.initializer if len(weight.dims) == 1}
    for node in copied.graph.node:
        for attribute in node.attribute:
            if node.op_type == 'BatchNormalization' and attribute.name == 'spatial' and node.input[1] in vectors:
                attribute.i = 1
    return copied

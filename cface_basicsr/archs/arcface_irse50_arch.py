"""ArcFace's IR-SE-50 (Deng et al., CVPR 2019), the recognizer of facexlib: recognition_arcface_ir_se50.pth.

The network is facexlib's own class. Its input is that of the code that trained its weights (TreB1eN's
InsightFace_Pytorch: data/data_pipe.py writes what OpenCV decodes as if it were RGB, so the network learned blue first).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from cface_basicsr import registration
from cface_basicsr.archs.batchnorm import KeepsStatistics
from cface_basicsr.archs.layers import check_size
from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import Channels, RecognizerInput, Template

_SIDE = 112


@registration.arch
class ArcFaceIRSE50(KeepsStatistics):
    """Faces to identity features, by facexlib's `Backbone(50, mode='ir_se')`.

    facexlib scales the feature to unit length at the end; here it keeps its length, as with every recognizer, so that
    equation (3) can fine-tune it. Batch normalization always uses the statistics of the file.

    Args:
        channels: colour order of the input; the released weights need 'bgr'.
        template: the crop that the network was trained on.
        drop_ratio: dropout before the feature, in training mode.

    Attributes:
        input_spec: its `RecognizerInput`: 112x112, a value v in 0 .. 255 goes in as (v - 127.5) / 127.5.
        feature_length: 512.

    Shape: (B, 3, 112, 112) in the recognizer's own range (see `ops.recognizer_input.to_recognizer`) to (B, 512), not
        normalized.

    Raises:
        UserError: unknown channels, an unknown template, or faces of another size.
    """

    def __init__(self, *, channels: Channels = 'bgr', template: Template = 'arcface', drop_ratio: float = 0.6) -> None:
        super().__init__()
        from facexlib.recognition.arcface_arch import Backbone
        self.input_spec = RecognizerInput(_SIDE, _SIDE, channels, 127.5, 127.5, template)
        self.feature_length = 512
        self.backbone = Backbone(num_layers=50, drop_ratio=drop_ratio, mode='ir_se')
        self.train(self.training)


    def forward(self, x: Tensor) -> Tensor:
        check_size(x, _SIDE, _SIDE, 'ArcFaceIRSE50')
        layers = self.backbone
        return layers.output_layer(layers.body(layers.input_layer(x)))


def is_facexlib_arcface(names: Iterable[str]) -> bool:
    """Whether the names of a state dict are those of facexlib's IR-SE-50."""
    return {'input_layer.0.weight', 'body.23.res_layer.5.fc2.weight', 'output_layer.4.running_var'} <= set(names)


def from_facexlib(state: Mapping[str, Tensor], where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The options and the state dict of an `ArcFaceIRSE50` with the weights of facexlib's file.

    Args:
        state: of facexlib's `Backbone`.
        where: what a message calls the file.

    Raises:
        UserError: a layer is missing, has another shape, or does not belong to the network.
    """
    with torch.device('meta'):
        wanted = ArcFaceIRSE50().state_dict()
    # Files from before torch 0.4.1 do not count batches; the counts do not affect the result.
    renamed = {name: torch.zeros((), dtype=torch.long) for name in wanted if name.endswith('num_batches_tracked')}
    renamed |= {f'backbone.{name}': value for name, value in state.items()}
    wrong = sorted(name for name in wanted.keys() | renamed.keys()
                   if name not in wanted or name not in renamed or wanted[name].shape != renamed[name].shape)
    if wrong:
        raise UserError(f"{where} is not an IR-SE-50 like facexlib's: {len(wrong)} entries are missing, unknown or of "
                        f"another shape, for example '{wrong[0].removeprefix('backbone.')}'.")
    return {'type': 'ArcFaceIRSE50', 'channels': 'bgr', 'template': 'arcface'}, renamed

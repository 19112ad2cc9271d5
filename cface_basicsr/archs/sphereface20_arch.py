"""SphereFace-20 (Liu et al., CVPR 2017), the recognizer CNN_R of C-Face: a face to its identity feature.

Four stages, each a strided convolution and residual units x + PReLU(conv(PReLU(conv(x)))) (the activation comes
before the addition), PReLU with one slope per channel, no normalization; then one dense layer, `fc5`, whose output is
the feature. The classifier is `ASoftmaxHead`. Biases everywhere, as in the PyTorch port (clcarwin); the Caffe original
(wy1iu) keeps those of the units at zero, where ours start.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.archs.layers import LeanPReLU, check_size, height_and_width
from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import Channels, RecognizerInput, Template


class ResidualUnit(nn.Module):
    """x + PReLU(conv(PReLU(conv(x)))), all 3x3; (B, width, h, w) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), LeanPReLU(width),
                                  nn.Conv2d(width, width, 3, padding=1), LeanPReLU(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@registration.arch
class SphereFace20(nn.Module):
    """Faces to identity features.

    Args:
        input_size: (height, width) of the faces. (112, 96) is the original, for aligned faces; (128, 128) takes all of
            C-Face's centre crops.
        num_feat: width of the first stage; it doubles three times.
        feature_length: D.
        blocks: residual units of each of the four stages.
        channels: colour order of the input. 'rgb' for the networks trained here; the released weights of wy1iu and
            clcarwin need 'bgr'.
        template: the crop that the network is trained on: 'center', 'arcface' or 'sphereface'.

    Attributes:
        input_spec: its `RecognizerInput`; a value v in 0 .. 255 goes in as (v - 127.5) / 128.
        feature_length: D.
        same_in_training: nothing in it is random, counts or looks at the batch, so features may be used for both.

    Shape: (B, 3, height, width) in the recognizer's own range (see `ops.recognizer_input.to_recognizer`) to
        (B, feature_length), not normalized.

    Raises:
        UserError: a bad input_size or number of blocks, or faces of another size.
    """

    same_in_training = True

    def __init__(self, *, input_size: Sequence[int] = (112, 96), num_feat: int = 64, feature_length: int = 512,
                 blocks: Sequence[int] = (1, 2, 4, 1), channels: Channels = 'rgb',
                 template: Template = 'center') -> None:
        super().__init__()
        height, width = height_and_width(input_size, 'SphereFace20')
        if len(blocks) != 4:
            raise UserError(f'SphereFace20: blocks: expected four numbers, one per stage, got {list(blocks)}.')
        self.input_spec = RecognizerInput(height, width, channels, 127.5, 128.0, template)
        self.feature_length = feature_length
        widths = [3, *(num_feat * 2 ** stage for stage in range(4))]
        self.stages = nn.Sequential(*(self._stage(before, after, count) for before, after, count
                                      in zip(widths, widths[1:], blocks, strict=False)))
        cells = math.ceil(height / 16) * math.ceil(width / 16)  # four halvings, rounded up
        self.fc5 = nn.Linear(widths[-1] * cells, feature_length)
        self._initialize()

    @staticmethod
    def _stage(before: int, after: int, count: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), LeanPReLU(after),
                             *(ResidualUnit(after) for _ in range(count)))

    def _initialize(self) -> None:
        """As in the Caffe original: Xavier by fan-in, Gaussian 0.01 inside the units, biases at zero."""
        inside = {conv for unit in self.modules() if isinstance(unit, ResidualUnit) for conv in unit.body}
        for module in self.modules():
            if not isinstance(module, (nn.Conv2d, nn.Linear)):
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if module in inside:
                nn.init.normal_(module.weight, std=0.01)
            else:
                caffe_xavier_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, self.input_spec.height, self.input_spec.width, 'SphereFace20')
        return self.fc5(self.stages(x).flatten(1))  # rows before columns, channels first, as Caffe flattens


def caffe_xavier_(weight: Tensor) -> Tensor:
    """Fill a (out, in, …) weight in place from U(-b, b), b = sqrt(3 / fan_in): Caffe's `xavier`, not torch's."""
    bound = math.sqrt(3 / weight[0].numel())
    return nn.init.uniform_(weight, -bound, bound)

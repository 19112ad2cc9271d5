"""dlib's face recognizer, `dlib_face_recognition_resnet_model_v1`: a residual network of 29 convolutions.

Davis King trained it and puts its weights under CC0. What is left of its batch normalization is a factor and a shift
of each channel, behind each convolution.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr import registration
from cface_basicsr.archs.layers import check_size
from cface_basicsr.files.network_file import load_weights
from cface_basicsr.files.recognizer_file import named_recognizer
from cface_basicsr.ops.recognizer_input import RecognizerInput

_SIDE = 150
_STAGES = ((32, 3), (64, 3), (128, 2), (256, 2))
"""Width and the number of plain blocks of each stage; each but the first begins with a block that halves."""


class ChannelAffine(nn.Module):
    """A factor and a shift for each channel; (B, width, h, w) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias.view(-1, 1, 1), x, self.weight.view(-1, 1, 1))


class DlibBlock(nn.Module):
    """ReLU(shortcut + affine(conv(ReLU(affine(conv(x)))))), 3x3; (B, before, h, w) to (B, after, …).

    Where it halves, the first convolution has stride 2 and no padding, and the shortcut is the mean of 2x2 pixels. A
    side that is smaller than the other, or has fewer channels, is filled up with zeros behind its own.
    """

    def __init__(self, before: int, after: int, halve: bool = False) -> None:
        super().__init__()
        self.halve = halve
        stride, padding = (2, 0) if halve else (1, 1)
        self.body = nn.Sequential(nn.Conv2d(before, after, 3, stride, padding), ChannelAffine(after), nn.ReLU(),
                                  nn.Conv2d(after, after, 3, padding=1), ChannelAffine(after))

    def forward(self, x: Tensor) -> Tensor:
        main, shortcut = self.body(x), functional.avg_pool2d(x, 2) if self.halve else x
        shape = [max(sides) for sides in zip(main.shape, shortcut.shape, strict=True)]
        return functional.relu(_filled_up(main, shape) + _filled_up(shortcut, shape))


def _filled_up(x: Tensor, shape: list[int]) -> Tensor:
    """x with zeros behind its own channels, rows and columns."""
    channels, rows, columns = (wanted - own for wanted, own in zip(shape[1:], x.shape[1:], strict=True))
    return functional.pad(x, (0, columns, 0, rows, 0, channels)) if channels or rows or columns else x


@registration.arch
class DlibResNet(nn.Module):
    """Faces to identity features, by dlib's network.

    Args:
        file: weights to begin with: `dlib`, the ones that come with the plugin, or a network file; None: random ones.

    Attributes:
        input_spec: its `RecognizerInput`: dlib's chip of 150x150, cut out of an aligned face.
        feature_length: 128.

    Shape: (B, 3, 150, 150) in the recognizer's own range (see `ops.recognizer_input.to_recognizer`) to (B, 128), not
        normalized. dlib compares features by their Euclidean distance, 0.6 apart; cosines tell faces apart as well.

    Raises:
        UserError: faces of another size; the file is missing or belongs to another network.
    """

    def __init__(self, *, file: str | None = None) -> None:
        super().__init__()
        self.input_spec = RecognizerInput(_SIDE, _SIDE, 'rgb', (122.782, 117.001, 104.298), 256.0, 'dlib')
        self.feature_length = 128
        self.body = nn.Sequential(nn.Conv2d(3, 32, 7, stride=2), ChannelAffine(32), nn.ReLU(), nn.MaxPool2d(3, 2),
                                  *self._blocks())
        self.fc = nn.Linear(256, self.feature_length, bias=False)
        if file is not None:
            load_weights(self, named_recognizer(file))

    @staticmethod
    def _blocks() -> Iterator[DlibBlock]:
        before = _STAGES[0][0]
        for width, count in _STAGES:
            if width != before:
                yield DlibBlock(before, width, halve=True)
            yield from (DlibBlock(width, width) for _ in range(count))
            before = width
        yield DlibBlock(before, before, halve=True)

    def forward(self, x: Tensor) -> Tensor:
        check_size(x, _SIDE, _SIDE, 'DlibResNet')
        return self.fc(self.body(x).mean((2, 3)))

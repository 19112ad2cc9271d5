"""The content loss: squared distance of VGG19 features, L_P, equation (2) of C-Face.

The paper's phi_{3,5}, "the feature map after the activation of the 5th convolution and before the 3rd max pooling",
is relu3_1 when convolutions are counted from the input, the one reading that is literally true (block 3 has four);
`layer` takes any other. The equation sums over positions and does not mention the channels: `reduction: spatial` sums
over them (the literal 1 / WH), `mean` averages over all elements, which is 256 times weaker at relu3_1.

The weights are those of torchvision's VGG19 (ImageNet), never random ones.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.errors import UserError, check_file, describe_error, nearest
from cface_basicsr.files.network_file import as_state_dict, read_network_file

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # (channels, convolutions) between poolings
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]

VGG19_SHA256 = 'dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44'
"""Of torchvision's vgg19-dcbb9e9d.pth."""


def layer_names() -> list[str]:
    """The names of the layers in torchvision's VGG19 `features`, in order: conv1_1, relu1_1, conv1_2, …, pool5."""
    names = []
    for block, (_, convolutions) in enumerate(_BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            names += [f'conv{block}_{number}', f'relu{block}_{number}']
        names.append(f'pool{block}')
    return names


def content_distance(sr: Tensor, hr: Tensor, reduction: str = 'mean') -> Tensor:
    """Squared distance of (B, C, H, W) feature maps, mean over the batch; a scalar.

    Args:
        sr, hr: feature maps; `hr` gets no gradient.
        reduction: 'mean' over channels and positions, or 'spatial': sum over channels, mean over positions.
    """
    squared = (sr - hr.detach()).square()
    return squared.mean() if reduction == 'mean' else squared.sum(1).mean()  # eq (2)


@registration.loss
class VGGContentLoss(nn.Module):
    """L_P between images, by a frozen VGG19 cut off after one layer.

    Args:
        layer: 'reluI_J' or 'convI_J' (before the activation), I = 1 .. 5; the paper's phi_{3,5} is relu3_1.
        weights: a file with the state dict of torchvision's VGG19, complete or `features` only. None: torch hub's
            cached file; if there is none, it is downloaded (548 MB) and its hash checked.
        reduction: 'mean' over all elements, or 'spatial': summed over channels, as equation (2) has it literally,
            which is 256 times stronger at relu3_1.
        loss_weight: factor, beta in equation (7).

    Shape: two (B, 3, H, W) RGB images, nominally in [0, 1], super-resolved and original, to a scalar. Only the first
        gets a gradient.

    Raises:
        UserError: unknown layer or reduction; the weights are missing, unreadable or of another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, layer: str = 'relu3_1', weights: str | None = None,
                 reduction: Literal['mean', 'spatial'] = 'mean', loss_weight: float = 1.0) -> None:
        super().__init__()
        choices = [name for name in layer_names() if not name.startswith('pool')]
        if layer not in choices:
            raise UserError(f"VGGContentLoss: layer: expected reluI_J or convI_J of VGG19, got '{layer}'; "
                            f'{nearest(str(layer), choices)}')
        if reduction not in ('mean', 'spatial'):
            raise UserError(f"VGGContentLoss: reduction: expected mean or spatial, got '{reduction}'.")
        self.loss_weight, self.reduction = loss_weight, reduction
        self.vgg = build_features(layer)
        self.vgg.load_state_dict(_matching(read_weights(weights), self.vgg, weights))
        self.vgg.eval().requires_grad_(False)
        self.register_buffer('mean', torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """phi(I): the feature map (B, C, h, w) of (B, 3, H, W) RGB images in [0, 1]."""
        return self.vgg((images - self.mean) / self.std)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        with torch.no_grad():
            reference = self.features(hr)
        return self.loss_weight * content_distance(self.features(sr), reference, self.reduction)


def build_features(layer: str) -> nn.Sequential:
    """VGG19's `features` up to and including a layer: (B, 3, H, W) to that layer's (B, C, h, w).

    The weights are uninitialized; the state dict has torchvision's keys without 'features.'.
    """
    layers: list[nn.Module] = []
    channels = 3
    for name in layer_names()[:layer_names().index(layer) + 1]:
        width = _BLOCKS[int(name[4]) - 1][0]
        if name.startswith('conv'):
            layers.append(nn.utils.skip_init(nn.Conv2d, channels, width, 3, padding=1))
            channels = width
        else:
            layers.append(nn.ReLU(inplace=True) if name.startswith('relu') else nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def read_weights(path: str | None) -> dict[str, Tensor]:
    """The state dict of VGG19, weights (out, in, 3, 3), from a file or (None) from torch hub's cache or download.

    Raises:
        UserError: it is missing, unreadable or cannot be downloaded.
    """
    if path is None:
        return _cached_or_downloaded()
    check_file(path, "Expected a file with torchvision's vgg19 state dict, complete or features only; leave `weights` "
                     'empty to use the one that torch hub keeps.', 'VGG19 weights file')
    return as_state_dict(read_network_file(path), f"VGG19 weights '{path}'")


def _cached_or_downloaded() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights
    name = VGG19_Weights.IMAGENET1K_V1.url.rpartition('/')[2]
    file = Path(torch.hub.get_dir(), 'checkpoints', name)
    try:
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(VGG19_Weights.IMAGENET1K_V1.url, str(file), VGG19_SHA256, progress=False)
        return as_state_dict(read_network_file(file), f"VGG19 weights '{file}'")
    except Exception as error:  # no network, a wrong hash, a full disk, a damaged file in the cache
        raise UserError(f'VGG19 weights cannot be taken from torch hub ({describe_error(error)}).\n'
                        f"Put torchvision's {name} at {file},\n"
                        'or name a file in the option `weights` of VGGContentLoss.') from error


def _matching(state: dict[str, Tensor], vgg: nn.Module, path: str | None) -> dict[str, Tensor]:
    """The entries that `vgg` needs, out of the state dict of all of VGG19 or of its features only."""
    state = {key.removeprefix('features.'): value for key, value in state.items()}
    wanted = {key: value.shape for key, value in vgg.state_dict().items()}
    for key, shape in wanted.items():
        if key not in state or state[key].shape != shape:
            found = tuple(state[key].shape) if key in state else 'nothing'
            raise UserError(f"VGG19 weights '{path or 'of torch hub'}': expected {tuple(shape)} at 'features.{key}', "
                            f'found {found}. The file holds another network, or too few layers.')
    return {key: state[key] for key in wanted}

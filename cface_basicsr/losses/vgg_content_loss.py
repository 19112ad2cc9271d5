"""The content loss: squared distance of VGG19 features, L_P, equation (2) of C-Face.

The paper's phi_{3,5}, "the feature map after the activation of the 5th convolution and before the 3rd max pooling",
is relu3_1 when convolutions are counted from the input, the one reading that is literally true (block 3 has four);
`layer` takes any other. The equation sums over places, and leaves the channels unsaid: `reduction: spatial` sums them
(its literal 1 / WH), `mean` averages over all elements, 256 times weaker at relu3_1.

Weights are those of torchvision's VGG19 (ImageNet); there is no content loss with random ones.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from cface_basicsr import registration
from cface_basicsr.errors import UserError, nearest

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # (channels, convolutions) between poolings
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]


def layer_names() -> list[str]:
    """torchvision's VGG19 `features`, layer by layer: conv1_1, relu1_1, conv1_2, …, pool5; index = position."""
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
        reduction: 'mean' over channels and places, or 'spatial': summed over channels, mean over places.
    """
    squared = (sr - hr.detach()).square()
    return squared.mean() if reduction == 'mean' else squared.sum(1).mean()  # eq (2)


@registration.loss
class VGGContentLoss(nn.Module):
    """L_P between images, by a frozen VGG19 cut off behind one layer.

    Args:
        layer: 'reluI_J' or 'convI_J' (before the activation), I = 1 .. 5.
        weights: a file of torchvision's VGG19 state dict, whole or of its `features` alone. None: torch hub's cached
            file; where there is none it is downloaded (548 MB) and its hash checked.
        reduction: 'mean' or 'spatial', see `content_distance`.
        loss_weight: factor.

    Shape: two (B, 3, H, W) RGB images, nominally in [0, 1], super-resolved and original, to a scalar. Only the first
        gets a gradient.

    Raises:
        UserError: no such layer or reduction; the weights are missing, unreadable or of another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, layer: str = 'relu3_1', weights: str | None = None, reduction: str = 'mean',
                 loss_weight: float = 1.0) -> None:
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
    """VGG19's `features` up to and with a layer, unfilled; its state dict has torchvision's keys less 'features.'."""
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
    """The state dict of VGG19, from a file or (None) from torch hub's cache or download.

    Raises:
        UserError: it cannot be had.
    """
    if path is None:
        return _cached_or_downloaded()
    if not Path(path).is_file():
        raise UserError(f"VGG19 weights '{path}' are missing. Expected a file of torchvision's vgg19 state dict, whole "
                        'or features only; leave `weights` empty to take the one that torch hub keeps.')
    return _load(Path(path))


def _cached_or_downloaded() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights
    url = VGG19_Weights.IMAGENET1K_V1.url
    cached = Path(torch.hub.get_dir()) / 'checkpoints' / url.rsplit('/', 1)[1]
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(cached), hash_prefix=_hash_in(cached.name))
        except Exception as error:  # no network, a wrong hash, a full disk
            raise UserError(f'VGG19 weights cannot be downloaded ({type(error).__name__}: {str(error)[:80]}).\n'
                            f"Put torchvision's {cached.name} at {cached},\n"
                            'or name a file in the option `weights` of VGGContentLoss.') from error
    return _load(cached)


def _hash_in(name: str) -> str:
    """torchvision names a file by the first digits of its SHA-256: vgg19-<digits>.pth."""
    return Path(name).stem.rsplit('-', 1)[1]


def _load(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch.load raises many kinds
        raise UserError(f"VGG19 weights '{path}' cannot be read ({type(error).__name__}): the file is cut off or no "
                        'PyTorch file. Copy it again, or delete it to download it.') from error
    if not isinstance(content, dict):
        raise UserError(f"VGG19 weights '{path}': expected a state dict, got a {type(content).__name__}.")
    return content


def _matching(state: dict[str, Tensor], vgg: nn.Module, path: str | None) -> dict[str, Tensor]:
    """The entries that `vgg` needs, out of a whole state dict or one of the features alone."""
    state = {key.removeprefix('features.'): value for key, value in state.items()}
    wanted = {key: value.shape for key, value in vgg.state_dict().items()}
    for key, shape in wanted.items():
        if key not in state or state[key].shape != shape:
            found = tuple(state[key].shape) if key in state else 'nothing'
            raise UserError(f"VGG19 weights '{path or 'of torch hub'}': expected {tuple(shape)} at 'features.{key}', "
                            f'found {found}. The file holds another network, or too few of its layers.')
    return {key: state[key] for key in wanted}

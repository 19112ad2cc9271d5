"""LPIPS and DISTS: how different two pictures look, by torchmetrics, on networks whose weights the user has.

Zhang et al. 2018 (by AlexNet) and Ding et al. 2020 (by VGG16). torchmetrics brings what these two have learned; the
weights of the networks that torchvision published are read from a folder, and nothing is fetched.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError, check_file, check_known
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import as_state_dict, read_network_file
from cface_basicsr.runtime import installed_version

PerceptualKind = Literal['lpips', 'dists']
KINDS: tuple[PerceptualKind, ...] = get_args(PerceptualKind)
_BACKBONES = {'lpips': ('AlexNet', 'https://download.pytorch.org/models/alexnet-owt-7be5be79.pth'),
              'dists': ('VGG16', 'https://download.pytorch.org/models/vgg16-397923af.pth')}


class PerceptualDistance(nn.Module):
    """LPIPS or DISTS of pairs of pictures, from 0 (equal) up; smaller is more alike.

    Args:
        kind: 'lpips' or 'dists'.
        folder: it holds torchvision's file of the network: alexnet-owt-7be5be79.pth or vgg16-397923af.pth.

    Attributes:
        sha256: of that file.
        facts: what decides the values besides the pictures.

    Shape: two (B, 3, H, W) RGB in [0, 1], restored and original, to (B,).

    Raises:
        UserError: the kind is unknown, torchmetrics or the file is missing, or the file holds another network.
    """

    def __init__(self, kind: str, folder: str | Path) -> None:
        super().__init__()
        check_known('perceptual distance', kind, KINDS)
        path = backbone_file(kind, folder)
        if not find_spec('torchmetrics'):
            raise UserError(f"{kind.upper()} needs the package torchmetrics: pip install 'cface-basicsr[perceptual]'")
        self.kind, self.sha256 = kind, file_hash(path, 64)
        with _weights_from(path):
            self.network = _network(kind)
        self.facts = {kind: self.sha256} | {name: installed_version(name) for name in ('torchmetrics', 'torchvision')}
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, restored: Tensor, original: Tensor) -> Tensor:
        """See above."""
        options = {'normalize': True} if self.kind == 'lpips' else {}  # LPIPS takes [-1, 1] otherwise
        return self.network(restored, original, **options).reshape(-1)


def perceptual_distances(folders: Mapping[PerceptualKind, str | Path | None]) -> dict[str, PerceptualDistance]:
    """Those of which a folder is given; see `PerceptualDistance`."""
    return {kind: PerceptualDistance(kind, folder) for kind, folder in folders.items() if folder}


def backbone_file(kind: str, folder: str | Path) -> Path:
    """The file of the network that a distance is measured by.

    Raises:
        UserError: it is missing; says what it is and where it comes from.
    """
    name, url = _BACKBONES[kind]
    return check_file(Path(folder) / url.rpartition('/')[2],
                      f"Expected torchvision's {name}, which {kind.upper()} measures by, from {url}")


def _network(kind: str) -> nn.Module:
    if kind == 'dists':
        from torchmetrics.functional.image.dists import DISTSNetwork
        return DISTSNetwork()
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    return LearnedPerceptualImagePatchSimilarity('alex').net


@contextmanager
def _weights_from(path: Path) -> Iterator[None]:
    """Inside, torchvision's networks take the weights of this file, where they would fetch their own."""
    from torchvision.models import WeightsEnum

    def read(self: Any, *arguments: Any, **options: Any) -> dict[str, Tensor]:
        return as_state_dict(read_network_file(path), f"weights '{path}'")
    before, WeightsEnum.get_state_dict = WeightsEnum.get_state_dict, read
    try:
        yield
    except RuntimeError as error:  # of load_state_dict
        raise UserError(f"'{path}' holds another network than its name says. Fetch it again.") from error
    finally:
        WeightsEnum.get_state_dict = before

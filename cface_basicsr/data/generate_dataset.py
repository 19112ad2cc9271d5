"""Stage 2 for `basicsr/test.py`: the LR faces, and the store for their super-resolved images."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cface_basicsr import registration
from cface_basicsr.data.dataset_options import GenerateOptions, read_options
from cface_basicsr.data.images.image_tensor import image_tensor
from cface_basicsr.data.super_resolved_store import parameters_sha256, write_super_resolved_store
from cface_basicsr.files.face_store import FaceStore


@registration.dataset
class CFaceGenerateDataset(Dataset):
    """LR faces, and the store that their super-resolved images go to.

    An item is a dictionary: lq: float32 RGB (3, h, w) in [0, 1]; lq_path: key.
    """

    OPTIONS = GenerateOptions
    """The model of the option section."""

    def __init__(self, opt: dict[str, Any]) -> None:
        """
        Args:
            opt: see `GenerateOptions`.

        Raises:
            UserError: an option or the store does not fit.
        """
        self.opt = opt
        self.options: GenerateOptions = read_options(self.OPTIONS, opt)
        self.lr = FaceStore(self.options.dataroot_lq)

    def __len__(self) -> int:
        return len(self.lr)

    def __getitem__(self, index: int) -> dict[str, Any]:
        key = self.lr.keys[index]
        return {'lq': image_tensor(self.lr.planes(key)), 'lq_path': key}

    def write_super_resolved(self, network: Callable[[Tensor], Tensor], device: str | torch.device,
                             progress: Callable[[int, int], None] = lambda done, total: None) -> str:
        """Super-resolve all images into the store `out`, and return its path; see `write_super_resolved_store`."""
        manifest = {'generator': type(network).__name__, 'generator_parameters_sha256': parameters_sha256(network)}
        return str(write_super_resolved_store(network, self.lr.path, self.options.out, device=device, progress=progress,
                                              batch_size=self.options.batch_size or 32, manifest=manifest))

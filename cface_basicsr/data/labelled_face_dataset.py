"""Training data for CNN_R (stages 0 and 3): faces with labels, from one store or from both D_HR and D_SR."""

from typing import Any

from torch.utils.data import Dataset

from cface_basicsr import registration
from cface_basicsr.data.dataset_options import LabelledOptions, labelled_keys, read_options
from cface_basicsr.data.epoch_index import draw
from cface_basicsr.data.images.image_tensor import byte_tensor, image_tensor
from cface_basicsr.files.face_store import FaceStore


@registration.dataset
class LabelledFaceDataset(Dataset):
    """Faces with labels; several stores with the same keys are concatenated.

    An item is a dictionary: gt: float32 RGB (3, H, W) in [0, 1], uint8 for a model of ours; label: int; domain: which
    store, from 0; index: row in identities.csv; flip: whether it is mirrored; gt_path: key.
    """

    OPTIONS = LabelledOptions
    """The model of the option section."""

    def __init__(self, opt: dict[str, Any]) -> None:
        """
        Args:
            opt: see `LabelledOptions`. dataroot_gt: one LMDB store or a list of them.

        Raises:
            UserError: an option is wrong, or the stores hold different keys.
        """
        self.opt = opt
        options: LabelledOptions = read_options(self.OPTIONS, opt)
        self.stores = [FaceStore(root) for root in options.roots()]
        self.keys, self.labels = labelled_keys(self.stores, options.identities)
        self.seed, self.use_hflip = options.draw_seed(), options.use_hflip
        as_bytes = options.uint8 and type(self) is LabelledFaceDataset  # a subclass may compute with its items
        self._tensor = byte_tensor if as_bytes else image_tensor

    def __len__(self) -> int:
        return len(self.keys) * len(self.stores)

    def __getitem__(self, index: int) -> dict[str, Any]:
        coin, _ = draw(self.seed, index)
        domain, row = divmod(int(index), len(self.keys))
        mirror, key = coin and self.use_hflip, self.keys[row]
        return {
            'gt': self._tensor(self.stores[domain].planes(key), mirror),
            'label': int(self.labels[row]),
            'domain': domain,
            'index': row,
            'flip': mirror,
            'gt_path': key,
        }

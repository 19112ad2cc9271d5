"""Validation data: LR and HR faces with labels, in a fixed order, unchanged."""

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from cface_basicsr import registration
from cface_basicsr.data.dataset_options import PairOptions, check_store_sizes, labelled_keys, read_options
from cface_basicsr.data.images.image_tensor import image_tensor
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore


@registration.dataset
class FacePairDataset(Dataset):
    """LR and HR faces with labels.

    An item is a dictionary: lq, gt: float32 RGB (3, H, W) in [0, 1]; label: int; index: row in identities.csv;
    gt_path: key; lq_path: '<identity>__<image>', because BasicSR names validation pictures only by the last part.
    """

    OPTIONS = PairOptions
    """The model of the option section."""

    def __init__(self, opt: dict[str, Any]) -> None:
        """
        Args:
            opt: see `PairOptions`.

        Raises:
            UserError: an option or a store does not fit, or two pictures would get the same name.
        """
        self.opt = opt
        options: PairOptions = read_options(self.OPTIONS, opt)
        self.hr, self.lr = FaceStore(options.dataroot_gt), FaceStore(options.dataroot_lq)
        self.keys, self.labels = labelled_keys([self.hr, self.lr], options.identities)
        check_store_sizes(self.hr, self.lr, options.scale)
        count = min(options.num_images or len(self.keys), len(self.keys))
        self.rows = np.arange(count) * len(self.keys) // max(count, 1)
        names = {picture_name(self.keys[row]) for row in self.rows}
        if len(names) != count:
            raise UserError(f"'{self.hr.path}': {count} images give only {len(names)} picture names, because '/' in a "
                            "key becomes '__'.\nRename the identities that contain '__'.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = int(self.rows[index])
        key = self.keys[row]
        return {
            'lq': image_tensor(self.lr.planes(key)),
            'gt': image_tensor(self.hr.planes(key)),
            'label': int(self.labels[row]),
            'index': row,
            'lq_path': picture_name(key),
            'gt_path': key,
        }


def picture_name(key: str) -> str:
    """The file name of a validation picture without its ending.

    >>> picture_name('0000045/001')
    '0000045__001'
    """
    return key.replace('/', '__')

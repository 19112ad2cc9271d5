"""Training data for C-Face: an LR face, its HR face, and a compare image C of the same identity (section 3.3)."""

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cface_basicsr import registration
from cface_basicsr.data.compare_index import load_compare_index, load_features
from cface_basicsr.data.dataset_options import (
    TripletOptions,
    check_reduction,
    check_store_sizes,
    index_folder,
    labelled_keys,
    read_options,
)
from cface_basicsr.data.epoch_index import draw
from cface_basicsr.data.identity_rows import IdentityRows
from cface_basicsr.data.images.degradations import camera_parts, degraded
from cface_basicsr.data.images.image_tensor import byte_tensor, image_tensor
from cface_basicsr.data.images.low_resolution import reduce_bytes
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore

_NO, _YES = torch.tensor(False), torch.tensor(True)


@registration.dataset
class CFaceTripletDataset(Dataset):
    """LR face, HR face and compare face.

    A new compare image is drawn each time: with `nearest` from the k most similar images of the identity, with `random`
    from all its other images; with `none` there is no compare image. What is drawn depends only on (seed, epoch,
    repeat, index). One coin mirrors all three images.

    An item is a dictionary:
        lq, gt, compare: float32 RGB (3, H, W) in [0, 1]; uint8 for a model of ours, which makes floats of whole batches
            on the device, and with `lq_from_gt` also `lq`, unless it is degraded. Without a compare image, `compare`
            is `gt`.
            With `reference_features: file` there are `phi_gt` and `phi_compare` instead, float32 (D,): the features of
            both from the index at unit length, of the mirror images where the images are mirrored.
        has_compare: bool tensor, False without a compare image (the second term of L_CF is masked then).
        label: int. index: row in identities.csv. flip: whether the images are mirrored (then row 1 of the features).
        lq_path, gt_path, compare_path: keys.
    """

    OPTIONS = TripletOptions
    """The model of the option section."""

    def __init__(self, opt: dict[str, Any]) -> None:
        """
        Args:
            opt: see `TripletOptions`.

        Raises:
            UserError: an option, a store or the index does not fit.
        """
        self.opt = opt
        options: TripletOptions = read_options(self.OPTIONS, opt)
        self.hr = FaceStore(options.dataroot_gt)
        self.lr = FaceStore(options.dataroot_lq) if options.dataroot_lq else None
        self.keys, self.labels = labelled_keys([self.hr] if self.lr is None else [self.hr, self.lr], options.identities)
        if self.lr is not None:
            check_store_sizes(self.hr, self.lr, options.scale)
        if options.lq_from_gt:
            check_reduction(self.hr, self.lr, options.scale, f'datasets.{options.phase}.lq_from_gt')
        self._lq_from_gt, self.scale = options.lq_from_gt, options.scale
        self._camera = options.degradation == 'camera'
        self._bytes = options.uint8 and type(self) is CFaceTripletDataset  # a subclass may compute with its items
        self._tensor = byte_tensor if self._bytes else image_tensor
        self.seed, self.use_hflip = options.draw_seed(), options.use_hflip
        self._neighbours: np.ndarray | None = None
        self._identities: IdentityRows | None = None
        if options.compare_mode == 'nearest':
            self._neighbours = self._read_index(options)
        elif options.compare_mode == 'random':
            self._identities = IdentityRows(self.labels)
        self._features: np.ndarray | None = None
        if options.reference_features == 'file':
            folder = index_folder(options.compare_index, options.dataroot_gt)
            self._features = load_features(folder, self.keys, options.dataroot_gt)

    def _read_index(self, options: TripletOptions) -> np.ndarray:
        folder = index_folder(options.compare_index, options.dataroot_gt)
        stored = load_compare_index(folder, self.keys, self.labels)
        if options.k > stored.shape[1]:
            raise UserError(f"option 'datasets.{options.phase}.k': 'k' is {options.k}, but the index '{folder}' holds "
                            f'{stored.shape[1]} neighbours.\nMake a larger one: `cface index … --k {options.k}`.')
        return stored[:, :options.k]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> dict[str, Any]:
        coin, number = draw(self.seed, index)
        row, mirror = int(index), coin and self.use_hflip
        other = self._compare_row(row, number)
        planes = self.hr.planes(self.keys[row])
        gt = self._tensor(planes, mirror)
        return {
            **self._lr_face(planes, row, mirror, number),
            'gt': gt,
            **self._compare_face(gt, row, row if other is None else other, mirror),
            'has_compare': _NO if other is None else _YES,
            'label': int(self.labels[row]),
            'index': row,
            'flip': mirror,
            'lq_path': self.keys[row],
            'gt_path': self.keys[row],
            'compare_path': self.keys[row if other is None else other],
        }

    def _lr_face(self, hr: np.ndarray, row: int, mirror: bool, number: int) -> dict[str, Tensor]:
        """The LR face, degraded by what `number` draws; nothing where the model makes it."""
        if not self._lq_from_gt:
            return {'lq': self._tensor(self.lr.planes(self.keys[row]), mirror)}
        if self._camera:
            random = np.random.default_rng(number)
            lr = degraded(cv2.merge(list(hr)), self.scale, camera_parts(random), random)
            return {'lq': self._tensor(np.ascontiguousarray(lr.transpose(2, 0, 1)), mirror)}
        if self._bytes:
            return {}
        return {'lq': image_tensor(reduce_bytes(torch.from_numpy(hr)[None], self.scale)[0].numpy(), mirror)}

    def _compare_face(self, gt: Tensor, row: int, other: int, mirror: bool) -> dict[str, Tensor]:
        """The compare image, or the features of HR and compare image in its place."""
        if self._features is None:
            return {'compare': gt if other == row else self._tensor(self.hr.planes(self.keys[other]), mirror)}
        return {name: torch.from_numpy(self._features[each, int(mirror)].astype(np.float32))
                for name, each in (('phi_gt', row), ('phi_compare', other))}

    def _compare_row(self, row: int, number: int) -> int | None:
        """The row of the compare image, drawn by `number`; None if there is none."""
        if self._identities is not None:
            return self._identities.other(row, number)
        if self._neighbours is None:
            return None
        near = self._neighbours[row]
        count = int((near >= 0).sum())
        return int(near[number % count]) if count else None

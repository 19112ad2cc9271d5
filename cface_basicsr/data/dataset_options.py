"""The options of the plugin's data sets as typed models, and the checks that several of them share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from cface_basicsr.data.images.low_resolution import reduce_bytes
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities, read_labels
from cface_basicsr.files.key_list import KeyList
from cface_basicsr.options import LoaderOptions, open_section, problem
from cface_basicsr.options.datasets import Root


class TripletOptions(LoaderOptions):
    """The section of CFaceTripletDataset: faces in LR and HR, and a compare image."""

    dataroot_gt: Root
    """HR store, `hr.lmdb`."""
    dataroot_lq: Root | None = None
    """LR store, `lr_x<scale>.lmdb`; needed without `lq_from_gt`."""
    lq_from_gt: bool = False
    """Do not read LR faces but make them from HR: on the device for our models, in the loading process for others. A
    store that `dataroot_lq` names must hold what comes out of that."""
    degradation: Literal['bicubic', 'camera'] = 'bicubic'
    """What LR faces went through: only the reduction, or for three faces in four also blur and JPEG before it, noise
    and JPEG after it, with strengths drawn anew in each epoch. Needs `lq_from_gt`; they are made while loading."""
    identities: str | None = None
    """The labels: a table or its folder; by default `identities.csv` next to the HR store."""
    compare_index: str | None = None
    """One compare index, or the folder `index/` if it holds only one; by default the one next to the HR store."""
    compare_mode: Literal['nearest', 'random', 'none'] = 'nearest'
    """The compare image: one of the k most similar images of the identity, any other image of it, or none."""
    k: int = Field(default=3, ge=1)
    """The compare image is drawn from this many most similar images; at most as many as the index holds."""
    use_hflip: bool = False
    """Mirror half of the draws, all images of an item together."""
    reference_features: Literal['compute', 'file'] = 'compute'
    """Where L_CF has the features of HR and compare face from: CNN_R computes them in each step, or the compare index
    holds them, and no compare image is read. Only with a frozen CNN_R, that of the index, and not with `l2`."""

    def check(self) -> None:
        """Also: there are LR faces, or they are made; only those that are made are degraded."""
        super().check()
        if not (self.lq_from_gt or self.dataroot_lq):
            raise problem('missing', '', 'dataroot_lq')
        if self.degradation == 'camera' and not self.lq_from_gt:
            raise problem('wrong', "'camera' degrades LR faces that are made from HR: it needs 'lq_from_gt: true', and "
                          'reads none.', 'degradation')


def index_folder(compare_index: str | None, dataroot_gt: str) -> Path:
    """Where the compare index is, or the folder that holds it: by default next to the HR store."""
    return Path(compare_index or Path(dataroot_gt).absolute().parent / 'index')


class LabelledOptions(LoaderOptions):
    """The section of LabelledFaceDataset: faces and their identities."""

    dataroot_gt: Root | Annotated[list[Root], Field(min_length=1)]
    """One store of faces or a list of them, such as D_HR and D_SR."""
    identities: str | None = None
    """The labels: a table or its folder; by default `identities.csv` next to the first store."""
    use_hflip: bool = False
    """Mirror half of the draws."""

    def roots(self) -> list[str]:
        """The stores, one or several."""
        return [self.dataroot_gt] if isinstance(self.dataroot_gt, str) else self.dataroot_gt


class PairOptions(LoaderOptions):
    """The section of FacePairDataset: faces in LR and HR, for validation."""

    dataroot_gt: Root
    """HR store, `hr.lmdb`."""
    dataroot_lq: Root
    """LR store, `lr_x<scale>.lmdb`."""
    identities: str | None = None
    """The labels: a table or its folder; by default `identities.csv` next to the HR store."""
    num_images: int | None = Field(default=None, ge=1)
    """Use only this many images, spread evenly over the store."""


class GenerateOptions(LoaderOptions):
    """The section of CFaceGenerateDataset, for stage 2; `batch_size` images go through the network at once."""

    dataroot_lq: Root
    """LR store, `lr_x<scale>.lmdb`."""
    out: Root
    """The store to write, D_SR."""


def read_options(model: type[LoaderOptions], opt: dict[str, Any]) -> Any:
    """The options of a data set as an instance of `model`.

    Raises:
        UserError: a key is unknown (the message has the nearest valid one) or missing, or a value is wrong.
    """
    return open_section(model, opt, f"datasets.{opt.get('phase', 'train')}")


def labelled_keys(stores: Sequence[FaceStore], identities: str | None) -> tuple[KeyList, np.ndarray]:
    """The keys that all stores share, with their labels.

    Args:
        stores: one or several with the same keys.
        identities: identities.csv or its folder; None: the file next to the first store.

    Returns:
        (keys, labels): N sorted keys, and an int32 array (N,).

    Raises:
        UserError: the stores or the table do not hold the same keys; the message has both counts and one key.
    """
    table, keys = identities or stores[0].path.absolute().parent / 'identities.csv', stores[0].keys
    for store in stores:
        _check_same_keys(keys, store.keys, stores[0].path, store.path)
        store.keys = keys  # one list in memory instead of one per store
    labels = read_labels(table, keys)
    if labels is None:
        _check_same_keys(keys, read_identities(table)[0], stores[0].path, Path(table))
    return keys, labels


def _check_same_keys(a: Sequence[str], b: Sequence[str], a_name: Path, b_name: Path) -> None:
    if a == b:
        return
    odd = min(set(a) ^ set(b), default=None)
    where = 'twice in one of them' if odd is None else f"only in '{a_name if odd in set(a) else b_name}'"
    example = odd or next(key for key, other in zip(sorted(a), sorted(b), strict=False) if key != other)
    raise UserError(f"'{a_name}' has {len(a)} images, '{b_name}' has {len(b)}: their keys differ.\n"
                    f"Example: '{example}' is {where}. Take both from one run of `cface prepare`.")


def check_store_sizes(hr: FaceStore, lr: FaceStore, scale: int | None) -> None:
    """Compare the sizes of the first image in both stores with the scale of the option file.

    Raises:
        UserError: the HR image is not `scale` times as large as the LR image.
    """
    if scale is None or not hr.keys:
        return
    (h, w), (lr_h, lr_w) = hr.image(hr.keys[0]).shape[:2], lr.image(lr.keys[0]).shape[:2]
    if (h, w) != (lr_h * scale, lr_w * scale):
        raise UserError(f"option 'scale' is {scale}, but '{hr.path}' holds {h}x{w} images and '{lr.path}' "
                        f'{lr_h}x{lr_w}.\nChoose the store that fits the scale (lr_x{scale}.lmdb).')


def check_reduction(hr: FaceStore, lr: FaceStore | None, scale: int | None, option: str) -> None:
    """Check that LR faces can be made from HR: some are made and compared with those of the LR store, if there is one.

    Args:
        option: that asks for it.

    Raises:
        UserError: the scale is unknown or does not divide HR, or the LR faces were made in another way.
    """
    sizes = hr.planes(hr.keys[0]).shape[1:] if hr.keys else (0, 0)
    if scale is None or any(size % scale for size in sizes):
        raise UserError(f"option '{option}': expected a 'scale' that divides the {sizes[0]}x{sizes[1]} pixels of "
                        f"'{hr.path}', got {scale}.")
    for key in hr.keys[::max(1, len(hr) // 8)] if lr is not None else ():
        made = reduce_bytes(torch.from_numpy(hr.planes(key))[None], scale)[0].numpy()
        if not np.array_equal(made, lr.planes(key)):
            raise UserError(f"option '{option}': '{key}' of '{lr.path}' is not the bicubic reduction of '{hr.path}' "
                            'that `cface prepare` makes; leave the option out, so that it is read.')

"""`cface prepare --store`: the same faces in every form, read by BasicSR's data set and by ours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cface_basicsr.data.face_pair_dataset import FacePairDataset
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FORMS, FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import read_manifest
from tests.data.prepare.test_run import photos


@pytest.fixture(scope='module')
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same photographs, prepared in every form."""
    folder = tmp_path_factory.mktemp('forms')
    source = photos(folder / 'photos', identities=2, images=2)
    for form in FORMS:
        prepare(source, folder / form, PrepareSettings(scales=(4,), size=32, store=form))
    return {form: folder / form for form in FORMS}


def pair(folder: Path) -> dict[str, Any]:
    return {'name': 'faces', 'phase': 'val', 'scale': 4, 'io_backend': {'type': 'lmdb'},
            'dataroot_gt': str(folder / 'hr.lmdb'), 'dataroot_lq': str(folder / 'lr_x4.lmdb')}


def test_all_forms_hold_the_same_faces_and_lr_is_that_of_the_hr_that_is_read(folders: dict[str, Path]) -> None:
    hr, lr = FaceStore(folders['png'] / 'hr.lmdb'), FaceStore(folders['png'] / 'lr_x4.lmdb')
    for form, folder in folders.items():
        assert read_identities(folder)[0] == hr.keys
        for key in hr.keys:
            image = FaceStore(folder / 'hr.lmdb').image(key)
            small = FaceStore(folder / 'lr_x4.lmdb').image(key)
            assert np.array_equal(small, low_resolution(image[None], 4)[0])
            assert np.array_equal(image, hr.image(key)) == (form != 'jpeg')
            assert np.array_equal(small, lr.image(key)) == (form != 'jpeg')


def test_the_form_is_recorded_and_png_is_not_so_that_older_folders_stay_finished(folders: dict[str, Path]) -> None:
    recorded = {form: read_manifest(folder)['settings']['store'] for form, folder in folders.items()}
    assert recorded == {'png': None, 'png0': 'png0', 'jpeg': 'jpeg', 'webp': 'webp', 'raw': 'raw'}
    source = folders['png'].parent / 'photos'
    with pytest.raises(UserError, match="was made with store = 'jpeg';\nnow it is to have store = 'raw'"):
        prepare(source, folders['jpeg'], PrepareSettings(scales=(4,), size=32, store='raw'))


@pytest.mark.parametrize('form', [form for form in FORMS if form != 'raw'])
def test_basicsrs_data_set_reads_what_ours_reads(folders: dict[str, Path], form: str) -> None:
    from basicsr.data.paired_image_dataset import PairedImageDataset

    import cface_basicsr.register  # noqa: F401  shares the LMDB
    ours, theirs = (kind(pair(folders[form])) for kind in (FacePairDataset, PairedImageDataset))
    for row in range(4):
        assert all((ours[row][name] == theirs[row][name]).all() for name in ('lq', 'gt'))


def test_another_form_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="--store 'jpg' is unknown; did you mean 'jpeg'"):
        PrepareSettings(scales=(4,), size=32, store='jpg').check()

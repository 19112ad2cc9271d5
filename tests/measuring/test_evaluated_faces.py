"""Faces of a folder come in the order of its keys, whole, and with their originals."""

from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.measuring.evaluated_faces import keys_of_features, read_faces
from tests.small_data import write_small_data


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp('faces') / 'data', identities=2, images=3)


def images(folder: Path, store: str) -> np.ndarray:
    return np.stack([FaceStore(folder / store).image(key) for key in read_identities(folder)[0]])


@pytest.mark.parametrize('batch_size', [1, 4, 6])
def test_each_system_sees_every_face_once_in_order(folder: Path, batch_size: int) -> None:
    faces, seen = read_faces(folder, 8), []
    hr, lr = images(folder, 'hr.lmdb'), images(folder, 'lr_x8.lmdb')
    for system, wanted in (('HR', hr), ('LR', lr), ('Bicubic', super_resolve(BicubicUpsampler(scale=8), lr))):
        chunks = list(faces.chunks(system, batch_size=batch_size, device='cpu', progress=seen.append))
        np.testing.assert_array_equal(np.concatenate([given for given, _ in chunks]), wanted)
        originals = [part for _, part in chunks]
        assert all(part is None for part in originals) if system == 'LR' else \
            (np.concatenate(originals) == hr).all()
    assert max(seen) == 6 and len(seen) == 3 * -(-6 // batch_size)


def test_a_folder_whose_labels_name_other_images_is_refused(folder: Path, tmp_path: Path) -> None:
    for store in ('hr.lmdb', 'lr_x8.lmdb'):
        (tmp_path / store).symlink_to(folder / store)
    text = (folder / 'identities.csv').read_text().replace('0000001/002', '0000001/009')
    (tmp_path / 'identities.csv').write_text(text)
    with pytest.raises(UserError, match="differ in 2 keys, for example '0000001/002'"):
        read_faces(tmp_path, 8)


def test_keys_of_features_are_the_last_folder_and_the_name_without_an_images_extension(tmp_path: Path) -> None:
    (tmp_path / 'x.keys.txt').write_text('lfw/Ann/Ann_0001.jpg\nBob\\Bob_0001.PNG\nCid_0001\nDee/D.r\n')
    assert keys_of_features(tmp_path / 'x.npy') == ['Ann/Ann_0001', 'Bob/Bob_0001', 'Cid_0001', 'Dee/D.r']
    with pytest.raises(UserError, match="y.keys.txt' is missing"):
        keys_of_features(tmp_path / 'y.npy')

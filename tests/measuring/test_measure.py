"""Faces of a folder come in the order of its keys, whole, and with their originals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.measuring.measure import FaceSet
from tests.small_data import write_small_data


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp('faces') / 'data', identities=2, images=3)


def images(folder: Path, store: str) -> np.ndarray:
    return np.stack([FaceStore(folder / store).image(key) for key in read_identities(folder)[0]])


@pytest.mark.parametrize(('at_once', 'batch_size', 'sizes'), [(1, 1, [1] * 6), (4, 2, [4, 2]), (256, 4, [6])])
def test_each_system_sees_every_face_once_in_order(folder: Path, at_once: int, batch_size: int,
                                                   sizes: list[int]) -> None:
    faces, hr, lr = FaceSet.open(folder, 8), images(folder, 'hr.lmdb'), images(folder, 'lr_x8.lmdb')
    for system, wanted in (('HR', hr), ('LR', lr), ('Bicubic', super_resolve(BicubicUpsampler(scale=8), lr))):
        done: list[int] = []
        chunks = list(faces.chunks(system, batch_size=batch_size, at_once=at_once, progress=done.append))
        assert [len(given) for given, _ in chunks] == sizes and done == np.cumsum(sizes).tolist()
        np.testing.assert_array_equal(np.concatenate([given for given, _ in chunks]), wanted)
        originals = [part for _, part in chunks]
        assert all(part is None for part in originals) if system == 'LR' else \
            (np.concatenate(originals) == hr).all()


def test_a_part_has_its_rows_in_their_order(folder: Path) -> None:
    part = FaceSet.open(folder, 8).part(np.array([4, 1]))
    (given, _), = part.chunks('HR')
    assert (given == images(folder, 'hr.lmdb')[[4, 1]]).all() and part.labels.tolist() == [1, 0]


def test_faces_of_different_people_are_the_first_of_each_spread_evenly(folder: Path) -> None:
    faces = replace(FaceSet.open(folder, 8), labels=np.array([3, 3, 5, 7, 7, 9]))
    wanted = {0: [], 2: [0, 5], 3: [0, 2, 5], 9: [0, 2, 3, 5]}
    assert {count: faces.of_different_people(count).tolist() for count in wanted} == wanted


def test_a_folder_whose_labels_name_other_images_is_refused(folder: Path, tmp_path: Path) -> None:
    for store in ('hr.lmdb', 'lr_x8.lmdb'):
        (tmp_path / store).symlink_to(folder / store)
    text = (folder / 'identities.csv').read_text().replace('0000001/002', '0000001/009')
    (tmp_path / 'identities.csv').write_text(text)
    with pytest.raises(UserError, match="differ in 2 keys, for example '0000001/002'"):
        FaceSet.open(tmp_path, 8)


def test_a_diverged_network_is_refused_by_the_face_at_which_it_shows(folder: Path) -> None:
    class Diverged(BicubicUpsampler):
        def forward(self, images):
            sr = super().forward(images)
            sr[1:2] = float('inf')
            return sr
    with pytest.raises(UserError, match="Diverged gives NaN or infinity for '0000000/001'"):
        list(FaceSet.open(folder, 8).chunks(Diverged(scale=8)))


def test_equal_pictures_under_two_names_are_counted(folder: Path, tmp_path: Path) -> None:
    def notes(*groups: list[str]) -> list[str]:
        (tmp_path / 'manifest.json').write_text(json.dumps({'duplicates': groups}))
        return replace(faces, folder=tmp_path).notes({})
    faces = replace(FaceSet.open(folder, 8), keys=['7/1', '7/2', '8/1', '8/2', '9/1'])
    assert faces.notes({}) == []  # no manifest
    assert notes(['7/1', '7/2'], ['1/5', '2/5']) == []  # one person twice; two of the training set
    assert '4 held-out pictures, 1 of them also in the training set' in notes(['7/1', '8/1', '8/2'], ['1/5', '9/1'])[0]

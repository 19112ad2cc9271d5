"""A verification set, prepared from beginning to end."""

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.layouts.insightface import list_bin
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.identities import read_identities

SETTINGS = PrepareSettings(scales=(2,), size=28, crop='none', layout='bin')
FACES = [np.random.default_rng(seed).integers(0, 256, (28, 28, 3), np.uint8) for seed in range(8)]


def bin_file(folder: Path, faces: list[np.ndarray], same: list[bool]) -> Path:
    path = folder / 'lfw.bin'
    path.write_bytes(pickle.dumps(([encode_png(face) for face in faces], same)))
    return path


def test_images_keep_their_pixels_and_pairs_their_order(tmp_path: Path) -> None:
    report = prepare(bin_file(tmp_path, FACES, [True, False, True, False]), tmp_path / 'out', SETTINGS)
    store = FaceStore(tmp_path / 'out' / 'hr.lmdb')
    assert len(store) == 8 and np.array_equal(store.image('00002-right/0'), FACES[5])
    assert read_identities(tmp_path / 'out')[1].tolist() == list(range(8))
    assert list(csv.reader((tmp_path / 'out' / 'pairs.csv').open())) == [
        ['left', 'right', 'same', 'fold'], ['00000-left/0', '00000-right/0', '1', '0'],
        ['00001-left/0', '00001-right/0', '0', '1'], ['00002-left/0', '00002-right/0', '1', '2'],
        ['00003-left/0', '00003-right/0', '0', '3']]
    assert report.notes == [f"8 images in '{tmp_path}/lfw.bin': 4 pairs, 2 of them of the same person, in 4 folds. "
                            'Who is on them is unknown, so each image is an identity of its own.']


def test_pairs_are_divided_among_ten_folds_as_insightface_does(tmp_path: Path) -> None:
    """scikit-learn's KFold without shuffling, which InsightFace's evaluation calls."""
    from sklearn.model_selection import KFold
    pairs = list_bin(bin_file(tmp_path, [FACES[0]] * 46, [True] * 23)).pairs
    for fold, (_, test) in enumerate(KFold(10).split(range(23))):
        assert [row for row, pair in enumerate(pairs) if pair.fold == fold] == test.tolist()


def test_equal_images_are_kept_and_the_pair_of_a_damaged_one_is_noted(tmp_path: Path) -> None:
    path = tmp_path / 'lfw.bin'
    images = [encode_png(FACES[0]), encode_png(FACES[0]), encode_png(FACES[1]), b'no image']
    path.write_bytes(pickle.dumps((images, [True, False])))
    report = prepare(path, tmp_path / 'out', SETTINGS)
    assert report.parts[''].duplicates == [['00000-left/0', '00000-right/0']] and not report.has_identities
    assert report.rejected == [('lfw.bin#3', 'not an image')]
    assert 'pairs.csv: 1 of its 4 images, in 1 of its 2 pairs' in report.notes[-1]


def test_a_holdout_is_refused() -> None:
    with pytest.raises(UserError, match='does not say who is on them'):
        PrepareSettings(scales=(2,), layout='bin', holdout=1).check()

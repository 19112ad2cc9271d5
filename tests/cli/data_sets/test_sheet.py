"""`cface sheet`: which faces are on it, and where."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cface_basicsr.cli.data_sets.sheet import _spread
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from tests.small_data import write_small_data


def corner(sheet: np.ndarray, face: np.ndarray) -> tuple[int, int] | None:
    """(y, x) of a face, pixel for pixel, in a picture; None if it is not there."""
    height, width = face.shape[:2]
    for y, x in np.argwhere((sheet[:-height, :-width] == face[0, 0]).all(-1)):
        if (sheet[y:y + height, x:x + width] == face).all():
            return int(y), int(x)
    return None


def test_each_person_has_a_row_and_images_are_evenly_spread(tmp_path: Path) -> None:
    names = ['ann/0', 'ann/1', 'ann/2', 'ann/3', 'bob/0', 'cid/0', 'dan/0', 'dan/1']
    data = write_small_data(tmp_path / 'data', names=names)
    done = CliRunner().invoke(app, ['sheet', str(data), '--people', '2', '--images', '2'], catch_exceptions=False)
    assert done.stdout.strip() == str(data / 'hr.png')
    sheet, store = np.asarray(Image.open(data / 'hr.png')), FaceStore(data / 'hr.lmdb')
    places = {key: place for key in names if (place := corner(sheet, store.image(key)))}
    assert set(places) == {'ann/0', 'ann/2', 'cid/0'}
    (first, left), (same, right), (below, again) = places.values()
    assert first == same < below and left == again < right


def test_a_store_of_small_faces_has_a_sheet_of_its_own(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=2, images=2)
    CliRunner().invoke(app, ['sheet', str(data / 'lr_x2.lmdb'), '--out', str(tmp_path / 'x.png')],
                       catch_exceptions=False)
    assert corner(np.asarray(Image.open(tmp_path / 'x.png')), FaceStore(data / 'lr_x2.lmdb').image('0000001/001'))
    with pytest.raises(UserError, match='exists; --overwrite replaces it'):
        CliRunner().invoke(app, ['sheet', str(data), '--out', str(tmp_path / 'x.png')], catch_exceptions=False)


def test_a_spread_begins_with_the_first_and_leaves_equal_gaps() -> None:
    assert _spread(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert _spread(list(range(7)), 3) == [0, 2, 4]
    assert _spread([3, 4], 9) == [3, 4]

"""`cface unpack`: from a prepared folder, or from one of its stores."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from tests.small_data import write_small_data


@pytest.mark.parametrize(('named', 'store'), [('.', 'hr.lmdb'), ('lr_x8.lmdb', 'lr_x8.lmdb')])
def test_the_faces_of_a_folder_or_of_a_store_become_files(tmp_path: Path, named: str, store: str) -> None:
    data = write_small_data(tmp_path / 'data', identities=2, images=2)
    done = CliRunner().invoke(app, ['unpack', str(data / named), '--out', str(tmp_path / 'out'), '--json'])
    assert json.loads(done.stdout) == {'out': str(tmp_path / 'out'), 'images': 4}
    faces = FaceStore(data / store)
    assert all((tmp_path / 'out' / f'{key}.png').read_bytes() == faces.content(key) for key in faces.keys)


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="LMDB '.*hr.lmdb' is missing"):
        CliRunner().invoke(app, ['unpack', str(tmp_path), '--out', str(tmp_path / 'out')], catch_exceptions=False)

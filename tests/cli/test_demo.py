"""cface demo: faces are made, prepared, and handed to the recipe that fits them."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cface_basicsr.cli import train
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.options.shipped import find_option_file


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the demo asks to be trained; nothing is."""
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(train, 'train_recipe', lambda *arguments: seen.append(arguments))
    return seen


def demo(*arguments: str) -> None:
    assert CliRunner().invoke(app, ['demo', *arguments], catch_exceptions=False).exit_code == 0


def test_synthetic_faces_are_split_by_identity_and_given_to_the_recipe(
        trained: list[tuple[Any, ...]], tmp_path: Path) -> None:
    arguments = ('--out', str(tmp_path), '--identities', '4', '--images', '2', '--holdout', '1')
    demo(*arguments)
    assert trained == [(find_option_file('demo/faces.yml'), tmp_path / 'data', tmp_path / 'run', {}, 1, False)]
    people = {part: {key.split('/')[0] for key in read_identities(tmp_path / 'data' / part)[0]}
              for part in ('train', 'test')}
    assert [len(people['train']), len(people['test'])] == [3, 1]
    assert not people['train'] & people['test']
    for part, count in (('train', 6), ('test', 2)):
        small = FaceStore(tmp_path / 'data' / part / 'lr_x8.lmdb')
        assert small.image(small.keys[0]).shape == (16, 16, 3)
        assert len(FaceStore(tmp_path / 'data' / part / 'hr.lmdb')) == count
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('data.mdb')}
    demo(*arguments)  # a killed demo continues: what is there is left as it is
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('data.mdb')} == written


def test_a_recognizer_of_photographs_needs_photographs(trained: list[tuple[Any, ...]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match='--recognizer needs --data'):
        demo('--recognizer', 'a.onnx', '--out', str(tmp_path / 'demo'))
    assert not (tmp_path / 'demo').exists()


def test_photographs_get_a_recipe_of_their_own(trained: list[tuple[Any, ...]], tmp_path: Path) -> None:
    demo('--out', str(tmp_path / 'faces'), '--identities', '3', '--images', '2', '--holdout', '1')
    demo('--data', str(tmp_path / 'faces/faces'), '--out', str(tmp_path / 'photos'), '--holdout', '1')
    assert trained[1][0] == find_option_file('demo/photos_trained.yml')

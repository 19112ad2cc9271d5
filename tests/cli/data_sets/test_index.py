"""`cface index`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.cli.main import app
from cface_basicsr.data.compare_index import load_compare_index
from cface_basicsr.data.compare_picture import draw_compare_faces
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import save_atomically
from cface_basicsr.recognizers.load import load_recognizer
from tests.onnx_file import write_onnx_recognizer
from tests.small_data import write_small_data


def network_file(path: Path, **options: object) -> Path:
    from basicsr.archs import build_network

    import cface_basicsr.register  # noqa: F401
    torch.manual_seed(0)
    network = build_network(dict(options))
    save_atomically({'params': network.state_dict(), 'network': options}, path)
    return path


def test_it_writes_an_index_and_its_picture(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=3, images=3)
    weights = network_file(tmp_path / 'net_r.pth', type='SphereFace20', input_size=[112, 96], num_feat=4,
                           feature_length=8)
    words = ['index', str(data), '--recognizer', str(weights), '--k', '2', '--device', 'cpu', '--json']
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    result, (keys, labels) = json.loads(run.stdout), read_identities(data)
    assert Path(result['index']) == data / 'index' / file_hash(weights)
    assert load_compare_index(result['index'], keys, labels).shape == (9, 2)
    assert Image.open(result['picture']).size == (6 * 132 + 4, 3 * 148 + 24)


def test_a_recognizer_with_another_input_gets_its_own_index(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=2, images=2)
    file = write_onnx_recognizer(tmp_path / 'r.onnx', size=32, feature_length=8)
    words = ['index', str(data), '--recognizer', str(file), '--k', '1', '--device', 'cpu', '--json']
    plain = json.loads(CliRunner().invoke(app, words).stdout)['index']
    (tmp_path / 'r.input.yml').write_text('channels: bgr')
    other = json.loads(CliRunner().invoke(app, words).stdout)['index']
    assert Path(plain).name == file_hash(file) != Path(other).name
    assert not np.allclose(np.load(f'{plain}/features.npy'), np.load(f'{other}/features.npy'), atol=1e-3)


def test_an_index_cannot_be_named_after_a_python_object(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=2, images=2)
    run = CliRunner().invoke(app, ['index', str(data), '--recognizer', 'tests.cli.data_sets.test_index:tiny'])
    assert isinstance(run.exception, UserError) and str(run.exception).endswith('an .onnx file, or dlib.')
    assert not (data / 'index').exists()


def tiny() -> SphereFace20:
    """A recognizer without a file."""
    return SphereFace20(input_size=(16, 16), num_feat=1, feature_length=2)


def test_the_picture_shows_the_stored_neighbours(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=1, images=3)
    store = FaceStore(data / 'hr.lmdb')
    index = np.array([[1, 2], [2, 0], [0, -1]], np.int32)
    draw_compare_faces(store, np.zeros(3, int), index, tmp_path / 'faces.png', seed=3)
    sheet = np.asarray(Image.open(tmp_path / 'faces.png'))
    cells = [sheet[20:148, 4 + 132 * column:132 + 132 * column] for column in range(3)]
    rows = [next(row for row in range(3) if np.array_equal(cell, store.image(store.keys[row])))
            for cell in cells if cell.min() < 255]
    assert rows[1:] == [other for other in index[rows[0]] if other >= 0]


def test_a_network_that_is_not_a_recognizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='SRResNet, which is not a recognizer'):
        load_recognizer(network_file(tmp_path / 'net_g.pth', type='SRResNet', scale=8, num_feat=4, num_block=1))
    with pytest.raises(UserError, match='is missing'):
        load_recognizer(tmp_path / 'no.onnx')


def shown_rows(sheet: np.ndarray, store: FaceStore, line: int, columns: int) -> list[int]:
    """The rows of the store that a line of the picture shows; -1 for an empty place."""
    faces = [store.image(key) for key in store.keys]
    cells = [sheet[20 + 148 * line:148 + 148 * line, 4 + 132 * column:132 + 132 * column] for column in range(columns)]
    return [next((row for row, face in enumerate(faces) if np.array_equal(cell, face)), -1) for cell in cells]


@pytest.mark.parametrize('images', [2, 4, 5, 9])
def test_no_photo_is_twice_in_a_line_of_the_picture(tmp_path: Path, images: int) -> None:
    data = write_small_data(tmp_path / 'data', identities=2, images=images)
    store, labels = FaceStore(data / 'hr.lmdb'), np.repeat([0, 1], images)
    nearest = np.array([[others[0], others[1] if images > 2 else -1] for row in range(2 * images) if (
        others := [other for other in range(2 * images) if other != row and labels[other] == labels[row]])], np.int32)
    columns = set()
    for seed in range(20):
        draw_compare_faces(store, labels, nearest, tmp_path / 'faces.png', seed=seed)
        sheet = np.asarray(Image.open(tmp_path / 'faces.png'))
        for line in (0, 1):
            row, *others = shown_rows(sheet, store, line, 6)
            there = [other for other in others if other >= 0]
            assert len({row, *there}) == 1 + len(there) == min(6, images)  # all photos, or six of them
            assert others[:2] == nearest[row].tolist() and {labels[other] for other in there} == {labels[row]}
            columns |= set(others[2:])
    assert images < 9 or len(columns) > 10  # not always the same

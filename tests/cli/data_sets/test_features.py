"""`cface features`: the file that it writes, and that `cface evaluate` measures the same with it."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import extract_features
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.recognizers.load import load_recognizer
from tests.small_data import write_small_data
from tests.tiny_stages import write_recognizer


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp('small') / 'data', identities=4, images=3)


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.mark.parametrize('flip', [False, True])
def test_the_rows_are_what_the_recognizer_gives_and_the_keys_are_next_to_them(
        data: Path, tmp_path: Path, flip: bool) -> None:
    recognizer, out = write_recognizer(tmp_path / 'net_r.pth'), tmp_path / 'x.npy'
    done = call('features', data, '--recognizer', recognizer, '--out', out, '--json', *['--flip'] * flip)
    store = FaceStore(data / 'hr.lmdb')
    expected = extract_features(load_recognizer(recognizer), [store.image(key) for key in store.keys], flip=flip,
                                unit_length=False)
    assert np.array_equal(np.load(out), expected)
    assert (tmp_path / 'x.keys.txt').read_text().splitlines() == list(store.keys)
    assert json.loads(done.stdout) == {'features': str(out), 'keys': str(tmp_path / 'x.keys.txt'), 'images': 12,
                                       'length': expected.shape[1]}


def test_the_same_is_measured_with_the_file_as_with_the_recognizer(data: Path, tmp_path: Path) -> None:
    recognizer = write_recognizer(tmp_path / 'net_r.pth')
    call('features', data, '--recognizer', recognizer, '--out', tmp_path / 'x.npy')
    how = ['evaluate', 'pairs', data, '--folds', 2, '--pairs-per-fold', 4, '--json']
    by_file = json.loads(call(*how, '--features', f'X={tmp_path / "x.npy"}').stdout)
    by_network = json.loads(call(*how, '--recognizer', f'features={recognizer}', '--no-judge', '--scale', 8).stdout)
    numbers = [next(iter(record['runs'][0]['measured'].values()))['numbers'] for record in (by_file, by_network)]
    assert numbers[0] == {name: value for name, value in numbers[1].items() if name.startswith('features/')}


def test_nothing_is_computed_for_a_file_that_cannot_be_written(data: Path, tmp_path: Path) -> None:
    (tmp_path / 'x.npy').touch()
    for out, message in (('x.npz', 'expected a name that ends in .npy'), ('x.npy', 'exists; --overwrite replaces it'),
                         ('no/x.npy', 'the folder .* is missing')):
        with pytest.raises(UserError, match=message):
            call('features', data, '--recognizer', tmp_path / 'none.pth', '--out', tmp_path / out)

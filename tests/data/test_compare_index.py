"""The compare index against a slow loop that follows the paper, and its files."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cface_basicsr.data.compare_index import (
    build_compare_index,
    build_index,
    find_index,
    load_compare_index,
)
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import unfinished
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.ops.recognizer_input import RecognizerInput
from tests.small_data import write_small_data


def slow_index(features: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Section 3.3, literally: sort all others of the same identity by the distance of eq. (4)."""
    index = np.full((len(labels), k), -1)
    for row, label in enumerate(labels):
        a = features[row] / np.linalg.norm(features[row])
        found = []
        for other in range(len(labels)):
            if other != row and labels[other] == label:
                b = features[other] / np.linalg.norm(features[other])
                found.append((round(float(((a - b) ** 2).sum()), 9), other))
        for place, (_, other) in enumerate(sorted(found)[:k]):
            index[row, place] = other
    return index


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=24), st.integers(1, 6), st.integers(0, 99))
def test_it_equals_the_slow_loop(labels: list[int], k: int, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(len(labels), 5))
    index = build_compare_index(features, np.array(labels), k)
    assert index.dtype == np.int32
    assert np.array_equal(index, slow_index(features, np.array(labels), k))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=24), st.integers(1, 6), st.integers(0, 99),
       st.sampled_from([0.0, 1e-12, 1e-8, 1e-6, 1e-5]), st.sampled_from(['float16', 'float32', 'float64']))
def test_features_that_rounding_can_hardly_tell_apart_are_in_the_order_of_the_slow_loop(
        labels: list[int], k: int, seed: int, apart: float, kind: str) -> None:
    """Copies of three vectors that float32 cannot tell apart: float64 decides, and beyond nine digits the row."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(3, 6))[random.integers(0, 3, len(labels))]
    features = (features + apart * random.integers(0, 3, features.shape)).astype(kind)
    index = build_compare_index(features, np.array(labels), k)
    assert _same_but_at_the_ninth_digit(features.astype(np.float64), index, slow_index(features.astype(np.float64),
                                                                                   np.array(labels), k))


def _same_but_at_the_ninth_digit(features: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Equal entries, or entries whose distances differ only in the last digit, which depends on the order of sums."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    gaps = [abs(((unit[row] - unit[a]) ** 2).sum() - ((unit[row] - unit[b]) ** 2).sum())
            for row in range(len(one)) for a, b in zip(one[row], other[row], strict=True) if a != b]
    return ((one < 0) == (other < 0)).all() and (not gaps or 0 < max(gaps) < 2e-9)


@pytest.mark.parametrize('scale', [1e-30, 1e30, 1e100])
def test_lengths_beyond_single_precision_do_not_matter(scale: float) -> None:
    features, labels = np.random.default_rng(0).normal(size=(20, 5)), np.arange(20) % 3
    assert np.array_equal(build_compare_index(features * scale, labels, 4), build_compare_index(features, labels, 4))


def test_a_zero_feature_is_equally_far_from_all() -> None:
    features = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    assert build_compare_index(features, np.zeros(4, int), 3).tolist() == [[1, 2, 3], [2, 0, 3], [1, 3, 0], [2, 0, 1]]


@pytest.mark.parametrize('rows', [1, 3, 7])
def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    from cface_basicsr.data import compare_index
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(60, 8)).astype(np.float32), random.integers(0, 12, 60)
    features[30:] = features[:30]
    whole = build_compare_index(features, labels, 3)
    monkeypatch.setattr(compare_index, '_ROWS_AT_ONCE', rows)
    assert np.array_equal(build_compare_index(features, labels, 3), whole)


def test_neighbours_on_a_circle_are_the_adjacent_ones() -> None:
    angles = np.radians([0, 10, 30, 100])
    features = np.stack([np.cos(angles), np.sin(angles)], 1) * [[1], [9], [0.1], [3]]  # length does not matter
    assert build_compare_index(features, np.zeros(4, int), 5).tolist() == [
        [1, 2, 3, -1, -1], [0, 2, 3, -1, -1], [1, 0, 3, -1, -1], [2, 1, 0, -1, -1]]


def test_equal_images_are_in_the_order_of_rows() -> None:
    """All rows are the same vector: sums in BLAS may differ in the last bit from block to block, ties must not."""
    features = np.tile(np.random.default_rng(0).normal(size=(1, 512)).astype(np.float32), (70, 1))
    index = build_compare_index(features, np.zeros(70, int), 3)
    assert index[0].tolist() == [1, 2, 3] and index[1].tolist() == [0, 2, 3] and index[69].tolist() == [0, 1, 2]


def test_an_identity_larger_than_a_block_is_complete() -> None:
    features = np.random.default_rng(0).normal(size=(1100, 4)).astype(np.float16)
    index = build_compare_index(features, np.zeros(1100, int), 2)
    unit = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    for row in (0, 1023, 1024, 1099):
        distance = ((unit - unit[row]) ** 2).sum(1)
        distance[row] = np.inf
        assert index[row].tolist() == np.argsort(distance)[:2].tolist()


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match='k >= 1'):
        build_compare_index(np.ones((2, 3)), np.zeros(2), 0)
    with pytest.raises(ValueError, match='labels'):
        build_compare_index(np.ones((2, 3)), np.zeros(3), 1)


class MeanColours(nn.Module):
    """A recognizer that can be checked by hand: the mean colours of the four quarters of a face."""

    input_spec, feature_length = RecognizerInput(128, 128, 'rgb', 0.0, 255.0), 12

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp('index') / 'data', identities=3, images=4)


@pytest.fixture(scope='module')
def index(data: Path) -> Path:
    return build_index(data, MeanColours(), 'abc', k=2, batch_size=5)


def test_features_are_those_of_the_face_and_of_its_mirror_image(data: Path, index: Path) -> None:
    keys, _ = read_identities(data)
    features = np.load(index / 'features.npy')
    assert features.shape == (12, 2, 12) and features.dtype == np.float16
    face = torch.from_numpy(FaceStore(data / 'hr.lmdb').image(keys[7])).permute(2, 0, 1)[None] / 255
    for row, image in enumerate((face, face.flip(-1))):
        quarters = nn.functional.adaptive_avg_pool2d(image, 2).flatten().numpy()
        assert np.allclose(features[7, row], quarters / np.linalg.norm(quarters), atol=2e-3)


def test_neighbours_are_those_of_the_stored_features(data: Path, index: Path) -> None:
    keys, labels = read_identities(data)
    stored = load_compare_index(data / 'index', keys, labels)
    assert np.array_equal(stored, slow_index(np.load(index / 'features.npy')[:, 0].astype(float), labels, 2))


def test_the_manifest_says_what_the_index_was_made_from(index: Path) -> None:
    manifest = json.loads((index / 'manifest.json').read_text())
    assert manifest['k'] == 2 and manifest['images'] == 12 and manifest['recognizer'] == 'abc'
    assert set(manifest['sha256']) == {'features.npy', 'compare_k2.npy'}
    assert sorted(path.name for path in index.iterdir()) == ['compare_k2.npy', 'features.npy', 'manifest.json']


def test_a_finished_index_is_left_as_it_is_and_another_k_keeps_the_features(tmp_path: Path) -> None:
    data, network = write_small_data(tmp_path / 'data', identities=2, images=4), MeanColours()
    build_index(data, network, 'abc', k=2)
    calls = network.calls
    build_index(data, network, 'abc', k=2)
    keys, labels = read_identities(data)
    assert load_compare_index(build_index(data, network, 'abc', k=3), keys, labels).shape == (8, 3)
    assert network.calls == calls


def test_a_stopped_run_continues_and_gives_the_same_index(
        tmp_path: Path, data: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from cface_basicsr.data import compare_index
    copy, network = tmp_path / 'data', MeanColours()
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns('index'))
    monkeypatch.setattr(compare_index, '_COMMIT_EVERY', 5)

    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(copy, network, 'abc', k=2, batch_size=5, progress=stop)
    assert not (copy / 'index' / 'abc').exists() and unfinished(copy / 'index' / 'abc').is_dir()
    again = MeanColours()
    out = build_index(copy, again, 'abc', k=2, batch_size=5)
    assert again.calls == 4  # two of three batches were left, with two passes each: faces and their mirror images
    for name in ('features.npy', 'compare_k2.npy'):
        assert (out / name).read_bytes() == (index / name).read_bytes()


def test_a_diverged_recognizer_is_refused(data: Path) -> None:
    class Diverged(MeanColours):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float('nan')
    with pytest.raises(UserError, match="NaN or infinity for '"):
        build_index(data, Diverged(), 'nan', k=2)
    assert not (data / 'index' / 'nan').exists()


def test_of_several_indexes_one_must_be_named(tmp_path: Path) -> None:
    for name in ('one', 'two', '.three.unfinished'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'manifest.json').write_text('{}')
    with pytest.raises(UserError, match='2 compare indexes: one, two'):
        find_index(tmp_path)
    assert find_index(tmp_path / 'two') == tmp_path / 'two'
    (tmp_path / 'one' / 'manifest.json').unlink()
    assert find_index(tmp_path) == tmp_path / 'two'


def test_a_missing_index_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'is missing(.|\n)*cface index'):
        find_index(tmp_path / 'index')


@pytest.mark.parametrize('damage', ['cut', 'gone', 'shape', 'manifest'])
def test_a_damaged_index_is_named_with_what_was_expected(tmp_path: Path, damage: str) -> None:
    data = write_small_data(tmp_path / 'data', identities=2, images=3)
    out = build_index(data, MeanColours(), 'abc', k=2)
    keys, labels = read_identities(data)
    file = out / 'compare_k2.npy'
    if damage == 'cut':
        file.write_bytes(file.read_bytes()[:-8])
    elif damage == 'gone':
        file.unlink()
    elif damage == 'shape':
        np.save(file, np.zeros((6, 3), np.int32))
    else:
        (out / 'manifest.json').write_text('{"k": ')
    said = r'is missing|or no .npy file|expected int32 \(6, 2\)|is not JSON'
    with pytest.raises(UserError, match=rf'({said})(.|\n)*cface index'):
        load_compare_index(out, keys, labels)


def test_an_index_of_another_data_set_is_refused(data: Path, index: Path) -> None:
    keys, labels = read_identities(data)
    with pytest.raises(UserError, match='12 images, this one 11'):
        load_compare_index(index, keys[:-1], labels[:-1])
    with pytest.raises(UserError, match='another data set'):
        load_compare_index(index, [*keys[:-1], 'x/9'], labels)
    with pytest.raises(UserError, match='another identity'):
        load_compare_index(index, keys, np.arange(12))


def test_a_disk_without_room_is_named_before_any_face_is_recognized(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write through a memory map for which there is no room would kill the process."""
    def refuse(descriptor: int, start: int, size: int) -> None:
        assert size == 128 + 8 * 2 * 12 * 2  # NumPy's header and float16
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    data, network = write_small_data(tmp_path / 'data', identities=2, images=4), MeanColours()
    monkeypatch.setattr(os, 'posix_fallocate', refuse)
    with pytest.raises(OSError, match="No space left on device: '.*/features.npy'"):
        build_index(data, network, 'abc', k=2)
    assert network.calls == 0
    monkeypatch.undo()
    build_index(data, network, 'abc', k=2)

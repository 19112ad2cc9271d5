"""Precomputed features find their images by name, whatever the order, folders and extensions of the names."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features_file import keys_file, keys_of_features, read_features, write_features

KEYS = ['Ann/Ann_0001', 'Ann/Ann_0002', 'Bo_Li/Bo_Li_0001', 'Cy%2E/img%2E0']
FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3) + 1


def foreign(folder: Path, lines: list[str], features: np.ndarray = FEATURES) -> Path:
    """Files written by somebody else, without `write_features`."""
    np.save(folder / 'theirs.npy', features)
    (folder / 'theirs.keys.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return folder / 'theirs.npy'


def test_what_is_written_is_read_in_the_order_of_the_keys(tmp_path: Path) -> None:
    path = write_features(tmp_path / 'a.b.npy', FEATURES, KEYS)
    assert keys_file(path).name == 'a.b.keys.txt' and keys_file(path).read_text().splitlines() == KEYS
    read = read_features(path, KEYS[::-1])
    assert read.dtype == np.float32 and np.array_equal(read, FEATURES[::-1])
    assert sorted(each.name for each in tmp_path.iterdir()) == ['a.b.keys.txt', 'a.b.npy']


@pytest.mark.parametrize('lines', [
    ['Ann_0002.jpg', 'img.0.png', 'Ann_0001.JPG', 'Bo_Li_0001'],
    ['/data/lfw/Ann/Ann_0002.jpg', '/data/lfw/Cy./img.0.jpg', '/data/lfw/Ann/Ann_0001.jpg',
     '/data/lfw/Bo_Li/Bo_Li_0001.jpg'],
    ['lfw\\Ann\\Ann_0002.jpg', 'lfw\\Cy.\\img.0.jpg', 'lfw\\Ann\\Ann_0001.jpg', 'lfw\\Bo_Li\\Bo_Li_0001.jpg'],
    ['\ufeffAnn/Ann_0002', 'Cy%2E/img%2E0', ' Ann/Ann_0001 ', './Bo_Li/Bo_Li_0001', '']],
    ids=['file names', 'paths', 'paths of Windows', 'keys'])
@pytest.mark.parametrize('dtype', [np.float16, np.float64])
def test_names_are_joined_with_or_without_folder_and_extension(tmp_path: Path, lines: list[str], dtype: type) -> None:
    path = foreign(tmp_path, lines, FEATURES[[1, 3, 0, 2]].astype(dtype))
    assert np.array_equal(read_features(path, KEYS), FEATURES)


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_any_order_of_rows_and_of_keys_gives_each_image_its_own(tmp_path_factory: pytest.TempPathFactory,
                                                                rows: list[int], wanted: list[int]) -> None:
    path = foreign(tmp_path_factory.mktemp('any'), [KEYS[row] for row in rows], FEATURES[rows])
    assert np.array_equal(read_features(path, [KEYS[row] for row in wanted]), FEATURES[wanted])


def test_missing_and_unknown_rows_are_counted_and_the_first_of_each_is_named(tmp_path: Path) -> None:
    path = foreign(tmp_path, ['Ann/Ann_0001', 'Zoe/Zoe_0001', 'Bo_Li/Bo_Li_0001', 'Zoe/Zoe_0002'])
    with pytest.raises(UserError) as caught:
        read_features(path, KEYS[:3])
    message = str(caught.value)
    assert '4 rows, 3 images' in message and "1 images have no row (first: 'Ann/Ann_0002')" in message
    assert "2 rows belong to no image (first: 'Zoe/Zoe_0001')" in message and len(message.splitlines()) <= 3


def test_rows_of_other_images_are_left_out_only_on_request(tmp_path: Path) -> None:
    path = foreign(tmp_path, KEYS)
    with pytest.raises(UserError, match=r"2 rows belong to no image \(first: 'Bo_Li/Bo_Li_0001'\)"):
        read_features(path, KEYS[:2])
    assert np.array_equal(read_features(path, KEYS[1::-1], allow_extra=True), FEATURES[1::-1])


def test_folders_that_are_not_identities_are_refused_with_advice(tmp_path: Path) -> None:
    path = foreign(tmp_path, ['aligned/Ann_0001.jpg', 'aligned/Ann_0002.jpg', 'aligned/Bo_Li_0001.jpg'], FEATURES[:3])
    with pytest.raises(UserError, match='The names by themselves would match: write them without their folders'):
        read_features(path, KEYS[:3])


def test_a_name_that_two_identities_share_is_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path, ['0001.jpg', '0002.jpg'], FEATURES[:2])
    with pytest.raises(UserError, match="'0001.jpg' may be 'a/0001' or 'b/0001'"):
        read_features(path, ['a/0001', 'b/0001'])


@pytest.mark.parametrize(('lines', 'message'), [
    (['Ann_0001.jpg', 'Ann_0001.png', 'x', 'y'], "lines 1 and 2 name the same image, 'Ann_0001'"),
    (['Ann/Ann_0001', 'Ann_0002', 'x', 'y'], 'Write all lines with their folder'),
    (['a', '', 'b', 'c'], 'line 2: expected a key or file name, got an empty line'),
    (['a', 'b', 'c'], r'theirs.keys.txt. has 3 lines, expected one for each of 4 rows')])
def test_lines_that_name_no_image_or_two_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_features(foreign(tmp_path, lines), KEYS)


@pytest.mark.parametrize('value', [np.nan, np.inf, 0])
def test_a_feature_without_direction_is_named_by_its_image(tmp_path: Path, value: float) -> None:
    features = FEATURES.copy()
    features[2] = value
    with pytest.raises(UserError, match=r"1 of 4 features are NaN, infinite or zero \(first: 'Bo_Li/Bo_Li_0001'\)"):
        read_features(foreign(tmp_path, KEYS, features), KEYS)
    with pytest.raises(UserError, match="first: 'Bo_Li/Bo_Li_0001'"):
        write_features(tmp_path / 'ours.npy', features, KEYS)
    assert not (tmp_path / 'ours.npy').exists()


@pytest.mark.parametrize('features', [FEATURES[0], FEATURES.astype(int), FEATURES[None]])
def test_anything_but_a_matrix_of_floats_is_refused(tmp_path: Path, features: np.ndarray) -> None:
    with pytest.raises(UserError, match=r'expected one matrix \(N, D\) of floats'):
        read_features(foreign(tmp_path, KEYS, features), KEYS)


@pytest.mark.parametrize('content', [b'', b'no array', 'half', 'pickle', 'archive'])
def test_a_file_that_is_not_an_array_is_refused_and_runs_nothing(tmp_path: Path, content: bytes | str) -> None:
    path = foreign(tmp_path, KEYS)
    if content == 'half':
        path.write_bytes(path.read_bytes()[:-7])
    elif content == 'pickle':
        np.save(path, np.array([{}, {}], dtype=object))
    elif content == 'archive':
        with path.open('wb') as file:
            np.savez(file, FEATURES)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match='cut off, or no .npy file|an archive of several arrays'):
        read_features(path, KEYS)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='none.npy. is missing'):
        read_features(tmp_path / 'none.npy', KEYS)
    path = foreign(tmp_path, KEYS)
    keys_file(path).unlink()
    with pytest.raises(UserError, match=r"theirs.keys.txt. is missing. Expected one line per row"):
        read_features(path, KEYS)


@pytest.mark.parametrize(('name', 'keys', 'message'), [
    ('a.txt', KEYS, 'ends in .npy'), ('a.npy', KEYS[:3], 'N keys'), ('a.npy', [*KEYS[:3], KEYS[0]], 'different keys'),
    ('a.npy', [*KEYS[:3], 'a\nb'], 'each on one line')])
def test_writing_refuses_what_could_not_be_read(tmp_path: Path, name: str, keys: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_features(tmp_path / name, FEATURES, keys)
    assert not list(tmp_path.iterdir())


def test_a_kill_while_writing_leaves_no_old_matrix_next_to_new_names(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_features(tmp_path / 'f.npy', FEATURES, KEYS)

    def killed(*names: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('os.replace', killed)
    with pytest.raises(KeyboardInterrupt):
        write_features(path, FEATURES[::-1], KEYS[::-1])
    assert [each.name for each in tmp_path.iterdir()] == ['f.keys.txt']


def test_keys_of_features_are_the_last_folder_and_the_name_without_an_images_extension(tmp_path: Path) -> None:
    (tmp_path / 'x.keys.txt').write_text('lfw/Ann/Ann_0001.jpg\nBob\\Bob_0001.PNG\nCid_0001\nDee/D.r\n')
    assert keys_of_features(tmp_path / 'x.npy') == ['Ann/Ann_0001', 'Bob/Bob_0001', 'Cid_0001', 'Dee/D.r']
    with pytest.raises(UserError, match="y.keys.txt' is missing"):
        keys_of_features(tmp_path / 'y.npy')

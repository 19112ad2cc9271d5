"""TinyFace's protocol on made-up lists, against a literal search."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.protocols import check_request
from cface_basicsr.measuring.request import Request
from cface_basicsr.measuring.search_protocol import TinyFaceProtocol
from tests.small_face_trees import write_lists as write_both

GALLERY, PROBE = {'1_1.jpg': 1, '1_2.jpg': 1, '2_1.jpg': 2, '7_1.jpg': 7}, {'1_3.jpg': 1, '2_4.jpg': 2, '7_9.jpg': 7}
KEYS = ['Gallery_Distractor/d1', 'Gallery_Distractor/d2', *(f'Gallery_Match/{name[:-4]}' for name in GALLERY),
        *(f'Probe/{name[:-4]}' for name in PROBE)]


def write_lists(folder: Path, **changes: dict[str, Any]) -> Path:
    return write_both(folder, **{'gallery': GALLERY, 'probe': PROBE} | changes)


def slow_rank(features: np.ndarray, probe: str, people: dict[str, int]) -> int:
    """The place of the nearest image of the person in the list of all gallery images and distractors."""
    units = [row / np.linalg.norm(row) for row in features]
    own = units[KEYS.index(f'Probe/{probe[:-4]}')]
    nearest = sorted((key for key in KEYS if not key.startswith('Probe/')),
                     key=lambda key: -float(own @ units[KEYS.index(key)]))
    persons = [people.get(key.split('/')[1] + '.jpg') for key in nearest]
    return 1 + persons.index(PROBE[probe])


@pytest.mark.parametrize('seed', range(8))
def test_ranks_are_those_of_a_literal_search_with_distractors(tmp_path: Path, seed: int) -> None:
    protocol = TinyFaceProtocol(write_lists(tmp_path / 'lists'), KEYS)
    features = np.random.default_rng(seed).normal(size=(len(KEYS), 3)).astype(np.float32)
    found = protocol.measure('r', features)
    ranks = [slow_rank(features, probe, GALLERY) for probe in PROBE]
    expected = {f'r/rank{rank}': np.mean([each <= rank for each in ranks]) for rank in (1, 5, 20)}
    assert found.numbers == pytest.approx(expected) and found.numbers['r/rank20'] == 1
    assert found.per_fold == {f'r/rank{rank}': [float(each <= rank) for each in ranks] for rank in (1, 5, 20)}
    assert protocol.compared.settings == {'probes': 3, 'gallery': 4, 'distractors': 2, 'parts': 3}


def test_a_distractor_that_looks_like_the_probe_comes_before_the_person(tmp_path: Path) -> None:
    features = np.eye(len(KEYS), dtype=np.float32)
    for probe in PROBE:
        features[KEYS.index(f'Probe/{probe[:-4]}')] = features[0] + 0.5 * features[KEYS.index('Gallery_Match/7_1')]
    numbers = TinyFaceProtocol(write_lists(tmp_path / 'lists'), KEYS).measure('r', features).numbers
    # 7 comes second; 1 and 2 are as far as all but the first, so all of those come before them: four and five
    assert numbers == {'r/rank1': 0, 'r/rank5': pytest.approx(2 / 3), 'r/rank20': 1}


@pytest.mark.parametrize(('lists', 'message'), [
    ({'probe': {'1_3.jpg': 1, '9_9.jpg': 9}},
     "1 of 2 images of '.*probe_img_ID_pairs.mat' are missing among 9 keys, first 9_9"),
    ({'probe': {'1_1.jpg': 1}}, "1 images are in both lists, first 'Gallery_Match/1_1'"),
    ({'probe': {'1_3.jpg': 5}}, '1 probes show people whom the gallery lacks'),
    ({'probe': {'1_3.jpg': 1.5}}, 'probe_ids: expected whole numbers from 0'),
    ({'probe': {'1_3.jpg': 1}}, "2 images are in no list, but in folders of people who are, first 'Probe/2_4'"),
    ({'probe': {}}, 'expected different file names with an identity each, got 0 cells'),
])
def test_lists_of_another_release_are_refused(tmp_path: Path, lists: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        TinyFaceProtocol(write_lists(tmp_path / 'lists', **lists), KEYS)
    assert '\n' not in str(refused.value)


def test_lists_and_folder_must_tell_the_same_people_apart(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / 'lists')
    request = Request(protocol='tinyface', data=tmp_path, recognizers={'r': 'r.pth'}, config=lists)
    people = np.array([9, 8, 0, 0, 1, 3, 0, 1, 3])  # by numbers of their own, in the order of KEYS
    assert TinyFaceProtocol.from_request(request, KEYS, people).compared.settings['parts'] == 3
    for wrong in ([9, 8, 0, 2, 1, 3, 0, 1, 3], [9, 8, 0, 0, 1, 1, 0, 1, 1]):
        with pytest.raises(UserError, match="identities of the images differ in who is on 'Gallery_Match/[12]_1'"):
            TinyFaceProtocol.from_request(request, KEYS, np.array(wrong))


def test_files_that_are_not_its_lists_are_refused(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / 'lists')
    savemat(folder / 'probe_img_ID_pairs.mat', {'other': np.zeros(3)})
    with pytest.raises(UserError, match='lacks probe_set, probe_ids: expected probe_set, probe_ids, got other'):
        TinyFaceProtocol(folder, KEYS)
    (folder / 'probe_img_ID_pairs.mat').write_bytes(b'MATLAB 5.0' + bytes(200))
    with pytest.raises(UserError, match='cannot be read as a MATLAB file'):
        TinyFaceProtocol(folder, KEYS)
    (folder / 'gallery_match_img_ID_pairs.mat').unlink()
    with pytest.raises(UserError, match="gallery_match_img_ID_pairs.mat' is missing.*Testing_Set"):
        TinyFaceProtocol(folder, KEYS)
    with pytest.raises(UserError, match="tinyface needs --config: the folder of TinyFace's two lists"):
        check_request(Request(protocol='tinyface', data=tmp_path, recognizers={'r': 'r.pth'}))

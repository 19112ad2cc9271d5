"""Protocols say what they are, take what they declare, and are made for the images at hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.listed_search import SURVFACE
from cface_basicsr.evaluation.significance import paired_test
from cface_basicsr.evaluation.verification import make_pairs
from cface_basicsr.measuring import request as requests
from cface_basicsr.measuring.protocol import Protocol
from cface_basicsr.measuring.protocols import PROTOCOLS, check_request, protocols_of
from cface_basicsr.measuring.request import Request
from tests.blufr_file import write_blufr_file
from tests.references import slow_protocols
from tests.small_face_trees import write_lists

R, F = {'recognizers': {'R': 'r.pth'}}, {'features': {'X': Path('x.npy')}}
LABELS = np.repeat(np.arange(40), 30)
KEYS = [f'{label}/{row}' for row, label in enumerate(LABELS)]


def request(protocol: str = 'pairs', data: Path = Path('nowhere'), **settings: Any) -> Request:
    return Request(protocol=protocol, data=data, **settings)


def made(protocol: str, data: Path, keys: list[str] = KEYS, labels: np.ndarray | None = LABELS,
         **settings: Any) -> Protocol:
    return PROTOCOLS[protocol].from_request(request(protocol, data, **F, **settings), keys, labels)


# ------------------------------------------------------------------------------------------------------- declarations

@pytest.mark.parametrize('kind', PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_protocol_declares_what_the_command_and_the_comparison_ask_for(kind: type[Protocol]) -> None:
    for text in (kind.name, kind.help, kind.gives, kind.assumption.format(shared=0.5, times=2.0)):
        assert text and '\n' not in text and '{' not in text
    assert kind.unit in ('folds', 'trials', 'parts') and kind.paired
    assert set(kind.takes) <= set(Request.__dataclass_fields__)


@pytest.fixture(scope='module')
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Protocol, Any]]:
    """Each protocol, made for 24 images, and what it says of random features."""
    folder = tmp_path_factory.mktemp('protocols')
    labels = np.repeat(np.arange(6), 4)
    keys = [f'{label}/{label}_{row}' for row, label in enumerate(labels)]
    write_blufr_file(folder / 'blufr.mat', keys, labels.tolist(), TRIALS)
    listed = {part: {f"{key.split('/')[1]}.jpg": int(key[0]) for key in keys[start::4]}
              for start, part in enumerate(('gallery', 'probe'))}
    lists = {'blufr': folder / 'blufr.mat', 'tinyface': write_lists(folder / 'tinyface', **listed),
             'survface': write_lists(folder / 'survface', **listed, lists=SURVFACE)}
    folded = make_pairs(labels, folds=3, pairs_per_fold=8, seed=0)
    (folder / 'pairs.csv').write_text('left,right,same,fold\n' + ''.join(
        f'{keys[a]},{keys[b]},{int(same)},{fold}\n' for (a, b), same, fold in zip(*folded, strict=True)))
    features = np.random.default_rng(0).normal(size=(24, 8)).astype(np.float32)
    found = {}
    for name in PROTOCOLS:
        settings = {'config': lists[name]} if name in lists else {}
        named, people = keys, labels
        if name == 'scface':
            named = [f'{label:03d}/{label:03d}_{("frontal", "cam1_1", "cam1_2", "cam1_3")[row % 4]}'
                     for row, label in enumerate(labels)]
        if name in ('tinyface', 'survface'):  # those that are in neither list are of others
            named = [key if row % 4 < 2 else f'other-{row}/{row}' for row, key in enumerate(keys)]
            people = np.where(np.arange(24) % 4 < 2, labels, 100 + np.arange(24))
        protocol = made(name, folder, named, people, folds=3, pairs_per_fold=8, **settings)
        found[name] = protocol, protocol.measure('R', features)
    return found


@pytest.mark.parametrize('name', PROTOCOLS)
def test_what_is_declared_is_what_is_measured(measured: dict[str, tuple[Protocol, Any]], name: str) -> None:
    protocol, outcome = measured[name]
    assert set(outcome.per_fold) == {f'R/{key}' for key in protocol.paired}
    assert len({len(values) for values in outcome.per_fold.values()}) == 1
    columns = protocol.columns('R', protocol.compared)
    assert columns and {column.key for column in columns} <= set(outcome.numbers)
    assert all(column.spread is None or column.spread in outcome.numbers for column in columns)
    rates = protocol.rates('R', [], protocol.compared)
    assert rates is None or {column.key for column in rates.columns} <= set(outcome.numbers)
    assert (outcome.scores is not None) == protocol.has_curve
    assert len(protocol.compared.sha256) == 64 and protocol.compared.protocol == name
    values = next(iter(outcome.per_fold.values()))
    assert paired_test(values, values, shared=protocol.compared.shared).clear == 0


# ----------------------------------------------------------------------------------------------------- contradictions

@pytest.mark.parametrize(('settings', 'message'), [
    ({'protocol': 'pair', **R}, "'pair' is unknown; did you mean 'pairs'"),
    ({}, 'give --recognizer'),
    ({**R, **F}, 'leave out --recognizer'),
    ({**F, 'sides': 'one'}, 'leave out'), ({**F, 'scale': 8}, 'leave out'), ({**F, 'flip': True}, 'leave out'),
    ({'protocol': 'blufr', **R}, 'blufr needs --config'),
    ({'protocol': 'blufr', **R, 'config': Path('c.mat'), 'sides': 'one'}, "'blufr' has none. Expected both or lr"),
    ({'protocol': 'identification', **R, 'sides': 'one'}, "'identification' has none"),
    ({**R, 'degrade': ('jpeg',), 'images': {'X': Path('x')}}, '--degrade changes what networks are given'),
    ({'protocol': 'open-set', **R, 'sides': 'one'}, "'open-set' has none"),
    ({'protocol': 'identification', **R, 'curves': True}, "'identification' has no ROC curve"),
    ({'protocol': 'lfw', **R, 'config': Path('c.mat')},
     "--config belongs to the protocol 'blufr or tinyface or survface'"),
    ({**R, 'pairs': Path('pairs.txt')}, "--pairs belongs to the protocol 'lfw'"),
    ({'protocol': 'identification', **R, 'far': .1}, "--far belongs to the protocol 'pairs or lfw or blufr or scface'"),
    ({**R, 'far_identification': .1}, "--far-identification belongs to the protocol 'blufr or open-set'"),
    ({**R, 'sides': 'lr', 'weights': {'X': Path('x.pth')}}, '--sides lr uses no network'),
    ({**R, 'sides': 'two'}, "'two' is unknown"), ({**R, 'color': 'rgba'}, "'rgba' is unknown"),
])
def test_a_contradiction_is_named_before_any_file_is_opened(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_request(request(**settings))


def test_every_protocol_has_a_request_that_is_fine() -> None:
    for name, kind in PROTOCOLS.items():
        settings = {'config': Path('c.mat')} if 'config' in kind.takes else {}
        assert check_request(request(name, **R, **settings)) is check_request(request(name, **F)) is kind


# -------------------------------------------------------------------------------------------------- from what is asked

def test_a_large_folder_gives_the_papers_3000_and_3000_pairs(tmp_path: Path) -> None:
    protocol = made('pairs', tmp_path)
    wanted = make_pairs(LABELS, folds=10, pairs_per_fold=600, seed=0)
    assert (protocol.folded.pairs == wanted.pairs).all() and protocol.folded.same.sum() == 3000
    settings = protocol.compared.settings
    assert (settings['pairs'], settings['folds'], settings['far']) == (6000, 10, 0.01)
    assert '6,000 pairs in 10 folds, drawn with seed 0' in protocol.compared.note


def test_a_small_folder_gives_what_it_can_and_other_seeds_other_pairs(tmp_path: Path) -> None:
    labels, keys = np.repeat(np.arange(20), 3), KEYS[:60]
    first, second = (made('pairs', tmp_path, keys, labels, seed=seed).compared for seed in (0, 1))
    assert first.settings['pairs'] == 10 * 2 * 6  # two people of three images a fold: six pairs of one person
    assert first.sha256 != second.sha256


def test_lfw_reads_the_folders_pairs_or_those_that_are_named(tmp_path: Path) -> None:
    table = 'left,right,same,fold\n' + ''.join(f'{KEYS[0]},{KEYS[row]},{int(row == 1)},{fold}\n'
                                               for fold in (0, 1) for row in (1, 30))
    (tmp_path / 'other.csv').write_text(table)
    with pytest.raises(UserError, match="pairs.csv' is missing: the folder was prepared without pairs.*--pairs"):
        made('lfw', tmp_path)
    named = made('lfw', tmp_path, pairs=tmp_path / 'other.csv')
    (tmp_path / 'pairs.csv').write_text(table)
    assert named.compared.sha256 == made('lfw', tmp_path).compared.sha256
    assert named.folded.pairs.tolist() == [[0, 1], [0, 30]] * 2
    assert named.compared.settings['pairs_file']['file'].endswith('other.csv')


def test_lfw_takes_features_as_image_and_mirror_image_where_they_were_joined(tmp_path: Path) -> None:
    (tmp_path / 'pairs.csv').write_text('left,right,same,fold\n' + f'{KEYS[0]},{KEYS[1]},1,0\n' * 2)
    kind = PROTOCOLS['lfw']
    assert [kind.from_request(request('lfw', tmp_path, **settings), KEYS, LABELS).mirrored
            for settings in (R, {**R, 'flip': False}, F)] == [True, False, False]


@pytest.mark.parametrize('name', ['identification', 'open-set'])
def test_identification_must_know_which_images_show_one_person(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f'{name} needs to know which images show one person'):
        made(name, tmp_path, labels=None)
    assert made(name, tmp_path).compared.protocol == name


# ------------------------------------------------------------------------------------------------------ of a test set

TRIALS = [([0, 4, 8], [1, 2, 5, 6, 9, 10, 12, 13, 16, 17]), ([12, 16, 20], [13, 14, 17, 18, 21, 22, 0, 1, 8, 9])]
"""(gallery, probe): three known people, two others."""
NAMES = [f'{person:07d}/{person}_{image}' for person in range(6) for image in range(4)]
PEOPLE = np.repeat(np.arange(6), 4)
FEATURES = np.repeat(np.random.default_rng(0).normal(size=(6, 8)), 4, 0) + np.random.default_rng(1).normal(size=(24, 8))


def of_test_set(**options: object) -> list[Protocol]:
    test = requests.TestSet(**{'folds': 3, 'pairs_per_fold': 8, **options})
    return protocols_of(test, NAMES, PEOPLE, 'tests.held-out')


def test_a_test_set_without_lists_has_its_pairs_and_dir_as_slow_loops_count_it() -> None:
    pairs, open_set = of_test_set(far_identification=0.25)
    wanted = make_pairs(PEOPLE, folds=3, pairs_per_fold=8, seed=0)
    assert (pairs.folded.pairs == wanted.pairs).all()
    slow = [slow_protocols.blufr_rates(FEATURES, PEOPLE.tolist(), list(draw.gallery), list(draw.probe), 0.1, 0.25)[1]
            for draw in open_set.draws]
    outcome = open_set.measure('r', FEATURES)
    assert outcome.numbers == {'r/dir': pytest.approx(np.mean(slow)), 'r/dir_std': pytest.approx(np.std(slow, ddof=1))}
    assert outcome.per_fold == {'r/dir': pytest.approx(slow)} and 0 < outcome.numbers['r/dir'] < 1
    assert '3 people enrolled with one image each' in open_set.compared.note
    assert '12 images of others, of which 3 may raise a false alarm' in open_set.compared.note


def test_vr_and_dir_of_blufrs_lists_are_those_of_slow_loops(tmp_path: Path) -> None:
    path = write_blufr_file(tmp_path / 'blufr.mat', NAMES, PEOPLE.tolist(), TRIALS)
    _, blufr = of_test_set(blufr=str(path or tmp_path / 'blufr.mat'), far=0.1, far_identification=0.25)
    slow = [slow_protocols.blufr_rates(FEATURES, PEOPLE.tolist(), *trial, 0.1, 0.25) for trial in TRIALS]
    vr, found = zip(*slow, strict=True)
    numbers = blufr.measure('r', FEATURES).numbers
    assert {key: numbers[f'r/{key}'] for key in ('vr', 'vr_std', 'dir', 'dir_std')} == pytest.approx(
        {'vr': np.mean(vr), 'vr_std': np.std(vr, ddof=1), 'dir': np.mean(found), 'dir_std': np.std(found, ddof=1)})
    assert 'r/eer' not in numbers  # VR and DIR are all that a benchmark asks for
    assert blufr.compared.note.startswith('VR at FAR = 10 % and DIR at FAR = 25 %: LFW-BLUFR, 2 trials')


def test_lists_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing. Expected BLUFR's"):
        of_test_set(blufr='nowhere.mat')
    write_blufr_file(tmp_path / 'other.mat', [*NAMES, 'Zoe/Zoe_1'], [*PEOPLE.tolist(), 6], TRIALS)
    with pytest.raises(UserError, match='1 of 25 images of BLUFR are missing'):
        of_test_set(blufr=str(tmp_path / 'other.mat'))


def test_most_pairs_are_all_that_the_smallest_fold_has_room_for() -> None:
    pairs = of_test_set(pairs_per_fold='most')[0].folded  # two people with four images in each of three folds
    assert pairs.same.sum() == 3 * 2 * 6 and (~pairs.same).sum() == 3 * 2 * 6
    assert {tuple(pair) for pair in pairs.pairs[pairs.same].tolist()} == {
        (a, b) for a in range(24) for b in range(a + 1, 24) if PEOPLE[a] == PEOPLE[b]}

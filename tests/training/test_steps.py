"""The chain of steps: finished ones are skipped, changed ones refused, one run at a time."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cface_basicsr.errors import UserError
from cface_basicsr.options import read_option_file
from cface_basicsr.training import steps
from cface_basicsr.training.recipe import Recipe, RecipeFile
from cface_basicsr.training.steps import run_steps
from tests.tiny_stages import REPOSITORY


class Told:
    """Keeps what the steps tell."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []
        self.ended: list[tuple[str, str]] = []

    def start(self, name: str, total: int) -> None:
        self.started.append((name, total))

    def advance(self, done: int, text: object = '') -> None:
        pass

    def end(self, name: str, note: str) -> None:
        self.ended.append((name, note))


class Trainings:
    """In place of trainings: writes files as weights, and keeps which options were trained."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        self.weights = b'weights'
        self.fails = ''

    def __call__(self, options: Path, log: Path, progress: Any, processes: int = 1) -> None:
        opt = read_option_file(options)
        if opt['name'] == self.fails:
            raise UserError('it failed')
        self.done.append(opt)
        folder = Path(opt['path']['experiments_root'], opt['name'], 'models')
        folder.mkdir(parents=True)
        for label in 'gdrc':
            (folder / f'net_{label}_latest.pth').write_bytes(self.weights + opt['name'].encode())

    def names(self) -> list[str]:
        return [opt['name'] for opt in self.done]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    fake = Trainings()
    monkeypatch.setattr(steps, 'run_training', fake)
    return fake


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    """Two trainings, the second from the first's recognizer, on a folder that holds (empty) stores."""
    for store in ('hr.lmdb', 'lr_x4.lmdb'):
        (tmp_path / 'data' / store).mkdir(parents=True)
    (tmp_path / 'data/identities.csv').write_text('key,label,original_name\n')
    return {'name': 'r', 'scale': 4, 'data': str(tmp_path / 'data'), 'out': str(tmp_path / 'run'), 'steps': {
        'first': {'options': str(REPOSITORY / 'options/cface_stage0.yml'), 'set': {'train': {'total_iter': 9}}},
        'second': {'options': str(REPOSITORY / 'options/cface_stage1.yml'), 'weights': {'network_r': 'first'},
                   'set': {'train': {'total_iter': 7, 'total_epoch': None}}}}}


def run(content: dict[str, Any], folder: Path) -> Told:
    (folder / 'r.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    told = Told()
    run_steps(Recipe.read(folder / 'r.yml'), told)
    return told


def test_every_step_is_trained_by_its_composed_options(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    told = run(content, tmp_path)
    assert told.started == [('first', 9), ('second', 7)]
    assert trainings.names() == ['first', 'second']
    assert trainings.done[1]['path']['pretrain_network_r'] == str(tmp_path / 'run/first/models/net_r_latest.pth')
    record = json.loads((tmp_path / 'run/second/finished.json').read_text())
    assert record['iterations'] == 7
    assert record['weights'] == {'network_r': steps.file_hash(tmp_path / 'run/first/models/net_r_latest.pth')}
    first_line = (tmp_path / 'run/options/second.yml').read_text().splitlines()[0]
    assert first_line == 'plugin: !!python/name:cface_basicsr.register.NAME'  # BasicSR's own command reads it


def test_a_second_run_trains_nothing(content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    run(content, tmp_path)
    told = run(content, tmp_path)
    assert trainings.names() == ['first', 'second']
    assert told.ended == [('first', 'already finished'), ('second', 'already finished')]


def test_after_a_failure_only_what_is_missing_is_trained(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    trainings.fails = 'second'
    with pytest.raises(UserError, match='it failed'):
        run(content, tmp_path)
    assert not (tmp_path / 'run/second/finished.json').exists()
    trainings.fails = ''
    run(content, tmp_path)
    assert trainings.names() == ['first', 'second']


@pytest.mark.parametrize('finished', [True, False])
def test_another_option_in_the_same_folder_is_refused_by_name(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path, finished: bool) -> None:
    trainings.fails = '' if finished else 'first'
    try:
        run(content, tmp_path)
    except UserError:
        assert not finished
    content['steps']['first']['set'] = {'train': {'total_iter': 9, 'optim_r': {'lr': 0.5}}}
    with pytest.raises(UserError, match=r'train\.optim_r\.lr was 0\.1, now 0\.5') as caught:
        run(content, tmp_path)
    assert len(str(caught.value).splitlines()) <= 3
    assert trainings.names() == (['first', 'second'] if finished else [])


def test_a_training_that_is_not_finished_goes_on_with_other_options_where_they_are_asked_for(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    trainings.fails = 'second'
    with pytest.raises(UserError, match='it failed'):
        run(content, tmp_path)
    trainings.fails = ''
    recipe = Recipe.read(tmp_path / 'r.yml').continuing('second', {'train': {'optim_g': {'lr': 1e-6}}})
    run_steps(recipe, Told())
    assert [(opt['name'], opt['train'].get('optim_g', {}).get('lr')) for opt in trainings.done] == [
        ('first', None), ('second', 1e-6)]
    begun = Recipe.read(tmp_path / 'r.yml').compose('second')
    assert trainings.done[1]['train']['optim_d'] == begun['train']['optim_d']
    with pytest.raises(UserError, match=r'train\.optim_g\.lr was 1e-06, now'):  # finished: nothing goes on
        run_steps(recipe.continuing('second', {'train': {'optim_g': {'lr': 1e-7}}}), Told())


def test_other_weights_of_an_earlier_step_are_refused(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    run(content, tmp_path)
    (tmp_path / 'run/first/models/net_r_latest.pth').write_bytes(b'others')
    with pytest.raises(UserError, match=r"second/finished\.json' was begun with other options: network_r was"):
        run(content, tmp_path)


def test_weights_that_an_earlier_step_lost_are_named(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    run(content, tmp_path)
    (tmp_path / 'run/first/models/net_r_latest.pth').unlink()
    with pytest.raises(UserError, match="step 'second': weights file .* of 'first' is missing"):
        run(content, tmp_path)


def test_missing_data_is_named_with_the_command_that_makes_it(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    content['data'] = str(tmp_path / 'nowhere')
    with pytest.raises(UserError, match="has no hr.lmdb.*\nMake it: cface prepare .* --scale 4"):
        run(content, tmp_path)
    assert not (tmp_path / 'run').exists()


def test_two_runs_in_one_folder_are_refused(content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    (tmp_path / 'run').mkdir()
    with steps.exclusive_run(tmp_path / 'run'), pytest.raises(UserError, match='another run is at work'):
        run(content, tmp_path)
    run(content, tmp_path)


def test_what_is_to_be_done_after_a_step_is_done_in_its_place(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    (tmp_path / 'r.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    seen: list[tuple[str, list[str]]] = []
    run_steps(Recipe.read(tmp_path / 'r.yml'), Told(), after=lambda name: seen.append((name, trainings.names())))
    assert seen == [('first', ['first']), ('second', ['first', 'second'])]


def test_where_failures_are_collected_only_what_needs_the_failed_step_is_left_out(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    content['steps']['third'] = content['steps']['first']
    trainings.fails = 'first'
    (tmp_path / 'r.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    failed: dict[str, str] = {}
    run_steps(Recipe.read(tmp_path / 'r.yml'), Told(), failed=failed)
    assert trainings.names() == ['third']
    assert failed == {'first': 'it failed', 'second': "it starts from 'first', which failed: it failed"}


def test_other_options_are_refused_also_where_failures_are_collected(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    run(content, tmp_path)
    content['steps']['second']['set']['train']['total_iter'] = 8
    (tmp_path / 'r.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    recipe = Recipe.read(tmp_path / 'r.yml')
    with pytest.raises(steps.OtherOptions, match='total_iter was 7, now 8'):
        steps.check_same_run(recipe)
    with pytest.raises(steps.OtherOptions, match='total_iter was 7, now 8'):
        run_steps(recipe, Told(), failed={})


def test_other_data_at_the_same_place_are_refused_since_they_may_hold_people_who_were_tested(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    run(content, tmp_path)
    (tmp_path / 'data/identities.csv').write_text('key,label,original_name\na/1,0,a/1.jpg\n')
    with pytest.raises(UserError, match=r"'.*data.json' was begun with another training set: identities.csv was"):
        run(content, tmp_path)
    assert len(trainings.done) == 2


def test_what_reads_the_compare_index_is_left_out_where_the_index_failed(
        content: dict[str, Any], trainings: Trainings, tmp_path: Path) -> None:
    first, second = content['steps'].values()
    content['steps'] = {'first': first, 'index': {'index': 'first'}, 'second': second}
    failed: dict[str, str] = {}
    (tmp_path / 'r.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    run_steps(Recipe.read(tmp_path / 'r.yml'), Told(), failed=failed)  # the fake recognizer cannot be read
    assert list(failed) == ['index', 'second'] and trainings.names() == ['first']
    assert failed['second'] == f"it starts from 'index', which failed: {failed['index']}"


@pytest.mark.parametrize(('k', 'made'), [(5, False), (2, True)])
def test_an_index_of_other_neighbours_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, k: int,
                                                    made: bool) -> None:
    """`cface index` with another k leaves the file of the first, but its manifest names the new one."""
    index = tmp_path / 'index'
    index.mkdir()
    (index / 'compare_k5.npy').touch()
    (index / 'manifest.json').write_text(json.dumps({'k': k, 'images': 1, 'keys_sha256': '', 'feature_length': 8}))
    content = {'name': 'r', 'scale': 8, 'data': str(tmp_path), 'steps': {'index': {'index': 'r.pth'}}}
    recipe = Recipe(RecipeFile.model_validate(content))
    calls = []
    monkeypatch.setattr(Recipe, 'index_folder', lambda self, who: index)
    monkeypatch.setattr(steps, '_count_faces', lambda recipe: 1)
    monkeypatch.setattr(steps, 'load_recognizer', lambda path: torch.nn.Identity())
    monkeypatch.setattr('cface_basicsr.data.compare_index.build_index', lambda *given, **how: calls.append(how['k']))
    steps._index_step(recipe, 'index', Told(), 1)
    assert calls == ([5] if made else [])

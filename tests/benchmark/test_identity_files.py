"""The files that ask which identity term keeps the person: one command each, whose finished rows are taken again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.kept_rows import trainings_hash
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.cli.main import app
from cface_basicsr.measuring.results import load_results, step_name
from cface_basicsr.options import merge, read_option_file
from cface_basicsr.training import steps
from tests.onnx_file import write_onnx_recognizer
from tests.tiny_benchmark import write_tiny_faces
from tests.tiny_stages import REPOSITORY, train_one_step

OPTIONS = REPOSITORY / 'options/benchmark'
ROWS = {
    'identity': ['Pixels', 'L_SI 0.05', 'L_CF (6)', 'L_SI 0.15', 'L_CF (6), a third', 'L_CF (5)',
                 'L_CF (6), two recognizers', 'L_CF (6), views'],
    'identity_compare': ['Pixels', 'k = 1', 'k = 3', 'k = 5', 'random'],
    'identity_stages': ['C-Face-v1, continued', 'C-Face-v2'],
}
ROWS['identity_rdn'] = ROWS['identity']
SEEDS = {'identity': [0, 1, 2], 'identity_compare': [0, 1, 2], 'identity_stages': [0, 1, 2], 'identity_rdn': [0]}


def run_of(name: str, backbone: str = 'EDSR') -> Any:
    file = read_benchmark(OPTIONS / f'{name}.yml', {'recognizer': 'a.onnx', 'backbone': backbone})
    return file, make_plan(file, None, file.budget.images)


@pytest.mark.parametrize('name', ROWS)
def test_each_file_has_its_rows_and_seeds_and_the_judge_first(name: str) -> None:
    file, plan = run_of(name)
    assert file.seeds == SEEDS[name] and list(file.recognizers) == ['judge', 'loss']
    assert all([row.title for row in run.rows] == ROWS[name] for run in plan.runs)
    assert 'judge' not in plan.led() and set(plan.led()['loss']) == {*ROWS[name]} - {'Pixels'}


@pytest.mark.parametrize('backbone', ['EDSR', 'SRGAN', 'RDN'])
def test_all_rows_of_a_seed_go_on_from_one_warm_up_by_as_many_images(backbone: str) -> None:
    _, plan = run_of('identity', backbone)
    for run in plan.runs:
        starts = {run.recipe.trainings[row.step].weights['network_g'] for row in run.rows}
        assert len(starts) == 1 and {run.recipe.own_images(row.step) for row in run.rows} == {800 * 8}
        losses = {row.title: run.recipe.compose(row.step)['train'].get('cface_opt') for row in run.rows}
        assert {title: loss and (loss['gamma1'], loss['gamma2'], loss['margin']) for title, loss in losses.items()} == {
            'Pixels': None, 'L_SI 0.05': (0.05, 0, True), 'L_SI 0.15': (0.15, 0, True), 'L_CF (6)': (0.05, 0.1, True),
            'L_CF (6), a third': (0.016667, 0.033333, True), 'L_CF (5)': (0.05, 0.1, False),
            'L_CF (6), two recognizers': (0.05, 0.1, True), 'L_CF (6), views': (0.05, 0.1, True)}


def test_the_rows_of_the_compare_face_differ_in_it_and_in_nothing_else() -> None:
    _, plan = run_of('identity_compare')
    run, found, others = plan.runs[0], {}, []
    for row in run.rows[1:]:
        opt = json.loads(json.dumps(run.recipe.compose(row.step)).replace(row.step, 'row'))
        found[row.title] = tuple(opt['datasets']['train'].pop(key) for key in ('compare_mode', 'k'))
        others.append(opt)
    assert found == {'k = 1': ('nearest', 1), 'k = 3': ('nearest', 3), 'k = 5': ('nearest', 5), 'random': ('random', 3)}
    assert all(opt == others[0] for opt in others)


def test_version_2_and_version_1_go_on_from_one_stage_1_by_as_many_images() -> None:
    _, plan = run_of('identity_stages')
    for run in plan.runs:
        one, two = (run.recipe.compose(row.step) for row in run.rows)
        assert one['path']['pretrain_network_g'] == two['path']['pretrain_network_g']
        assert 'recognition_opt' not in one['train'] and two['train']['recognition_opt']['type'] == 'ASoftmaxLoss'
        assert 'pretrain_network_r' not in one['path'] and '_stage3/' in two['path']['pretrain_network_r']
        for key in ('total_iter', 'content_opt', 'cface_opt', 'optim_g'):
            assert one['train'][key] == two['train'][key]
        assert one['datasets']['train'] == two['datasets']['train'] and one['manual_seed'] == two['manual_seed']


COMMITTED = {'edsr': ('identity', 'EDSR'), 'srresnet': ('identity', 'SRGAN'), 'rdn': ('identity_rdn', 'RDN'),
             'compare': ('identity_compare', 'EDSR'), 'stages': ('identity_stages', 'EDSR')}
"""Folder of docs/results/identity -> the file whose rows it holds, and their backbone."""


@pytest.mark.parametrize('folder', sorted({path.parent for path in (REPOSITORY / 'docs/results/identity').glob(
    '*/*.json')}), ids=lambda path: path.name)
def test_the_rows_that_are_committed_are_still_those_of_the_files(folder: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise `--rows` would refuse them, and train them anew."""
    name, backbone = COMMITTED[folder.name]
    (tmp_path / 'mobilefacenet_112.onnx').touch()
    monkeypatch.setattr('cface_basicsr.files.recognizer_file.recognizer_hash', lambda file: '0c9ad2a83969')
    file = read_benchmark(OPTIONS / f'{name}.yml', {'recognizer': str(tmp_path / 'mobilefacenet_112.onnx'),
                                                    'backbone': backbone})
    plan = make_plan(file, tmp_path, file.budget.images)
    rows = {f'x8_{step_name(row.title)}_seed{run.seed}.json': trainings_hash(run.recipe, row, plan.recognizers)
            for run in plan.runs for row in run.rows}
    committed = {path.name: json.loads(path.read_text())['of']['options'] for path in folder.glob('*.json')}
    assert committed and committed == {name: rows[name] for name in committed}


# ------------------------------------------------------------------------------------- started, with one-step trainings

@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cuts every training to one step, and lists them."""
    names: list[str] = []

    def one_step(options: Path, log: Path, progress: Any, processes: int = 1) -> None:
        opt = merge(read_option_file(options), {'num_gpu': 0, 'datasets': {'train': {
            'batch_size': 2, 'num_worker_per_gpu': 0, 'persistent_workers': False}}})
        names.append(train_one_step(opt, tmp_path / 'parsed').opt['name'])

    monkeypatch.setattr(steps, 'run_training', one_step)
    monkeypatch.setattr(steps, '_mark_finished', lambda *args, **kwargs: None)
    return names


def start(folder: Path, name: str) -> tuple[int, str]:
    """The command of a file, with its first seed, on tiny faces and as few images as all phases need."""
    content = {'base': str(OPTIONS / f'{name}.yml'), 'seeds': [0], 'budget': {'images': 30 * 8},
               'tests': {'held-out': {'folds': 4}}}
    (folder / 'file.yml').write_text(yaml.safe_dump(content))
    done = CliRunner().invoke(app, ['benchmark', str(folder / 'file.yml'), '--value', 'backbone=EDSR', '--value',
                                    f'recognizer={folder}/recognizer.onnx', '--data', str(folder / 'data'),
                                    '--out', str(folder / 'run'), '--rows', str(folder / 'rows')])
    return done.exit_code, done.output + repr(done.exception)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['identity', 'identity_compare', 'identity_stages'])
def test_one_command_gives_all_rows_and_the_next_start_trains_none_of_them(name: str, trained: list[str],
                                                                          tmp_path: Path) -> None:
    write_tiny_faces(tmp_path)
    write_onnx_recognizer(tmp_path / 'recognizer.onnx')
    code, output = start(tmp_path, name)
    assert code == 0, output
    first = load_results(tmp_path / 'run')
    assert first.systems == ['HR', 'Bicubic', *ROWS[name]] and not first.failed()
    assert len(list((tmp_path / 'rows').glob('*.json'))) == len(list((tmp_path / 'rows').glob('*.npz'))) == len(
        ROWS[name])
    assert trained.count('second') == (name == 'identity')
    trained.clear()
    shutil.rmtree(tmp_path / 'run')
    code, output = start(tmp_path, name)
    assert code == 0, output
    assert {*trained} <= {'second'}
    again = load_results(tmp_path / 'run')
    assert [(run.system, run.measured) for run in again.runs] == [(run.system, run.measured) for run in first.runs]

"""Throughput: read from a file or measured, and what follows from them for a plan."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cface_basicsr.benchmark import throughput
from cface_basicsr.benchmark.collect import describe_width
from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import Plan, make_plan
from cface_basicsr.benchmark.run import describe_plan, images_in, plan_as_text, plan_benchmark
from cface_basicsr.benchmark.systems import SYSTEMS
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.options import read_option_file
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.runtime import describe_seconds
from tests.narrow import narrow_networks
from tests.onnx_file import write_onnx_recognizer
from tests.tiny_benchmark import tiny_benchmark, write_benchmark
from tests.tiny_stages import REPOSITORY
from tests.training.test_steps import Told

KEYS = ('recognizers/recognizer', 'x8/edsr', 'x8/c_face_v2_warmup', 'x8/c_face_v2_stage1', 'x8/c_face_v2_stage3',
        'x8/c_face_v2_stage4')


def plan_of(folder: Path, images: int = 800, **changes: Any) -> Plan:
    file = read_benchmark(write_benchmark(folder, tiny_benchmark(**changes)))
    return make_plan(file, folder / 'run', images)


def throughput_file(folder: Path, seconds: dict[str, float]) -> Path:
    (folder / 'throughput.json').write_text(json.dumps({'device': 'an abacus', 'seconds_an_image': seconds}))
    return folder / 'throughput.json'


def test_hours_follow_from_images_and_throughput(tmp_path: Path) -> None:
    """800 images a row: EDSR 800; C-Face-v2 400 + 200 + 200, and 400 through stage 3; 4 steps of 8 for CNN_R."""
    plan = plan_of(tmp_path)
    given = throughput_file(tmp_path, dict(zip(KEYS, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True)))
    found = throughput.find_throughput(plan, given, Told())
    assert found[1:] == ({}, 'an abacus')
    described = describe_plan(plan, *found)
    assert {row['step']: (row['images'], row['hours']) for row in described['trainings']} == {
        'recognizer': (32, 32 / 3600), 'edsr': (800, 1600 / 3600), 'c_face_v2_warmup': (400, 1200 / 3600),
        'c_face_v2_stage1': (200, 800 / 3600), 'c_face_v2_stage3': (400, 2000 / 3600),
        'c_face_v2_stage4': (200, 1200 / 3600)}
    assert [(row['row'], row['images'], row['hours']) for row in described['rows']] == [
        ('EDSR', 800, 1600 / 3600), ('C-Face-v2', 800, 5200 / 3600)]
    assert described['hours'] == pytest.approx(6832 / 3600)
    text = plan_as_text(described)
    assert 'x8/seed0/edsr' in text and '0.444' in text and '6 trainings, about 1.90 hours' in text


def test_a_plan_is_printed_without_measuring_and_says_how_hours_become_known(tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, '_measure', lambda missing, show: pytest.fail('it measured'))
    path = write_benchmark(tmp_path, tiny_benchmark(budget={'images': 800}))
    done = CliRunner().invoke(app, ['benchmark', str(path), '--plan', '--out', str(tmp_path / 'run')])
    assert done.exit_code == 0, done.output
    assert re.search(r'^x8/seed0/edsr +800 +200 +–$', done.stdout, re.M)
    assert re.search(r'^recognizers/recognizer +32 +4 +–$', done.stdout, re.M)
    assert f"6 trainings. Hours are not known yet: --measure times a few real steps of each training here and keeps " \
        f"them in '{tmp_path}/run/throughput.json', a file that --throughput takes on another machine." in done.stdout
    given = throughput_file(tmp_path, {'x8/edsr': 3.6})
    done = CliRunner().invoke(app, ['benchmark', str(path), '--plan', '--throughput', str(given)])
    assert 'about 0.80 hours on an abacus for 1 of them' in done.stdout and 'For the others: --measure' in done.stdout
    measured = []
    monkeypatch.setattr(throughput, '_measure', lambda missing, show: (measured.append(set(missing))
                                                                       or dict.fromkeys(missing, 1.0), {}))
    done = CliRunner().invoke(app, ['benchmark', str(path), '--plan', '--measure', '--throughput', str(given),
                                    '--out', str(tmp_path / 'run')])
    assert measured == [set(KEYS) - {'x8/edsr'}] and '6 trainings, about' in done.stdout


def test_a_plan_of_minutes_needs_throughput(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, '_measure', lambda missing, show: pytest.fail('it measured'))
    path = write_benchmark(tmp_path, tiny_benchmark(budget={'minutes': 100}))
    done = CliRunner().invoke(app, ['benchmark', str(path), '--plan', '--out', str(tmp_path / 'run')])
    assert isinstance(done.exception, UserError)
    assert "which is not measured yet.\nAdd --measure, give it by --throughput FILE" in str(done.exception)


def test_minutes_become_one_number_of_images_for_all(tmp_path: Path) -> None:
    """A row's image costs 2 s in EDSR, and 0.5 3 + 0.25 4 + 0.5 5 + 0.25 6 s in C-Face-v2: 8.5 s together."""
    plan = plan_of(tmp_path, images=8_000_000)
    known = dict(zip(KEYS, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True))
    assert images_in(100, plan, known, {}) == int(6000 / 8.5) // 4 * 4
    with pytest.raises(UserError, match='less than one batch'):
        images_in(0.1, plan, known, {})
    del known['x8/edsr']
    with pytest.raises(UserError, match="needs the throughput of 'x8/edsr', which could not be measured: no VGG19"):
        images_in(100, plan, known, {'x8/edsr': 'no VGG19'})


def test_a_budget_in_minutes_stays_what_it_was_when_a_run_continues(tmp_path: Path) -> None:
    file = read_benchmark(write_benchmark(tmp_path, tiny_benchmark(budget={'minutes': 100})))
    given = throughput_file(tmp_path, dict.fromkeys(KEYS, 1.0))
    first = plan_benchmark(file, tmp_path / 'run', given, Told())
    given = throughput_file(tmp_path, dict.fromkeys(KEYS, 2.0))  # the machine is slower now
    assert plan_benchmark(file, tmp_path / 'run', given, Told()).images == first.images
    assert plan_benchmark(file, tmp_path / 'other', given, Told()).images < first.images


@pytest.mark.parametrize('text', ['', '[]', '{"x8/edsr": 1}', '{"seconds_an_image": {"x8/edsr": "fast"}}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / 'r.json').write_text(text)
    with pytest.raises(UserError, match='is not a file of measured throughput'):
        throughput.read_throughput(tmp_path / 'r.json')


@pytest.mark.slow
def test_a_few_real_steps_give_a_throughput_and_are_not_repeated(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, systems=['EDSR'])
    given = throughput_file(tmp_path, {'recognizers/recognizer': 1.0})
    told = Told()
    found, unknown, _ = throughput.find_throughput(plan, given, told)
    assert unknown == {} and 0 < found['x8/edsr'] < 10 and found['recognizers/recognizer'] == 1.0
    assert told.started == [('measuring throughput', 1)]
    monkeypatch.setattr(throughput, '_measure', None)  # it would be called if anything were measured again
    assert throughput.find_throughput(plan, given, Told())[0] == found


def test_a_file_that_does_not_say_what_was_measured_is_measured_again(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, systems=['EDSR'])
    given = throughput_file(tmp_path, {'recognizers/recognizer': 1.0})
    plan.out.mkdir()
    path = plan.out / throughput.FILE
    path.write_text(json.dumps({'device': throughput.describe_device(), 'seconds_an_image': {'x8/edsr': 9.0}}))
    monkeypatch.setattr(throughput, '_measure', lambda missing, show: (dict.fromkeys(missing, 2.0), {}))
    assert throughput.find_throughput(plan, given, Told())[0]['x8/edsr'] == 2.0
    assert list(json.loads(path.read_text())['options']) == ['x8/edsr']


def test_a_throughput_belongs_to_networks_losses_and_batch_not_to_length_and_seed(tmp_path: Path) -> None:
    def mark(**changes: Any) -> str:
        return throughput.options_hash(plan_of(tmp_path, **changes).runs[0].recipe.compose('edsr'))
    assert mark() == mark(images=1600) == mark(seeds=[3])
    assert len({mark(), mark(batch=8), mark(widths={'EDSR': {'num_feat': 8}})}) == 3


def test_what_is_left_is_told_by_the_throughput(tmp_path: Path) -> None:
    """EDSR's 800 images at 2 s each took 80 s in truth, so the 5,200 s of C-Face-v2 and 32 s of CNN_R take 262 s."""
    plan = plan_of(tmp_path)
    known = dict(zip(KEYS, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True))
    eta = throughput.Eta(plan, known, Told()).follow(plan.runs[0].recipe)
    assert eta.ended('index', 5.0) == ''
    assert eta.ended('edsr', 80.0) == '; about 4 min of training left'
    assert eta.ended('c_face_v2_warmup', None) == ''  # finished before: it says nothing of the speed


def test_the_time_left_follows_from_what_was_watched_of_a_training_that_went_on_or_failed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(throughput.time, 'monotonic', lambda: now[0])
    plan, told = plan_of(tmp_path), Told()
    eta = throughput.Eta(plan, {}, told).follow(plan.runs[0].recipe)
    costs = {step: cost for (folder, step), cost in eta.left.items() if folder == plan.runs[0].recipe.out}
    first, second, third = list(costs)[:3]

    def step(name: str, *reports: tuple[float, int], note: str = 'done') -> str:
        eta.start(name, 100)
        for seconds, done in reports:
            now[0] += seconds
            eta.advance(done)
        now[0] += 50  # it saves, and ends
        eta.end(name, note)
        return told.ended[-1][1]
    assert step(first, (5, 0), (2, 3), note='failed: NaN').startswith('failed: NaN; about ')
    whole = sum(eta.left.values())
    rate = 2 / (0.03 * costs[first])
    assert told.ended[-1][1].endswith(f'; about {describe_seconds(rate * whole)} of training left')
    assert step(second, note='failed: no GPU') == 'failed: no GPU'  # it says nothing of the speed
    step(third, (5, 60), (40, 100))  # it went on from iteration 60
    rate = 42 / (0.03 * costs[first] + 0.4 * costs[third])
    assert told.ended[-1][1] == f'done; about {describe_seconds(rate * sum(eta.left.values()))} of training left'


PUBLISHED = {
    'edsr': 115878,
    'srgan_mse': 96565, 'srgan_gan': 19313,  # 10 and 2 of 12 parts
    'sicnn_pre': 103003, 'sicnn_train': 12875,  # 8 and 1 of 9
    'esrgan_psnr': 82770, 'esrgan_gan': 33108,  # 10 and 4 of 14
    'c_face_v1_stage1': 115878,
    'c_face_v2_stage1': 77252, 'c_face_v2_stage3': 154504, 'c_face_v2_stage4': 38626}  # 10, 5; 20 of D_HR and D_SR
"""Steps of 64 in some trainings: floor(7,416,210 / 64) = 115,878 for a row, shared as the published schedules are."""


def test_the_papers_whole_setup_is_planned_without_data_or_training(tmp_path: Path) -> None:
    file = read_benchmark(REPOSITORY / 'options/benchmark/paper.yml')
    plan = make_plan(file, tmp_path / 'run', file.budget.images)
    assert {describe_width(run.recipe, row.step) for run in plan.runs for row in run.rows} == {'full'}
    keys = [key for key, _, _ in throughput.trainings(plan)]
    rate = {key: 0.001 * number for number, key in enumerate(keys, 1)}  # each its own, so that a mix-up is seen
    arguments = ['benchmark', str(REPOSITORY / 'options/benchmark/paper.yml'), '--plan', '--throughput',
                 str(throughput_file(tmp_path, rate)), '--out', str(tmp_path / 'run')]
    done = CliRunner().invoke(app, [*arguments, '--json'])
    assert done.exit_code == 0, done.output
    described = json.loads(done.stdout)
    found = {f"{row['run'].split('/')[0]}/{row['step']}": row for row in described['trainings']}
    images = dict.fromkeys(['recognizers/cnn_r', 'recognizers/judge'], 28000 * 256) | {  # stage 0's own
        f'x{scale}/{step}': 64 * count for scale in (2, 4, 8) for step, count in PUBLISHED.items()}
    assert list(found) == keys
    assert {key: found[key]['images'] for key in images} == images
    assert all(row['hours'] == pytest.approx(row['images'] * rate[key] / 3600) for key, row in found.items())
    hours = {(row['row'], row['scale']): row['hours'] for row in described['rows']}
    assert {scale for _, scale in hours} == {2, 4, 8}
    assert list(hours) == [(row.title, run.scale) for run in plan.runs for row in run.rows]
    for run, row in [(each, row) for each in plan.runs for row in each.rows]:
        steps = {step: found[f'x{run.scale}/{step}'] for step in row.steps if f'x{run.scale}/{step}' in found}
        assert hours[row.title, run.scale] == pytest.approx(sum(step['hours'] for step in steps.values())), row.title
        of_generator = [step['images'] for name, step in steps.items() if 'network_g' in run.recipe.compose(name)]
        assert row.title == 'ESRGAN (PSNR)' or sum(of_generator) == 7416192
    assert {row['images'] for row in described['rows'] if row['row'] != 'ESRGAN (PSNR)'} == {7416192}
    assert described['hours'] == pytest.approx(sum(row['hours'] for row in described['trainings']))
    assert not (tmp_path / 'run').exists()
    assert 'x2/seed0/edsr' in CliRunner().invoke(app, arguments).stdout


# ------------------------------------------------------------------------------------------- measured by stand-ins

def narrow_benchmark(**changes: Any) -> dict[str, Any]:
    """Every system at x8 in batches of two, its losses those of the option files."""
    widths: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for system in SYSTEMS.values():
        for phase in (phase for phase in system.phases if phase.options):
            networks = narrow_networks(read_option_file(find_option_file(phase.options)))
            widths |= {system.name: networks['network_g']} if 'network_g' in networks else {}
            settings.setdefault(system.name, {})[phase.name] = {
                key: value for key, value in networks.items() if key == 'network_d' and key not in phase.set}
    content = tiny_benchmark(batch=2, budget={'images': 200}, systems='all', widths=widths, shares={}, set=settings)
    content['steps']['recognizer']['set']['datasets']['train']['batch_size'] = 2
    return content | changes


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No VGG19 on the machine, and the two images of a first look are all that is timed."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    monkeypatch.setattr(throughput, 'LONG', 0.0)
    return tmp_path


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of each training that was really run."""
    options: list[dict[str, Any]] = []
    run = throughput.run_training
    monkeypatch.setattr(throughput, 'run_training',
                        lambda path, *others: (options.append(read_option_file(path)), run(path, *others)))
    return options


def perceptual(opt: dict[str, Any]) -> list[tuple[str, str]]:
    """(layer, name of the weights file) of a training's VGG19 terms."""
    return [(section['layer'], Path(section.get('weights') or '').name) for section in opt['train'].values()
            if isinstance(section, dict) and str(section.get('type')).startswith('VGG')]


def composed(plan: Plan) -> list[dict[str, Any]]:
    """The options of each training of a plan."""
    return [recipe.compose(step) for _, recipe, step in throughput.trainings(plan)]


def assert_all_measured(plan: Plan) -> None:
    """A throughput for each training: none is unknown, each is seconds of an image."""
    found, unknown, _ = throughput.find_throughput(plan, None, Told())
    assert unknown == {}
    assert set(found) == {key for key, _, _ in throughput.trainings(plan)}
    assert all(math.isfinite(value) and value > 0 for value in found.values()), found


@pytest.mark.slow
def test_every_system_is_measured_where_there_are_no_data_and_no_weights(
        no_weights: Path, measured: list[dict[str, Any]]) -> None:
    plan = make_plan(read_benchmark(write_benchmark(no_weights, narrow_benchmark())), no_weights / 'run', 200)
    assert {row.system for row in plan.runs[0].rows} == set(SYSTEMS)
    assert_all_measured(plan)
    wanted = [(layer, 'vgg19.pth') for opt in composed(plan) for layer, _ in perceptual(opt)]
    assert {layer for layer, _ in wanted} >= {'relu5_4', 'conv5_4', 'relu3_1'}
    assert [loss for opt in measured for loss in perceptual(opt)] == wanted
    assert all(opt['datasets']['train']['batch_size'] == 2 for opt in measured)
    assert len(measured) == len(composed(plan))


@pytest.mark.slow
def test_systems_that_learn_by_an_onnx_recognizer_are_measured(no_weights: Path) -> None:
    write_onnx_recognizer(no_weights / 'r.onnx', feature_length=16)
    path = str(no_weights / 'r.onnx')
    content = narrow_benchmark(systems=['SICNN', 'C-Face-v2'], steps={}, recognizers={'loss': path})
    content['common']['network_r'] = {'type': 'OnnxRecognizer', 'file': path}
    plan = make_plan(read_benchmark(write_benchmark(no_weights, content)), no_weights / 'run', 200)
    assert any(opt['network_r']['type'] == 'OnnxRecognizer' for opt in composed(plan) if 'network_r' in opt)
    assert_all_measured(plan)

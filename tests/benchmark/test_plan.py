"""From a benchmark file to recipes: one budget, published proportions, hand-over, equal phases once."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from cface_basicsr.benchmark.collect import describe_width
from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import Plan, PlannedRow, PlannedRun, make_plan, phase_iterations, step_name
from cface_basicsr.benchmark.systems import SYSTEMS, Phase
from cface_basicsr.benchmark.throughput import trainings
from cface_basicsr.errors import UserError
from cface_basicsr.training.recipe import iterations
from tests.tiny_benchmark import tiny_benchmark, write_benchmark
from tests.tiny_stages import REPOSITORY

FILES = sorted(path for folder in ('benchmark', 'ablation') for path in (REPOSITORY / 'options' / folder).glob('*.yml')
               if path.name != 'small.yml')


def plan_of(folder: Path, images: int = 480, **changes: Any) -> Plan:
    file = read_benchmark(write_benchmark(folder, tiny_benchmark(**changes)))
    return make_plan(file, folder / 'run', images)


def options_without(run: PlannedRun, row: PlannedRow, keys: Iterable[str]) -> dict[str, Any]:
    """Phase -> the options of each training of a row, without some keys ('train.cface_opt.margin'; absent ones, too).

    Steps are called by their phases, also in paths: rows whose folders alone have other names become equal.
    """
    phases = dict(row.phases) or {row.step: 'only'}
    text = json.dumps({phases[step]: run.recipe.compose(step) for step in row.steps
                       if step in run.recipe.trainings})
    for step, phase in phases.items():
        text = text.replace(step, phase)
    composed = json.loads(text)
    for opt in composed.values():
        for key in keys:
            *sections, last = key.split('.')
            section = opt
            for name in sections:
                section = section.get(name, {})
            section.pop(last, None)
    return composed


@pytest.mark.parametrize('path', FILES, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_every_row_of_every_file_that_comes_with_the_plugin_has_the_same_budget(path: Path) -> None:
    file = read_benchmark(path, {'recognizer': 'a.onnx', 'backbone': 'EDSR'})
    plan = make_plan(file, None, file.budget.images)
    for run in plan.runs:
        seen = {row.title: run.recipe.images(row.step) for row in run.rows}
        first_phase = seen.pop('ESRGAN (PSNR)', None)
        assert set(seen.values()) == {file.budget.images // file.batch * file.batch}
        assert first_phase is None or first_phase < file.budget.images


def test_the_demo_trains_every_system_for_at_least_150_steps_of_16() -> None:
    file = read_benchmark(REPOSITORY / 'options/benchmark/demo.yml')
    run = make_plan(file, None, file.budget.images).runs[0]
    assert file.batch == 16 and {row.system for row in run.rows} == set(SYSTEMS)
    assert all(run.recipe.images(row.step) >= 150 * 16 for row in run.rows if row.title != 'ESRGAN (PSNR)')


def test_the_page_of_results_says_how_many_trainings_the_demo_has() -> None:
    file = read_benchmark(REPOSITORY / 'options/benchmark/demo.yml')
    planned = list(trainings(make_plan(file, None, file.budget.images)))
    text = (REPOSITORY / 'docs/results/README.md').read_text(encoding='utf-8')
    assert f'two CPU cores: {len(planned)} trainings' in text


def test_no_two_rows_of_the_demo_share_a_training() -> None:
    file = read_benchmark(REPOSITORY / 'options/benchmark/demo.yml')
    run = make_plan(file, None, file.budget.images).runs[0]
    by_system: dict[str, set[str]] = {}
    for row in run.rows:
        by_system.setdefault(row.system, set()).update(row.steps)
    names = [name for steps in by_system.values() for name in steps]
    names = [name for name in names if name != 'index']  # both C-Face rows need it
    assert len(names) == len(set(names))


def test_phases_divide_the_budget_as_the_published_schedules_do() -> None:
    phases = [phase for phase in SYSTEMS['C-Face-v2'].phases if phase.share]
    assert phase_iterations(phases, images=15 * 64 * 100, batch=64, system='C-Face-v2') == {
        'stage1': 1000, 'stage3': 2000, 'stage4': 500}  # 10 and 5 epochs; stage 3: 10 epochs of twice the images
    assert phase_iterations(SYSTEMS['ESRGAN'].phases, 1400 * 16, 16, 'ESRGAN') == {'psnr': 1000, 'gan': 400}


def test_rounding_loses_no_step() -> None:
    phases = [Phase(name, 'x') for name in 'abc']
    assert phase_iterations(phases, 100, 1, 'x') == {'a': 33, 'b': 34, 'c': 33}


def test_a_budget_that_leaves_a_phase_no_step_is_refused() -> None:
    with pytest.raises(UserError, match="leave no step for phase 'b' of X"):
        phase_iterations([Phase('a', 'x', 9.0), Phase('b', 'x', 0.1)], 40, 4, 'X')


def test_milestones_batch_seed_and_width_are_the_benchmarks(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, images=300 * 4, systems=['EDSR'], seeds=[7])
    opt = plan.runs[0].recipe.compose('edsr')
    assert opt['train']['scheduler']['milestones'] == [200]  # 200,000 of 300,000
    assert opt['train']['total_iter'] == 300
    assert (opt['datasets']['train']['batch_size'], opt['manual_seed']) == (4, 7)
    assert (opt['network_g']['num_feat'], opt['network_g']['upscale']) == (4, 8)
    assert 'val' not in opt and 'val' not in opt['datasets']  # the test set is not looked at while training


def test_averaging_is_alike_for_all_generators(tmp_path: Path) -> None:
    recipe = plan_of(tmp_path, ema_decay=0.9).runs[0].recipe
    decays = {name: recipe.compose(name)['train'].get('ema_decay') for name in recipe.trainings}
    assert decays == {'edsr': 0.9, 'c_face_v2_warmup': 0.9, 'c_face_v2_stage1': 0.9, 'c_face_v2_stage3': None,
                      'c_face_v2_stage4': 0.9}


def test_weights_are_handed_over_along_the_stages(tmp_path: Path) -> None:
    recipe = plan_of(tmp_path).runs[0].recipe
    steps = recipe.file.steps
    recognizer = str(tmp_path / 'run/recognizers/recognizer/models/net_r_latest.pth')
    assert steps['c_face_v2_stage1'].weights == {'network_g': 'c_face_v2_warmup', 'network_r': recognizer}
    assert steps['c_face_v2_stage3'].weights == {'network_r': recognizer,
                                                 'network_c': recognizer.replace('net_r', 'net_c')}
    assert steps['c_face_v2_stage4'].weights == {
        'network_g': 'c_face_v2_stage1', 'network_d': 'c_face_v2_stage1', 'network_r': 'c_face_v2_stage3',
        'network_c': 'c_face_v2_stage3'}
    assert steps['c_face_v2_stage3'].d_sr == 'c_face_v2_stage2' and steps['index'].index == recognizer


def test_a_recognizer_from_an_onnx_file_brings_no_classifier(tmp_path: Path) -> None:
    recipe = plan_of(tmp_path, recognizers={'loss': 'a.onnx'}, steps={}).runs[0].recipe
    assert recipe.file.steps['c_face_v2_stage1'].weights == {'network_g': 'c_face_v2_warmup'}
    assert recipe.file.steps['c_face_v2_stage3'].weights == {}
    assert recipe.file.steps['index'].index == 'a.onnx'


def test_a_row_needs_all_that_it_starts_from_and_nothing_else(tmp_path: Path) -> None:
    rows = {row.title: row for row in plan_of(tmp_path).runs[0].rows}
    assert rows['EDSR'].steps == ('edsr',) and rows['EDSR'].pixel
    assert rows['C-Face-v2'].steps == ('index', *(f'c_face_v2_{name}' for name in (
        'warmup', 'stage1', 'stage2', 'stage3', 'stage4')))
    assert not rows['C-Face-v2'].pixel


def test_a_phase_without_a_share_is_left_out(tmp_path: Path) -> None:
    recipe = plan_of(tmp_path, shares={'C-Face-v2': {'stage3': 0}}).runs[0].recipe
    assert set(recipe.file.steps) == {'edsr', 'index', 'c_face_v2_stage1', 'c_face_v2_stage4'}
    stage4 = recipe.file.steps['c_face_v2_stage4'].weights
    assert stage4['network_r'].endswith('recognizers/recognizer/models/net_r_latest.pth')  # version 2-3 of the paper
    assert stage4['network_c'].endswith('recognizers/recognizer/models/net_c_latest.pth')


def test_recipes_are_one_for_each_scale_and_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, scales=[2, 8], seeds=[0, 1])
    assert [str(run.recipe.out.relative_to(tmp_path)) for run in plan.runs] == [
        'run/x2/seed0', 'run/x2/seed1', 'run/x8/seed0', 'run/x8/seed1']
    assert plan.runs[0].recipe.compose('edsr')['scale'] == 2
    assert str(plan.recognizers.out.relative_to(tmp_path)) == 'run/recognizers'


def test_equal_phases_of_an_ablation_are_trained_once() -> None:
    file = read_benchmark(REPOSITORY / 'options/ablation/training.yml')
    plan = make_plan(file, None, file.budget.images)
    rows = {row.title: row.steps for row in plan.runs[0].rows}
    assert rows['version 2'][:3] == rows['version 2-1'][:3] == rows['version 2-2'][:3]  # index, stage 1, D_SR
    assert rows['version 2-3'] == (*rows['version 2'][:2], 'version_2_3_stage4')
    assert len({rows[name][3] for name in ('version 2', 'version 2-1', 'version 2-2')}) == 3  # three stage 3


def test_the_versions_of_table_7_differ_as_the_paper_says() -> None:
    file = read_benchmark(REPOSITORY / 'options/ablation/training.yml')
    recipe = make_plan(file, None, file.budget.images).runs[0].recipe
    stage3 = {name: recipe.compose(f'{name}_stage3') for name in ('version_2', 'version_2_1', 'version_2_2')}
    stores = {name: [Path(root).name.split('_')[0] for root in opt['datasets']['train']['dataroot_gt']]
              for name, opt in stage3.items()}
    assert stores == {'version_2': ['hr.lmdb', 'sr'], 'version_2_1': ['sr'], 'version_2_2': ['sr']}
    assert [set(stage3[name]['path']) - {'experiments_root'} for name in stage3] == [
        {'pretrain_network_r', 'pretrain_network_c'}] * 2 + [set()]
    from_scratch = stage3['version_2_2']['train']
    total = iterations(stage3['version_2_2'])
    assert from_scratch['optim_r']['schedule']['milestones'] == [round(total * 16 / 28), round(total * 24 / 28)]


def test_the_rows_of_table_6_differ_in_the_compare_image_alone() -> None:
    file = read_benchmark(REPOSITORY / 'options/ablation/compare.yml')
    run = make_plan(file, None, file.budget.images).runs[0]
    found = {}
    for row in run.rows:
        for stage in ('stage1', 'stage4'):
            data = run.recipe.compose(f'{step_name(row.title)}_{stage}')['datasets']['train']
            found[row.title, stage] = (data['compare_mode'], data['k'])
    wanted = {'Random': ('random', 3), **{f'k={k}': ('nearest', k) for k in range(1, 6)}}
    assert found == {(title, stage): value for title, value in wanted.items() for stage in ('stage1', 'stage4')}
    keys = ('datasets.train.compare_mode', 'datasets.train.k')
    first, *others = [options_without(run, row, keys) for row in run.rows]
    assert set(first) == {'stage1', 'stage3', 'stage4'} and all(other == first for other in others)


def test_the_rows_of_the_loss_differ_in_the_loss_alone() -> None:
    file = read_benchmark(REPOSITORY / 'options/ablation/loss.yml')
    run = make_plan(file, None, file.budget.images).runs[0]
    losses = {row.title: run.recipe.compose(row.step)['train']['cface_opt'] for row in run.rows}
    assert {title: (loss['margin'], loss['distance']) for title, loss in losses.items()} == {
        '(6) normalized': (True, 'normalized'), '(5) normalized': (False, 'normalized'), '(6) l2': (True, 'l2'),
        '(6) cosine': (True, 'cosine')}
    keys = ('train.cface_opt.margin', 'train.cface_opt.distance')
    first, *others = [options_without(run, row, keys) for row in run.rows]
    assert set(first) == {'only'} and all(other == first for other in others)


def test_the_rows_of_what_l_cf_sees_differ_in_views_and_recognizers_alone() -> None:
    file = read_benchmark(REPOSITORY / 'options/ablation/recognizer.yml')
    plan = make_plan(file, None, file.budget.images)
    run = plan.runs[0]
    found = {row.title: run.recipe.compose(row.step)['train'] for row in run.rows}
    assert {title: (bool(train.get('views')), train.get('more_recognizers')) for title, train in found.items()} == {
        'L_CF': (False, None), 'L_CF, views': (True, None), 'L_CF, both': (True, [plan.recognizer_file('second')]),
        'L_CF, two recognizers': (False, [plan.recognizer_file('second')])}
    first, *others = [options_without(run, row, ('train.views', 'train.more_recognizers')) for row in run.rows]
    assert all(other == first for other in others)
    assert plan.led() == {'sphereface': list(found)}


def test_two_systems_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two systems would be trained in a folder 'k_1'"):
        plan_of(tmp_path, systems='all', variants={'k=1': {'of': 'EDSR'}, 'k 1': {'of': 'EDSR'}})


# ------------------------------------------------------------------------------------------------ any backbone

BACKBONES = {'C-Face-v1 (EDSR)': {'of': 'C-Face-v1', 'backbone': 'EDSR'},
             'C-Face-v2 (RDN)': {'of': 'C-Face-v2', 'backbone': 'RDN'},
             'C-Face-v1 (RCAN)': {'of': 'C-Face-v1', 'backbone': {
                 'type': 'RCAN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_group': 1, 'num_block': 1,
                 'squeeze_factor': 1}}}


def test_a_system_on_another_backbone_has_its_generator_its_widths_and_the_same_budget_in_all_phases(
        tmp_path: Path) -> None:
    widths = {'EDSR': {'num_feat': 4, 'num_block': 1}, 'RDN': {'num_feat': 6}, 'C-Face-v1': {'num_feat': 8},
              'C-Face-v2 (RDN)': {'num_layer': 2}}
    plan = plan_of(tmp_path, systems=['EDSR', 'RDN', *BACKBONES], variants=BACKBONES, widths=widths,
                   shares={'C-Face-v1': {'warmup': 1.0, 'stage1': 1.0}}, set={})
    (run,) = plan.runs
    rows = {row.title: row for row in run.rows}
    for title, own in (('C-Face-v1 (EDSR)', 'EDSR'), ('C-Face-v2 (RDN)', 'RDN')):
        alike = run.recipe.compose(rows[own].step)['network_g']
        alike |= {'num_layer': 2} if own == 'RDN' else {}
        trained = [run.recipe.compose(step) for step in rows[title].steps if step in run.recipe.trainings]
        generators = [opt['network_g'] for opt in trained if 'network_g' in opt]
        assert generators and all(each == alike for each in generators)
    rcan = run.recipe.compose(rows['C-Face-v1 (RCAN)'].step)['network_g']
    assert rcan == BACKBONES['C-Face-v1 (RCAN)']['backbone'] | {'upscale': 8}
    assert {run.recipe.images(row.step) for row in run.rows} == {480}
    assert describe_width(run.recipe, rows['C-Face-v1 (EDSR)'].step) == describe_width(
        run.recipe, rows['EDSR'].step) == 'num_feat 4 instead of 256, num_block 1 instead of 32'
    run.recipe.check_options()


@pytest.mark.parametrize(('backbone', 'message'), [
    ('EDRS', "variant 'x': backbone 'EDRS' is unknown; did you mean 'EDSR'?"),
    ({'num_feat': 4}, "variant 'x': backbone: expected a system, or a section with 'type'")])
def test_an_unknown_backbone_is_refused_in_one_line(tmp_path: Path, backbone: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        plan_of(tmp_path, variants={'x': {'of': 'C-Face-v1', 'backbone': backbone}}, systems='all')


def test_a_backbone_that_has_no_such_scale_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, systems='all', variants={'x': {'of': 'C-Face-v1', 'backbone': {'type': 'MSRResNet'}}})
    with pytest.raises(UserError, match="network_g': MSRResNet refuses this"):
        plan.runs[0].recipe.check_options()


def test_further_recognizers_of_a_loss_may_be_steps_of_the_file(tmp_path: Path) -> None:
    second = {'of': 'C-Face-v1', 'set': {'stage1': {'train': {'more_recognizers': ['second', 'dlib']}}}}
    content = tiny_benchmark()
    plan = plan_of(tmp_path, systems='all', variants={'two': second}, steps=content['steps'] | {
        'second': content['steps']['recognizer']}, recognizers={'loss': 'recognizer', 'other': 'second'})
    (run,) = plan.runs
    opt = run.recipe.compose(run.rows[0].step)
    assert opt['train']['more_recognizers'] == [plan.recognizer_file('second'), 'dlib']
    assert plan.led() == {'loss': ['two'], 'other': ['two']}
    for who, message in (('secnd', "more_recognizers: 'secnd' is neither one of 'steps' nor a .pth or .onnx file; did"),
                         ('recognizer', "'net_r_latest.pth' leads the loss already; name each recognizer once.")):
        second['set']['stage1']['train']['more_recognizers'] = [who]
        with pytest.raises(UserError, match=re.escape(message)):
            plan_of(tmp_path, systems='all', variants={'two': second}, steps=content['steps'] | {
                'second': content['steps']['recognizer']}).runs[0].recipe.check_options()

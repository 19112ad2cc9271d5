"""Recipes: what they refuse, what a step's full options are, and how budgets are counted."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cface_basicsr.errors import UserError
from cface_basicsr.training.recipe import Recipe, iterations, only_existing
from tests.tiny_stages import REPOSITORY

OPTIONS = REPOSITORY / 'options'

SMALL: dict[str, Any] = {
    'base': str(OPTIONS / 'demo/faces.yml'), 'out': 'run',
    'common': {'datasets': {'train': {'batch_size': 4}}},
    'steps': {'recognizer': {'set': {'datasets': {'train': {'batch_size': 8}}, 'train': {'total_iter': 6}}},
              'warmup': {'set': {'train': {'total_iter': 5}}},
              'srgan': {'set': {'train': {'total_iter': 7}}}, 'v1': {'set': {'train': {'total_iter': 7}}},
              'l_si': {'set': {'train': {'total_iter': 7}}},
              'stage3': {'set': {'datasets': {'train': {'batch_size': 16}}, 'train': {'total_iter': 3}}},
              'v2': {'set': {'train': {'total_iter': 2}}}, 'v1_more': {'set': {'train': {'total_iter': 2}}}}}


def recipe(folder: Path, content: dict[str, Any], **more: Any) -> Recipe:
    (folder / 'r.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    return Recipe.read(folder / 'r.yml', **more)


def plain(**changes: Any) -> dict[str, Any]:
    """A recipe of its own with two steps."""
    return {'name': 'r', 'scale': 4, 'data': 'data', 'steps': {
        'first': {'options': str(OPTIONS / 'cface_stage0.yml')},
        'second': {'options': str(OPTIONS / 'cface_stage1.yml'), 'weights': {'network_r': 'first'}}}} | changes


# ------------------------------------------------------------------------------------------------------------- refusals

@pytest.mark.parametrize(('change', 'message'), [
    ({'sclae': 8}, r"'recipe\.sclae' is unknown; did you mean 'scale'\?"),
    ({'steps': {'a': {'option': 'x.yml'}}}, r"'recipe\.steps\.a\.option' is unknown; did you mean 'options'\?"),
    ({'steps': {'a': {}}}, "'recipe.steps.a': expected one of options, index, generate; got none"),
    ({'steps': {'a': {'index': 'f.pth', 'generate': 'g.pth'}}}, "steps.a': expected one of .*; got index, generate"),
    ({'steps': {'a': {'index': 'a.pth', 'kk': 3}}}, r"'recipe\.steps\.a\.kk' is unknown; did you mean 'k'\?"),
    ({'steps': {'a': {'index': 'a.pth', 'weights': {}}}}, r"'recipe\.steps\.a\.weights' is unknown; valid: index, k"),
    ({'steps': {'a': {'set': {}}}}, "'recipe.steps.a': expected one of options, index, generate; got none"),
    ({'steps': {'a': {'options': 5}}}, "'recipe.steps.a.options': input should be a valid string, got 5"),
    ({'steps': {'a': 'stage1'}}, "'recipe.steps.a': expected one of options, index, generate; got none"),
    ({'steps': {'first': {'index': 'a.pth'}, 'b': {'generate': 'frist'}}},
     r"step 'b': 'frist' is not an earlier step; did you mean 'first'\?"),
    ({'report': {'rows': {'A': 'secnd'}, 'recognizers': {'loss': 'a.pth'}}},
     r"report: 'secnd' is not an earlier step; did you mean 'second'\?"),
    ({'report': {'rows': {}}}, "'recipe.report.recognizers' is missing"),
    ({'report': {'recognizers': {"loss's": 'a.pth'}}}, "report: 'loss's' becomes a part of file names"),
    ({'report': {'recognizers': {'loss': 'a.pth'}, 'tests': {'held-out': {'fars': 1}}}},
     r"'recipe\.report\.tests\.held-out\.fars' is unknown; did you mean 'far'"),
    ({'scale': 3}, 'scale 3 is unknown; nearest: 2'),
    ({'base': 5}, "option 'base': expected a file or a list of files, got "),
    ({'steps': {'a': {'options': 'x.yml', 'weights': ['r.pth']}}}, "weights': input should be a section"),
    ({'report': {'row': {}}}, r"'recipe\.report\.row' is unknown; did you mean 'rows'\?")])
def test_what_does_not_fit_is_named_in_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        recipe(tmp_path, plain(**change))
    assert len(str(caught.value).splitlines()) == 1


def test_a_step_without_weights_may_say_so_by_a_null(tmp_path: Path) -> None:
    steps = {'a': {'options': 'x.yml', 'weights': None}, 'b': {'options': 'x.yml', 'weights': {'network_r': None}}}
    assert [step.weights for step in recipe(tmp_path, plain(steps=steps)).file.steps.values()] == [{}, {}]


def test_a_step_of_the_base_is_left_out_with_all_that_names_it(tmp_path: Path) -> None:
    gone = {'report': {'rows': {'SRGAN': None, 'SRGAN, continued': None}, 'domains': {'after stage 3': None},
                       'recognizers': {'judge': None}}, 'steps': {name: None for name in ('srgan', 'srgan_more')}}
    file = recipe(tmp_path, {'base': str(OPTIONS / 'demo/faces.yml'), **gone}).file
    assert list(file.report.rows) == ['L_SI only', 'C-Face-v1', 'C-Face-v2', 'L_SI only, continued',
                                      'C-Face-v1, continued', 'Pixels only (EDSR)', 'C-Face-v1 (EDSR)']
    assert list(file.report.domains) == ['after stage 1', 'after stage 4']
    assert file.report.recognizers == {'loss': 'recognizer'} and 'srgan' not in file.steps


def test_a_step_may_not_start_from_a_later_one(tmp_path: Path) -> None:
    steps = plain()['steps']
    with pytest.raises(UserError, match="step 'second': 'first' is not an earlier step"):
        recipe(tmp_path, plain(steps={'second': steps['second'], 'first': steps['first']}))


def test_a_variable_needs_a_value(tmp_path: Path) -> None:
    content = plain(steps={'index': {'index': '$recognizer'}})
    with pytest.raises(UserError, match=r"needs a value for '\$recognizer'"):
        recipe(tmp_path, content)
    assert recipe(tmp_path, content, variables={'recognizer': 'a.onnx'}).file.steps['index'].index == 'a.onnx'


# ---------------------------------------------------------------------------------------------------------- composition

def test_a_file_of_another_scale_is_trained_at_the_recipes(tmp_path: Path) -> None:
    """BasicSR's EDSR says `upscale`; the files are written for x8, the recipe is for x4."""
    steps = {name: {'options': str(OPTIONS / f'baselines/{name}_x8.yml')} for name in ('edsr', 'wavelet_srnet')}
    both = recipe(tmp_path, plain(scale=4, steps=steps))
    edsr, wavelet = (both.compose(name) for name in steps)
    assert edsr['scale'] == edsr['network_g']['upscale'] == 4 and 'scale' not in edsr['network_g']
    assert wavelet['train']['pixel_opt']['scale'] == wavelet['network_g']['scale'] == 4
    assert edsr['datasets']['train']['dataroot_lq'] == str(Path('data/lr_x4.lmdb').absolute())
    assert (edsr['name'], list(edsr['path'])) == ('edsr', ['experiments_root'])


def test_a_step_is_its_stage_file_with_common_and_own_settings_laid_over(tmp_path: Path) -> None:
    small = recipe(tmp_path, SMALL, data=tmp_path / 'data', out=tmp_path / 'run')
    (tmp_path / 'data/train').mkdir(parents=True)
    opt = small.compose('l_si')
    assert opt['train']['cface_opt'] == {'type': 'CFaceLoss', 'gamma1': 0.05, 'gamma2': 0.0, 'margin': True,
                                         'distance': 'normalized'}
    assert opt['train']['total_iter'] == 7 and 'total_epoch' not in opt['train']
    assert opt['train']['content_opt'] == {'type': 'L1Loss', 'loss_weight': 1.0}  # VGG19's keys went with its type
    assert opt['datasets']['train']['batch_size'] == 4
    assert (opt['name'], opt['scale'], opt['network_g']['scale']) == ('l_si', 8, 8)
    assert opt['path'] == {
        'experiments_root': str(tmp_path / 'run'),
        'pretrain_network_g': str(tmp_path / 'run/warmup/models/net_g_latest.pth'),
        'pretrain_network_r': str(tmp_path / 'run/recognizer/models/net_r_latest.pth')}
    data = opt['datasets']
    assert data['train']['dataroot_lq'] == str(tmp_path / 'data/train/lr_x8.lmdb')
    assert data['val']['dataroot_gt'] == str(tmp_path / 'data/test/hr.lmdb')
    assert data['train']['compare_index'] == str(tmp_path / 'data/train/index/of_recognizer')


def test_a_null_takes_a_part_of_the_stage_away(tmp_path: Path) -> None:
    small = recipe(tmp_path, SMALL, data=tmp_path, out=tmp_path / 'run')
    warmup, srgan = small.compose('warmup'), small.compose('srgan')
    assert [key for key in warmup if key.startswith('network_')] == ['network_g']
    assert not {'gan_opt', 'cface_opt', 'optim_d'} & set(warmup['train'])
    assert [key for key in srgan if key.startswith('network_')] == ['network_g', 'network_d']
    assert srgan['datasets']['train']['compare_mode'] == 'none'


def test_the_stores_of_stage_3_are_hr_and_what_stage_2_made(tmp_path: Path) -> None:
    small = recipe(tmp_path, SMALL, data=tmp_path, out=tmp_path / 'run')
    before = small.compose('stage3')['datasets']['train']['dataroot_gt']
    assert before == [str(tmp_path / 'hr.lmdb'), str(tmp_path / 'sr_x8_of_v1.lmdb')]
    weights = small.weights_of('v1', 'g')
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b'weights')
    mark = hashlib.sha256(b'weights').hexdigest()[:12]
    assert small.compose('stage3')['datasets']['train']['dataroot_gt'][1] == str(tmp_path / f'sr_x8_{mark}.lmdb')


def test_a_recipe_on_another_may_drop_a_step(tmp_path: Path) -> None:
    photos = Recipe.read(OPTIONS / 'demo/photos.yml', variables={'recognizer': 'a.onnx'})
    assert not {'recognizer', 'judge'} & set(photos.file.steps)
    assert photos.file.steps['l_si'].weights == {'network_g': 'warmup'}
    assert photos.compose('v1')['network_r'] == {'type': 'OnnxRecognizer', 'file': 'a.onnx', 'template': 'arcface'}
    assert photos.file.report.recognizers == {'loss': 'a.onnx', 'judge': 'dlib'}
    faces = Recipe.read(OPTIONS / 'demo/faces.yml')
    assert list(photos.file.steps) == [name for name in faces.file.steps if name not in ('recognizer', 'judge')]


def test_only_sections_that_a_stage_has_are_changed_by_common() -> None:
    base = {'network_g': {'num_feat': 64}, 'train': {'lr': 1, 'gan_opt': {'w': 1}}}
    changes = {'network_g': {'num_feat': 8}, 'network_d': {'num_feat': 8}, 'train': {'lr': 2, 'cface_opt': {'g': 1}}}
    assert only_existing(changes, base) == {'network_g': {'num_feat': 8}, 'train': {'lr': 2}}


def test_what_is_common_to_all_loggers_reaches_a_stage_whose_file_does_not_name_it(tmp_path: Path) -> None:
    content = SMALL | {'common': SMALL['common'] | {'logger': {'wandb': {'project': 'faces'}}}}
    assert recipe(tmp_path, content, data=tmp_path).compose('warmup')['logger']['wandb'] == {'project': 'faces'}


def test_a_common_section_that_no_file_can_have_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="option 'recipe.common.datasetz' is unknown; did you mean 'datasets'"):
        recipe(tmp_path, SMALL | {'common': {'datasetz': {}}}, data=tmp_path)
    assert recipe(tmp_path, SMALL | {'common': {'network_x': {}}}, data=tmp_path)  # of somebody's own model


# -------------------------------------------------------------------------------------------------------------- budgets

def test_budgets_count_every_image_with_those_of_the_steps_before(tmp_path: Path) -> None:
    small = recipe(tmp_path, SMALL, data=tmp_path, out=tmp_path / 'run')
    assert small.images('warmup') == 5 * 8  # its steps are of eight, whatever is common
    assert small.images('srgan') == small.images('v1') == 5 * 8 + 7 * 4
    assert small.images('v2') == small.images('v1_more') == 5 * 8 + 7 * 4 + 2 * 4
    assert small.images('recognizer') == small.images('stage3') == small.images('file.pth') == 0
    assert small.recognizer_images('recognizer') == 6 * 8
    assert small.recognizer_images('v1') == 6 * 8  # frozen: what it was trained with before
    assert small.recognizer_images('stage3') == 6 * 8 + 3 * 16
    assert small.recognizer_images('v2') == 6 * 8 + 3 * 16 + 2 * 4 * 2  # SR and HR
    assert small.recognizer_images('srgan') == small.recognizer_images('file.onnx') == 0


def test_epochs_are_counted_by_the_true_data_set(tmp_path: Path) -> None:
    (tmp_path / 'hr.lmdb').mkdir()
    (tmp_path / 'hr.lmdb/meta_info.txt').write_text('a.png (8,8,3) 1\n' * 11)
    data = {'dataroot_gt': str(tmp_path / 'hr.lmdb'), 'batch_size': 4}
    opt = {'train': {'total_epoch': 3}, 'datasets': {'train': data}}
    assert iterations(opt) == 6
    assert iterations(opt | {'train': {'total_iter': 9}}) == 9

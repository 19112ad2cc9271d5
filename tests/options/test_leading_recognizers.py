"""Which recognizers lead a loss, by the options of a training, and of all the trainings that a generator comes from."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.compat.files import _led_by, _started_from
from cface_basicsr.files.recognizer_file import named_recognizer, recognizer_hash, recognizer_marks
from cface_basicsr.options import open_section
from cface_basicsr.options.training import leading_recognizers
from cface_basicsr.training.recipe import Recipe, RecipeFile, read_with_base
from cface_basicsr.training.report import led_rows
from tests.onnx_file import write_onnx_recognizer

STAGE1 = {'model_type': 'CFaceModel', 'network_g': {}, 'network_r': {'type': 'X'},
          'path': {'pretrain_network_r': 'r.pth'}, 'train': {'cface_opt': {'type': 'CFaceLoss'}}}


@pytest.mark.parametrize(('changes', 'expected'), [
    ({}, ['r.pth']),
    ({'path': {}, 'network_r': {'type': 'OnnxRecognizer', 'file': 'r.onnx'}}, ['r.onnx']),
    ({'train': {'cface_opt': {'type': 'CFaceLoss'}, 'more_recognizers': ['dlib']}}, ['r.pth', 'dlib']),
    ({'train': {'cface_opt': None, 'pixel_opt': {'type': 'L1Loss'}}}, []),
    ({'model_type': 'SRModel'}, []),
    ({'model_type': 'SICNNModel', 'train': {'identity_opt': {'type': 'SuperIdentityLoss'}}}, ['r.pth']),
])
def test_they_are_those_of_the_losses_of_features(changes: dict[str, Any], expected: list[str]) -> None:
    assert leading_recognizers(STAGE1 | changes) == expected


def test_a_generators_file_names_them_and_those_of_the_file_that_it_started_from(tmp_path: Path) -> None:
    torch.save({'params': {}}, tmp_path / 'r.pth')
    torch.save({'params': {}, 'led_by': ['f' * 64]}, tmp_path / 'g.pth')
    opt = STAGE1 | {'path': {'pretrain_network_r': str(tmp_path / 'r.pth')}}
    mark = recognizer_hash(tmp_path / 'r.pth', 64)
    assert _led_by(opt) == {'led_by': [mark]}
    assert _led_by(opt | {'path': opt['path'] | {'pretrain_network_g': str(tmp_path / 'g.pth')}}) == {
        'led_by': sorted([mark, 'f' * 64])}
    assert _led_by({'model_type': 'SRModel', 'train': {}}) == {}


def test_a_checkpoint_of_the_training_itself_is_no_recognizer_that_led_it(tmp_path: Path) -> None:
    """Otherwise the file of a training that was stopped would differ from that of the unbroken one."""
    torch.save({'params': {}}, tmp_path / 'net_r_7.pth')
    torch.save({'params': {}, 'led_by': ['f' * 64]}, tmp_path / 'net_g_7.pth')
    paths = {f'pretrain_network_{each}': str(tmp_path / f'net_{each}_7.pth') for each in 'gr'}
    assert _led_by(STAGE1 | {'path': paths | {'models': str(tmp_path)}}) == {'led_by': ['f' * 64]}


def test_a_row_is_led_by_the_recognizers_of_all_its_trainings_and_by_a_copy_of_one_under_another_name(
        tmp_path: Path) -> None:
    stage = str(Path(__file__).parents[2] / 'options/cface_stage')
    steps = {'cnn_r': {'options': f'{stage}0.yml'}, 'index': {'index': 'cnn_r'},
             'srgan': {'options': f'{stage}1.yml', 'set': {'network_r': None, 'train': {'cface_opt': None}}},
             'v1': {'options': f'{stage}1.yml', 'weights': {'network_g': 'srgan', 'network_r': 'cnn_r'}},
             'more': {'options': f'{stage}1.yml', 'weights': {'network_g': 'v1'},
                      'set': {'network_r': None, 'train': {'cface_opt': None}}}}
    recipe = Recipe(open_section(RecipeFile, {'name': 'r', 'scale': 8, 'data': 'd', 'steps': steps}), out=tmp_path)
    rows = {'SRGAN': 'srgan', 'v1': 'v1', 'v1, continued': 'more'}
    recognizers = {'loss': recipe.weights_of('cnn_r', 'r'), 'copy': tmp_path / 'copy.pth', 'judge': 'dlib'}
    assert led_rows(recipe, rows, recognizers) == {'loss': ['v1', 'v1, continued']}
    recognizers['loss'].parent.mkdir(parents=True)
    torch.save({'params': {}}, recognizers['loss'])
    shutil.copy(recognizers['loss'], recognizers['copy'])
    assert led_rows(recipe, rows, recognizers) == {name: ['v1', 'v1, continued'] for name in ('loss', 'copy')}


OPTIONS = Path(__file__).parents[2] / 'options'
VALUES = {'recognizer': 'a.onnx', 'backbone': 'EDSR'}


def trainings_of(path: Path) -> list[dict[str, Any]]:
    """The options of all trainings of a file that comes with the plugin, of whatever kind."""
    content = read_with_base(path)
    if {'scales', 'budget'} <= content.keys():
        plan = make_plan(read_benchmark(path, VALUES), None, content['budget']['images'])
        recipes = plan.recipes
    elif {'scale', 'steps'} <= content.keys():
        recipes = [Recipe.read(path, variables=VALUES)]
    else:
        return [content]
    return [recipe.compose(name) for recipe in recipes for name in recipe.trainings]


@pytest.mark.parametrize('path', sorted(path for path in OPTIONS.rglob('*.yml') if path.name != 'small.yml'),
                         ids=lambda path: str(path.relative_to(OPTIONS)))
def test_dlibs_recognizer_leads_no_loss_in_any_file_that_comes_with_the_plugin(path: Path) -> None:
    leaders = {named_recognizer(file).absolute() for opt in trainings_of(path) for file in leading_recognizers(opt)}
    assert named_recognizer('dlib').absolute() not in leaders


# ---------------------------------------------------------- the same weights, fed in another way or fine-tuned

def test_a_recognizers_file_names_those_that_it_was_trained_from(tmp_path: Path) -> None:
    torch.save({'params': {}, 'started_from': ['e' * 64]}, tmp_path / 'r.pth')
    opt = {'path': {'pretrain_network_r': str(tmp_path / 'r.pth')}, 'network_r': {'type': 'X'}}
    wanted = sorted([recognizer_hash(tmp_path / 'r.pth', 64), 'e' * 64])
    assert _started_from(opt) == {'started_from': wanted} and wanted == sorted(recognizer_marks(tmp_path / 'r.pth'))
    onnx = write_onnx_recognizer(tmp_path / 'r.onnx')
    assert _started_from({'network_r': {'type': 'OnnxRecognizer', 'file': str(onnx)}}) == {
        'started_from': [recognizer_hash(onnx, 64)]}
    assert _started_from({'network_r': {'type': 'DlibResNet', 'file': 'dlib'}}) == {
        'started_from': [recognizer_hash('dlib', 64)]}
    assert _started_from({'network_r': {'type': 'SphereFace20'}, 'path': {}}) == {}
    own = opt | {'path': opt['path'] | {'models': str(tmp_path)}}  # its own checkpoint, after a stop
    assert _started_from(own) == {'started_from': ['e' * 64]}


def test_weights_that_are_fed_in_another_way_are_still_the_same(tmp_path: Path) -> None:
    one = write_onnx_recognizer(tmp_path / 'r.onnx')
    (tmp_path / 'other').mkdir()
    other = Path(shutil.copy(one, tmp_path / 'other/judge.onnx'))
    (tmp_path / 'other/judge.input.yml').write_text('channels: bgr')
    assert recognizer_hash(one, 64) != recognizer_hash(other, 64)
    assert recognizer_marks(one) == recognizer_marks(other) == {recognizer_hash(one, 64)}


@pytest.mark.parametrize('there', [False, True])
def test_one_that_was_fine_tuned_from_a_leader_or_that_a_leader_was_fine_tuned_from_is_no_judge(
        tmp_path: Path, there: bool) -> None:
    stage = str(Path(__file__).parents[2] / 'options/cface_stage')
    steps = {'cnn_r': {'options': f'{stage}0.yml'}, 'other': {'options': f'{stage}0.yml'},
             'tuned': {'options': f'{stage}3.yml', 'weights': {'network_r': 'cnn_r', 'network_c': 'cnn_r'},
                       'set': {'datasets': {'train': {'dataroot_gt': ['d/train/hr.lmdb']}}}},
             'by_cnn_r': {'options': f'{stage}1.yml', 'weights': {'network_r': 'cnn_r'}},
             'by_tuned': {'options': f'{stage}1.yml', 'weights': {'network_r': 'tuned'}}}
    recipe = Recipe(open_section(RecipeFile, {'name': 'r', 'scale': 8, 'data': 'd', 'steps': steps}), out=tmp_path)
    files = {name: recipe.weights_of(name, 'r') for name in ('cnn_r', 'tuned', 'other')}
    for name, path in files.items() if there else ():
        path.parent.mkdir(parents=True)
        torch.save({'params': {name: torch.zeros(1)}}, path)
    rows = {'by cnn_r': 'by_cnn_r', 'by tuned': 'by_tuned'}
    assert led_rows(recipe, rows, files) == {name: list(rows) for name in ('cnn_r', 'tuned')}
    alone = Recipe(open_section(RecipeFile, {'name': 'r', 'scale': 8, 'data': 'd', 'steps': {'by_tuned': {
        'options': f'{stage}1.yml', 'weights': {'network_r': str(files['tuned'])}}}}), out=tmp_path / 'alone')
    assert led_rows(alone, {'row': 'by_tuned'}, files) == {'tuned': ['row']}
    assert led_rows(alone, {'row': 'by_tuned'}, files, [recipe]) == {'cnn_r': ['row'], 'tuned': ['row']}

"""Which recognizers lead a loss, by the options of a training, and of all the trainings that a generator comes from."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.compat.files import _led_by
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.options import open_section
from cface_basicsr.options.training import leading_recognizers
from cface_basicsr.training.recipe import Recipe, RecipeFile
from cface_basicsr.training.report import led_rows

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
    (tmp_path / 'r.pth').write_bytes(b'recognizer')
    torch.save({'params': {}, 'led_by': ['f' * 64]}, tmp_path / 'g.pth')
    opt = STAGE1 | {'path': {'pretrain_network_r': str(tmp_path / 'r.pth')}}
    mark = recognizer_hash(tmp_path / 'r.pth', 64)
    assert _led_by(opt) == {'led_by': [mark]}
    assert _led_by(opt | {'path': opt['path'] | {'pretrain_network_g': str(tmp_path / 'g.pth')}}) == {
        'led_by': sorted([mark, 'f' * 64])}
    assert _led_by({'model_type': 'SRModel', 'train': {}}) == {}


def test_a_checkpoint_of_the_training_itself_is_no_recognizer_that_led_it(tmp_path: Path) -> None:
    """Otherwise the file of a training that was stopped would differ from that of the unbroken one."""
    (tmp_path / 'net_r_7.pth').write_bytes(b'R of iteration 7')
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
    for path in (recognizers['loss'], recognizers['copy']):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'the same')
    assert led_rows(recipe, rows, recognizers) == {name: ['v1', 'v1, continued'] for name in ('loss', 'copy')}

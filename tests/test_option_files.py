"""Every option file that comes with the plugin does one training step; every recipe runs through, a step each."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from cface_basicsr.options import merge, read_option_file
from cface_basicsr.recognizers.load import load_recognizer
from cface_basicsr.training import steps
from cface_basicsr.training.recipe import Recipe
from cface_basicsr.training.scale import scale_argument
from cface_basicsr.training.steps import run_steps
from tests.onnx_file import write_onnx_recognizer
from tests.small_data import write_small_data
from tests.tiny_stages import REPOSITORY, train_one_step
from tests.vgg_file import write_seeded_vgg19

OPTIONS = REPOSITORY / 'options'
DEMOS = ('demo/faces.yml', 'demo/photos.yml', 'demo/photos_trained.yml')
RECIPES = (*DEMOS, 'cface_x2.yml', 'cface_x4.yml', 'cface_x8.yml', 'zoo/cface_x8.yml',
           'zoo/cface_x2.yml', 'zoo/cface_x4.yml', 'zoo/cface_x4_photos.yml')


@pytest.fixture(scope='module')
def casia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_casia(tmp_path_factory.mktemp('casia'))


def make_casia(folder: Path) -> Path:
    """datasets/casia, where the option files expect it, VGG19 weights and an ONNX recognizer; no experiments yet."""
    write_small_data(folder / 'datasets/casia/train', identities=3, images=2)
    write_small_data(folder / 'datasets/casia/test', identities=2, images=2, seed=1)
    write_seeded_vgg19(folder / 'vgg19.pth', layer='relu3_1')
    write_onnx_recognizer(folder / 'recognizer.onnx')
    return folder


def in_two(opt: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same options with batches of two, on the CPU, and the seeded VGG19 where VGG19 is asked for."""
    small = {'num_gpu': 0, 'datasets': {'train': {'batch_size': 2, 'num_worker_per_gpu': 0,
                                                  'persistent_workers': False}}}
    if (opt['train'].get('content_opt') or {}).get('type') == 'VGGContentLoss':
        assert opt['train']['content_opt'].get('weights') is None
        small['train'] = {'content_opt': {'weights': str(folder / 'vgg19.pth')}}
    return merge(opt, small)


def narrow(opt: dict[str, Any]) -> dict[str, Any]:
    """The paper's networks at a width for one CPU core."""
    widths = {'network_g': {'num_feat': 8, 'num_block': 2}, 'network_d': {'num_feat': 4, 'num_dense': 8},
              'network_r': {'num_feat': 4}}
    return merge(opt, {key: value for key, value in widths.items() if key in opt})


def assert_finite_step(model: Any) -> None:
    losses = {key: value for key, value in model.get_current_log().items() if key.startswith('l_')}
    assert losses and all(value == value and abs(value) < 1e6 for value in losses.values()), losses


@pytest.mark.slow
def test_the_papers_stage_files_hand_over_to_one_another_at_full_width(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    casia = make_casia(tmp_path)
    monkeypatch.chdir(casia)  # the files' own paths are taken as they stand
    for stage in (0, 1, 2, 3, 4):
        if stage == 2:
            super_resolve_by_basicsr(casia, monkeypatch)
            continue
        model = train_one_step(in_two(read_option_file(OPTIONS / f'cface_stage{stage}.yml'), casia), casia)
        assert_finite_step(model)
        if stage == 0:
            index_by(casia / 'experiments/cface_stage0/models/net_r_latest.pth', casia)
            continue
        if stage in (1, 4):
            assert model.net_g.state_dict()['head.0.weight'].shape == (64, 3, 9, 9)
            assert len([key for key in model.get_current_log() if key.startswith('l_')]) == {1: 6, 4: 7}[stage]


def super_resolve_by_basicsr(casia: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import basicsr.test
    monkeypatch.setattr(sys, 'argv', ['test.py', '-opt', str(OPTIONS / 'cface_stage2.yml')])
    basicsr.test.test_pipeline(str(casia))
    assert len((casia / 'datasets/casia/train/sr_x4.lmdb/meta_info.txt').read_text().splitlines()) == 6


def index_by(weights: Path, casia: Path) -> None:
    from cface_basicsr.data.compare_index import build_index
    from cface_basicsr.files.manifest import file_hash
    build_index(casia / 'datasets/casia/train', load_recognizer(weights), file_hash(weights), k=5, device='cpu')


class Silent:
    """Shows nothing, keeps which steps ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def start(self, name: str, total: int) -> None:
        pass

    def advance(self, done: int, text: object = '') -> None:
        pass

    def end(self, name: str, note: str) -> None:
        self.ended.append(name)


@pytest.mark.parametrize('name', RECIPES)
def test_every_training_of_a_recipe_is_valid_and_does_a_step(
        casia: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Index, stage 2 and the hand-over of weights are the real ones; only the trainings are cut to one step."""
    trained: list[str] = []

    def one_step(options: Path, log: Path, progress: Any, processes: int = 1) -> None:
        opt = in_two(read_option_file(options), casia)
        model = train_one_step(opt if '/' in name else narrow(opt), tmp_path / 'parsed')  # those in folders are narrow
        assert_finite_step(model)
        trained.append(model.opt['name'])

    monkeypatch.setattr(steps, 'run_training', one_step)
    monkeypatch.setattr(steps, '_mark_finished', lambda *args, **kwargs: None)
    if name in ('zoo/cface_x2.yml', 'zoo/cface_x4.yml'):  # take the recognizer that cface_x8.yml trains, where one is
        monkeypatch.chdir(tmp_path)
        run_steps(Recipe.read(OPTIONS / 'zoo/cface_x8.yml', data=casia / 'datasets/casia'), Silent())
        trained.clear()
    recipe = Recipe.read(OPTIONS / name, data=casia / 'datasets/casia', out=tmp_path / 'run',
                         variables={'recognizer': str(casia / 'recognizer.onnx')})
    show = Silent()
    run_steps(recipe, show)
    assert show.ended == list(recipe.file.steps)
    assert trained == list(recipe.trainings)
    for row in recipe.file.report.rows.values():
        weights = torch.load(recipe.weights_of(row, 'g'), weights_only=True)
        assert weights['network'][scale_argument(weights['network']['type'])] == recipe.file.scale


def test_the_rows_of_a_recipe_have_equal_budgets() -> None:
    """Every system of stage 1, and every continued one, sees as many images as the others."""
    for name in DEMOS:
        recipe = Recipe.read(OPTIONS / name, variables={'recognizer': 'a.onnx'})
        first, later = ('srgan', 'l_si', 'v1'), ('v2', 'srgan_more', 'l_si_more', 'v1_more')
        assert len({recipe.images(step) for step in first}) == 1, name
        assert len({recipe.images(step) for step in later}) == 1, name
        assert all(recipe.images(step) >= 150 * 16 for step in first), name  # the warm-up is counted


def test_the_list_of_recipes_above_is_complete() -> None:
    elsewhere = ('baselines', 'benchmark', 'ablation')  # see tests/test_baseline_files.py and tests/benchmark
    found = {str(path.relative_to(OPTIONS)) for path in OPTIONS.rglob('*.yml') if path.parent.name not in elsewhere}
    by_hand = {'cface_esrgan_x8.yml'}  # see tests/models/test_generators.py
    assert found == set(RECIPES) | by_hand | {f'cface_stage{stage}.yml' for stage in range(5)}


# ----------------------------------------------------------------------------------------------------- what editors see

def schema_of(path: Path) -> dict[str, Any]:
    """The schema that a file's first line names."""
    found = re.match(r'# yaml-language-server: \$schema=(\S+)\n', path.read_text(encoding='utf-8'))
    assert found, f'{path}: the first line names no schema'
    return json.loads((path.parent / found[1]).read_text(encoding='utf-8'))


@pytest.mark.parametrize('path', sorted(OPTIONS.rglob('*.yml')), ids=lambda path: str(path.relative_to(OPTIONS)))
def test_every_file_names_its_schema_and_fits_it(path: Path) -> None:
    jsonschema.validate(read_option_file(path), schema_of(path))


@pytest.mark.parametrize(('file', 'change'), [
    ('cface_stage1.yml', {'network_g': {'num_feats': 8}}), ('cface_stage1.yml', {'network_g': {'num_feat': 'wide'}}),
    ('cface_stage1.yml', {'train': {'cface_opt': {'gama1': 1.0}}}), ('cface_stage1.yml', {'manuel_seed': 1}),
    ('cface_stage1.yml', {'train': {'optim_g': None}}), ('cface_stage1.yml', {'datasets': {'train': {'k': 0}}}),
    ('cface_stage0.yml', {'network_g': {'type': 'SRResNet'}}), ('cface_stage2.yml', {'path': {'log': 'x'}}),
    ('baselines/edsr_x8.yml', {'train': {'cface_opt': {'type': 'CFaceLoss'}}}),
    ('cface_x8.yml', {'steps': {'stage0': {'option': 'x.yml'}}}), ('cface_x8.yml', {'scale': 'large'}),
    ('benchmark/demo.yml', {'tests': {'held-out': {'fars': 0.1}}}), ('ablation/loss.yml', {'variant': {}})])
def test_a_schema_sees_what_is_wrong(file: str, change: dict[str, Any]) -> None:
    content = read_option_file(OPTIONS / file)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merge(content, change), schema_of(OPTIONS / file))

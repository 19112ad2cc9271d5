"""A value of the wrong kind, anywhere in any file that comes with the plugin, is refused in one line or works."""

import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import basicsr.test
import basicsr.train
import numpy as np
import pytest
import torch

import cface_basicsr.register  # noqa: F401
from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.errors import UserError
from cface_basicsr.losses import vgg_content_loss
from cface_basicsr.options import check_training_options, merge, option_text, read_option_file, signatures
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.training.recipe import Recipe
from tests.options.wrong_kinds import Place, variants
from tests.tiny_stages import REPOSITORY, stage_options, write_tiny_data

OPTIONS = REPOSITORY / 'options'
FILES = [*sorted(OPTIONS.glob('cface_stage?.yml')), *sorted((OPTIONS / 'baselines').glob('*.yml'))]
SHORT = {'datasets': {'train': {'batch_size': 4}}}


def remembered(check: Callable[..., None]) -> Callable[..., None]:
    """A check that is made once for each content: a change in one place leaves most of a file as it was."""
    answers: dict[str, Exception | None] = {}

    def answer(*content: Any) -> None:
        key = repr(content)
        if key not in answers:
            try:
                answers[key] = check(*content)
            except Exception as error:
                answers[key] = error
        if answers[key]:
            raise answers[key]

    return answer


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory in which the files' own data are there; VGG19 has weights without a download."""
    folder = tmp_path_factory.mktemp('kinds')
    write_tiny_data(folder / 'datasets/casia')
    (folder / 'datasets/casia/train/sr_x4.lmdb').symlink_to('hr.lmdb')
    (folder / 'x.yml').touch()
    read = vgg_content_loss.read_weights
    state = vgg_content_loss.build_features('conv5_4').state_dict()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, 'argv', ['train.py', '-opt', 'x.yml'])
        patch.setattr(signatures, '_construct', remembered(signatures._construct))  # a large network takes 0.1 s
        patch.setattr(vgg_content_loss, 'read_weights', lambda path: state if path is None else read(path))
        yield folder


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What BasicSR's two programs do with an option file before they open the data; only the reading is left out."""
    content: list[bytes] = []
    monkeypatch.setattr('basicsr.utils.options.ordered_yaml', lambda: (None, None))
    reader = SimpleNamespace(load=lambda file, Loader: pickle.loads(content[0]))
    monkeypatch.setattr('basicsr.utils.options.yaml', reader)
    # NumPy takes the fewest seeds; for a GPU torch would note the whole stack of calls each time
    monkeypatch.setattr('basicsr.utils.options.set_random_seed', np.random.seed)
    monkeypatch.setattr('cface_basicsr.options.read_option_file', lambda path, **_: pickle.loads(content[0]))

    def open_it(opt: dict[str, Any]) -> dict[str, Any]:
        content[:] = [pickle.dumps(opt)]
        program = basicsr.test if opt.get('model_type') == 'GenerateModel' else basicsr.train
        parsed, _ = program.parse_options(str(folder), is_train=program is basicsr.train)
        if program is basicsr.train:
            parsed['root_path'] = str(folder)
            basicsr.train.load_resume_state(parsed)
        else:
            basicsr.test.make_exp_dirs(parsed)
        return parsed

    return open_it


def read_short(path: Path) -> dict[str, Any]:
    """An option file with a batch that the tiny data hold."""
    opt = read_option_file(path)
    return merge(opt, SHORT) if 'train' in opt else opt


def build(opt: dict[str, Any], place: Place) -> None:
    """What is built of an accepted value: its network, loss or data set."""
    from basicsr.archs import build_network
    from basicsr.data import build_dataset
    from basicsr.losses import build_loss
    top, key = (*place, None)[:2]
    if str(top).startswith('network_') and opt[top]:
        with torch.device('meta'):
            build_network(opt[top])
    elif top == 'train' and str(key).endswith('_opt') and opt['train'][key]:
        build_loss(opt['train'][key])
    elif top == 'datasets':
        for section in opt['datasets'].values():
            build_dataset(section | {'manual_seed': 0})[0]


def what_happens(opt: dict[str, Any], place: Place, opened: Callable) -> str:
    """'' or what is wrong with the way in which a file is taken."""
    try:
        build(opened(opt), place)
    except UserError as error:
        lines = str(error).splitlines()
        missing = 'is missing' in lines[0]  # of data, with the command that makes it
        return '' if len(lines) == 1 or missing else f'{len(lines)} lines: {error}'
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return ''


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_file_as_it_comes_is_taken(path: Path, opened: Callable) -> None:
    opt = read_short(path)
    assert opened(opt)['name'] == opt['name']


def test_a_wrong_kind_anywhere_in_an_option_file_is_refused_in_one_line_or_works(opened: Callable) -> None:
    seen, wrong = set(), []
    for path in FILES:
        opt = read_short(path)
        for place, value, changed in variants(opt):
            case = (opt['model_type'], repr(opt[place[0]]), place, repr(value))  # many files have the same `val:`
            if case not in seen:
                seen.add(case)
                found = what_happens(changed, place, opened)
                wrong += [f"{path.stem}: {'.'.join(map(str, place))}: {value!r}: {found}"] if found else []
    assert len(seen) > 5000
    assert wrong == []


# ----------------------------------------------------------------------------------------------- recipes and benchmarks

RECIPES = [*sorted(OPTIONS.glob('cface_x?.yml')), *sorted((OPTIONS / 'demo').glob('*.yml'))]
BENCHMARKS = [path for folder in ('benchmark', 'ablation') for path in sorted((OPTIONS / folder).glob('*.yml'))]
LAID_OVER = {OPTIONS / 'ablation/small.yml': OPTIONS / 'ablation/compare_small.yml'}  # the first is only a `base:`
VARIABLES = {'recognizer': 'a.onnx', 'backbone': 'EDSR'}


@pytest.fixture
def laid_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, Any]:
    """Path -> what is read of it instead of its contents."""
    contents: dict[Path, Any] = {}
    read = cache(lambda path: pickle.dumps(read_option_file(path)))

    def read_laid_out(path: str | Path) -> Any:
        return pickle.loads(contents.get(Path(path)) or read(Path(path)))

    for room in ('training.recipe', 'benchmark.plan'):
        monkeypatch.setattr(f'cface_basicsr.{room}.read_option_file', read_laid_out)
        monkeypatch.setattr(f'cface_basicsr.{room}.check_training_options', remembered(check_training_options))
    monkeypatch.setattr('cface_basicsr.benchmark.plan.find_option_file', cache(find_option_file))
    return contents


def run_recipe(path: Path) -> None:
    """What `cface train` does with a recipe before the first step."""
    recipe = Recipe.read(path, variables=VARIABLES)
    recipe.check_options()
    for name in recipe.file.steps:
        recipe.sources(name)


def plan(path: Path) -> None:
    """What `cface benchmark` and `cface ablate` do before they look for the data, at one scale."""
    file = read_benchmark(path, VARIABLES)
    file.scales[1:] = []
    make_plan(file, None, file.budget.images or 10 ** 7)


def taken_by(use: Callable[[Path], None], path: Path) -> str:
    """'' or what is wrong with the way in which a file is taken."""
    try:
        use(path)
    except UserError as error:
        return str(error) if len(str(error).splitlines()) > 1 else ''
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return ''


@pytest.mark.parametrize('every', [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(('paths', 'use'), [(RECIPES, run_recipe), (BENCHMARKS, plan)], ids=['recipes', 'benchmarks'])
def test_a_wrong_kind_anywhere_in_a_recipe_or_benchmark_is_refused_in_one_line_or_works(
        paths: list[Path], use: Callable[[Path], None], every: int, laid_out: dict[Path, Any]) -> None:
    wrong = []
    for path in paths:
        used = LAID_OVER.get(path, path)
        use(used)  # as it comes
        for place, value, changed in variants(read_option_file(path), every):
            laid_out[path] = pickle.dumps(changed)
            found = taken_by(use, used)
            wrong += [f"{path.name}: {'.'.join(map(str, place))}: {value!r}: {found}"] if found else []
        del laid_out[path]
    assert wrong == []


# ---------------------------------------------------------------------------------------------------- the real commands

@pytest.mark.parametrize('count', [4, pytest.param(30, marks=pytest.mark.slow)])
def test_the_real_commands_refuse_a_wrong_kind_in_one_line_or_train(count: int, tmp_path: Path) -> None:
    """Tiny trainings, so that those that are taken come to their end; by our program and by BasicSR's own in turn."""
    data = write_tiny_data(tmp_path / 'data')
    files = [stage_options(stage, data) for stage in (0, 1, 4)]
    choices = [case for opt in files for case in variants(opt)]
    chosen = random.Random(count).sample(choices, count)
    jobs = []
    for number, (_, _, opt) in enumerate(chosen):
        (tmp_path / f'{number}.yml').write_text(option_text(opt))
        jobs.append([('cface_basicsr.train', 'basicsr.train')[number % 2], '-opt', f'{number}.yml'])
    (tmp_path / 'jobs.json').write_text(json.dumps(jobs))
    environment = os.environ | {'PYTHONPATH': str(REPOSITORY)}
    subprocess.run([sys.executable, '-m', 'tests.options.real_commands', 'jobs.json'], cwd=tmp_path, env=environment,
                   check=True, capture_output=True)
    wrong = []
    for number, (place, value, _) in enumerate(chosen):
        code, said = (tmp_path / f'{number}.code').read_text(), (tmp_path / f'{number}.out').read_text()
        ended = code == '0' and 'End of training' in said
        last = said.splitlines()[-3:]  # of missing data a second line gives the command that makes them
        refused = code == '2' and 'Traceback' not in said and any(line.startswith('cface: ') for line in last)
        if not (ended or refused):
            wrong.append(f"{jobs[number][0]}: {'.'.join(map(str, place))}: {value!r}: {code}: {said[-300:]}")
    assert wrong == []

"""BasicSR's own models ignore what they do not read: a misplaced key would train another thing than the file says."""

import copy
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import cface_basicsr.register
from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.benchmark.throughput import trainings
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, encode_image
from cface_basicsr.files.store_writer import StoreWriter
from cface_basicsr.options import merge, option_file, prepare_test_options, prepare_training_options, read_option_file
from cface_basicsr.options.option_file import LoggerSection, PathSection, ValSection, file_of
from cface_basicsr.options.training import BASICSR_TRAINING
from tests.small_data import write_small_data
from tests.tiny_benchmark import tiny_benchmark, write_benchmark
from tests.tiny_stages import REPOSITORY, parsed

BASELINES = REPOSITORY / 'options/baselines'
FILES = {'SRModel': 'edsr', 'SRGANModel': 'srgan', 'ESRGANModel': 'esrgan', 'CFaceModel': 'vdsr'}
BENCHMARKS = sorted(path for folder in ('benchmark', 'ablation')
                    for path in (REPOSITORY / 'options' / folder).glob('*.yml') if path.name != 'small.yml')


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp('data'), identities=2, images=2)


@pytest.fixture
def opt(request: pytest.FixtureRequest, data: Path) -> dict[str, Any]:
    """The option file of a model, on small data, as BasicSR's parser hands it over."""
    return options_of(request.param, data)


def options_of(model: str, data: Path) -> dict[str, Any]:
    opt = read_option_file(BASELINES / f'{FILES[model]}_x8.yml')
    train = {'dataroot_gt': str(data / 'hr.lmdb'), 'dataroot_lq': str(data / 'lr_x8.lmdb'), 'batch_size': 2}
    filled = {'dist': False, 'rank': 0, 'world_size': 1, 'auto_resume': False, 'is_train': True, 'num_gpu': 0,
              'root_path': '.', 'plugin': cface_basicsr.register.NAME}
    return merge(opt, {'datasets': {'train': train}}) | filled


def put(opt: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with one key more."""
    opt = copy.deepcopy(opt)
    *sections, key = place.split('.')
    section = opt
    for part in sections:
        section = section[part]
    section[key] = value
    return opt


def refusal(opt: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        prepare_training_options(opt)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# ----------------------------------------------------------------------------------------------------- what is refused

def test_a_benchmarks_change_with_one_train_too_few_is_refused(tmp_path: Path, data: Path) -> None:
    """`set: {EDSR: {train: …}}` names the phase; the section of the option file comes below it."""
    change = {'optim_g': {'lr': 0.002}}
    for written in (change, {'train': change}):
        content = tiny_benchmark(systems=['EDSR'], data=str(data), set={'EDSR': {'train': written}})
        file = read_benchmark(write_benchmark(tmp_path, content))
        if written is change:
            with pytest.raises(UserError, match=r"^benchmark, EDSR, phase 'train': option 'optim_g' is unknown; did "
                                                r"you mean 'train\.optim_g'\?$"):
                make_plan(file, tmp_path / 'run', 32)
        else:
            composed = make_plan(file, tmp_path / 'run', 32).runs[0].recipe.compose('edsr')
            assert parsed(composed, tmp_path)['train']['optim_g']['lr'] == 0.002


@pytest.mark.parametrize('opt', BASICSR_TRAINING, indirect=True)
@pytest.mark.parametrize(('place', 'right'), [
    ('manuel_seed', 'manual_seed'), ('network_gg', 'network_g'), ('dist_param', 'dist_params'),
    ('pixel_opt', 'train.pixel_opt'), ('total_iter', 'train.total_iter'), ('val_freq', 'val.val_freq'),
    ('print_freq', 'logger.print_freq'), ('pretrain_network_g', 'path.pretrain_network_g'),
    ('train.ema_deacy', 'ema_decay'), ('train.optimg', 'optim_g'), ('train.sheduler', 'scheduler'),
    ('train.pixelopt', 'pixel_opt'), ('train.perceptual', 'perceptual_opt'),
    ('path.pretrained_network_g', 'pretrain_network_g'), ('val.valfreq', 'val_freq'),
    ('logger.print_frq', 'print_freq')])
def test_a_key_that_basicsr_would_ignore_is_named_with_the_right_one(
        opt: dict[str, Any], place: str, right: str) -> None:
    if place == 'network_gg':
        opt = put(opt, place, opt['network_g'])  # a whole section
        assert "option 'network_gg' is unknown; did you mean 'network_g'?" == refusal(opt)
    else:
        assert refusal(put(opt, place, 3)) == f"option '{place}' is unknown; did you mean '{right}'?"


@pytest.mark.parametrize('opt', ['SRModel'], indirect=True)
def test_raw_images_are_refused_for_a_data_set_of_basicsr(opt: dict[str, Any], data: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / 'hr.lmdb', 'raw') as writer:
        for key in FaceStore(data / 'hr.lmdb').keys:
            writer.put(key, encode_image(FaceStore(data / 'hr.lmdb').image(key), 'raw'))
        writer.finish()
    assert refusal(put(opt, 'datasets.train.dataroot_gt', str(tmp_path / 'hr.lmdb'))) == (
        "option 'datasets.train.dataroot_gt': BasicSR's data sets cannot read the raw images of "
        f"'{tmp_path / 'hr.lmdb'}'; prepare another folder with `cface prepare --store png0`, or take a data set of "
        'this plugin.')


@pytest.mark.parametrize('opt', ['SRModel'], indirect=True)
@pytest.mark.parametrize('key', ['gan_opt', 'optim_d', 'net_d_iters', 'net_d_init_iters', 'cface_opt', 'identity_opt',
                                 'use_channels_last', 'train', 'network_g', 'lr'])
def test_a_key_of_another_model_is_refused(opt: dict[str, Any], key: str) -> None:
    assert refusal(put(opt, f'train.{key}', None)).startswith(f"option 'train.{key}' is unknown; ")


@pytest.mark.parametrize(('opt', 'network'), [('SRModel', 'network_d'), ('SRModel', 'network_r'),
                                              ('SRGANModel', 'network_r')], indirect=['opt'])
def test_a_network_that_the_model_does_not_build_is_refused(opt: dict[str, Any], network: str) -> None:
    section = {'type': 'SphereFace20', 'input_size': [128, 128]}
    message = refusal(put(opt, network, section))
    assert message.startswith(f"option '{network}' is unknown; {opt['model_type']} builds only network_")


@pytest.mark.parametrize('opt', ['CFaceModel'], indirect=True)
def test_in_our_own_models_too_a_key_is_named_with_its_section(opt: dict[str, Any]) -> None:
    assert refusal(put(opt, 'cface_opt', {})) == "option 'cface_opt' is unknown; did you mean 'train.cface_opt'?"


def test_a_test_file_is_refused_for_an_unknown_key_and_may_be_the_trainings(data: Path) -> None:
    opt = options_of('SRModel', data)
    with pytest.raises(UserError, match=r"option 'datasets\.train': a test takes its images one by one"):
        prepare_test_options(copy.deepcopy(opt))
    del opt['datasets']['train']
    prepare_test_options(copy.deepcopy(opt))
    with pytest.raises(UserError, match="option 'nework_g' is unknown; did you mean 'network_g'"):
        prepare_test_options(opt | {'nework_g': {}})
    with pytest.raises(UserError, match=r"option 'suffix' is unknown; did you mean 'val\.suffix'"):
        prepare_test_options(opt | {'suffix': 'x'})


# --------------------------------------------------------------------------------------------------- what is left alone

def read_by(pattern: str, *modules: str) -> set[str]:
    """The keys that BasicSR's source looks up."""
    sources = [inspect.getsource(importlib.import_module(f'basicsr.{name}')) for name in modules]
    return {key for source in sources for key in re.findall(pattern + r"(?:\[|\.get\()'(\w+)'", source)}


@pytest.mark.parametrize(('model', 'modules'), [
    ('SRModel', ('sr_model',)), ('SRGANModel', ('sr_model', 'srgan_model')),
    ('ESRGANModel', ('sr_model', 'srgan_model', 'esrgan_model'))])
def test_the_keys_of_train_are_those_that_basicsrs_source_reads(model: str, modules: tuple[str, ...]) -> None:
    files = [f'models.{name}' for name in ('base_model', *modules)]
    found = read_by('train_opt', *files) | read_by(r"opt\['train'\]", *files, 'train', 'utils.logger')
    ours = {'total_epoch', 'iterations_an_epoch'}
    assert set(BASICSR_TRAINING[model].model_fields) - ours == found
    networks = {key for key in read_by(r'\bopt', *files) if key.startswith('network_')}
    assert set(BASICSR_TRAINING[model].networks) == networks


def test_every_section_that_basicsrs_source_reads_is_known() -> None:
    models = [f'models.{name}' for name in ('base_model', 'sr_model', 'srgan_model', 'esrgan_model')]
    found = read_by(r'\bopt', 'train', 'test', 'utils.options', 'utils.misc', 'utils.logger', 'models',
                    'data.prefetch_dataloader', *models)
    assert {'dist_params', 'find_unused_parameters', 'root_path', 'manual_seed'} <= found
    assert found <= set(file_of('SRGANModel').model_fields)
    assert read_by(r"opt\['path'\]", 'train', 'test', 'utils.options', 'utils.misc', *models) <= set(
        PathSection.model_fields)
    assert read_by(r"opt\['val'\]", 'train', 'test', 'utils.options', *models) <= set(ValSection.model_fields)
    assert read_by(r"opt\['logger'\]", 'train', 'utils.options', 'utils.logger') <= set(LoggerSection.model_fields)


@pytest.mark.parametrize('opt', BASICSR_TRAINING, indirect=True)
def test_what_basicsr_reads_is_taken(opt: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(option_file, 'find_spec', lambda name: None)
    opt = merge(opt, {'dist_params': {'backend': 'nccl', 'port': 29500}, 'find_unused_parameters': True, 'path': {
        'pretrain_network_g': 'g.pth', 'param_key_g': 'params_ema', 'strict_load_g': False, 'resume_state': 'x.state'},
        'train': {'ema_decay': 0.999, 'warmup_iter': 5}, 'val': {'pbar': False, 'suffix': 'x'},
        'logger': {'wandb': {'project': 'p'}}})
    assert refusal(opt) == "option 'logger.wandb': 'project' needs the package wandb: `pip install wandb`."
    monkeypatch.setattr(option_file, 'find_spec', lambda name: name)
    prepare_training_options(opt)
    assert opt['train']['warmup_iter'] == 5 and opt['datasets']['train']['batch_size_per_gpu'] == 2


@pytest.mark.parametrize('path', BENCHMARKS, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_everything_that_a_benchmark_composes_is_valid_up_to_its_missing_data(path: Path, tmp_path: Path) -> None:
    file = read_benchmark(path, {'recognizer': 'a.onnx', 'backbone': 'EDSR'}, {'data': str(tmp_path)})
    for _, recipe, step in trainings(make_plan(file, tmp_path / 'run', file.budget.images)):
        opt = recipe.compose(step) | {'plugin': cface_basicsr.register.NAME, 'num_gpu': 0}
        with pytest.raises(UserError, match='is missing or unfinished'):
            prepare_training_options(opt)


@pytest.mark.parametrize('change', [{'plugin': None}, {'model_type': 'SwinIRModel'}])
def test_files_without_the_plugin_and_other_models_are_left_to_basicsr(change: dict[str, Any], data: Path) -> None:
    opt = merge(options_of('SRModel', data), change) | {'whatever': 1}
    opt['train']['more'] = 2
    if 'plugin' not in opt:  # and nothing of ours in it
        opt['datasets'] = {phase: {'type': 'PairedImageDataset'} for phase in opt['datasets']}
    prepare_training_options(opt)
    assert opt['whatever'] == 1 and opt['train']['more'] == 2

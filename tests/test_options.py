"""Options: nothing misspelt passes, and epochs and batches become BasicSR's iterations and shares."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import cface_basicsr.register
from cface_basicsr.errors import UserError
from cface_basicsr.options import (
    Optimizer,
    check_frame,
    count_identities,
    iterations_an_epoch,
    merge,
    open_section,
    prepare_training_options,
    read_option_file,
    write_option_file,
)
from cface_basicsr.options.training import Schedule
from tests.tiny_stages import REPOSITORY, parsed, stage_options, write_tiny_data

STAGE_1 = 'options/cface_stage1.yml'


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp('tiny'))


@pytest.fixture
def opt(data: Path) -> dict[str, Any]:
    """Stage 4 (it has every section), as BasicSR's parser hands it over."""
    opt = stage_options(4, data)
    return opt | {'dist': False, 'rank': 0, 'world_size': 1, 'auto_resume': False, 'is_train': True,
                  'plugin': cface_basicsr.register.NAME}


def renamed(opt: dict[str, Any], place: str, new: str) -> dict[str, Any]:
    """A copy in which one key has another name."""
    opt = copy.deepcopy(opt)
    *sections, key = place.split('.')
    section = opt
    for part in sections:
        section = section[part]
    section[new] = section.pop(key)
    return opt


def refusal(opt: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        prepare_training_options(opt)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    return message


# ------------------------------------------------------------------------------------------------------ misspelt names

@pytest.mark.parametrize(('place', 'wrong', 'right'), [
    ('manual_seed', 'manuel_seed', 'manual_seed'), ('logger', 'loger', 'logger'), ('train', 'trian', 'train'),
    ('datasets.train', 'datasets.trian', 'train'), ('datasets.train.use_hflip', 'use_flip', 'use_hflip'),
    ('datasets.train.compare_mode', 'compare_mod', 'compare_mode'),
    ('datasets.val.num_images', 'num_image', 'num_images'),
    ('network_g.num_feat', 'num_feats', 'num_feat'), ('network_d.input_size', 'inputsize', 'input_size'),
    ('network_r.feature_length', 'features_length', 'feature_length'),
    ('network_c.num_classes', 'num_class', 'num_classes'),
    ('path.pretrain_network_r', 'pretrained_network_r', 'pretrain_network_r'),
    ('train.cface_opt', 'cfaceopt', 'cface_opt'), ('train.cface_opt.gamma1', 'gama1', 'gamma1'),
    ('train.gan_opt.gan_type', 'gan_typ', 'gan_type'), ('train.recognition_opt.margin', 'margins', 'margin'),
    ('train.optim_g.lr', 'lrr', 'lr'), ('train.optim_g.schedule', 'shedule', 'schedule'),
    ('train.optim_d.schedule.gamma', 'gama', 'gamma'), ('val.val_freq', 'valfreq', 'val_freq'),
    ('val.metrics.psnr.crop_border', 'crop_boarder', 'crop_border'), ('logger.print_freq', 'print_frq', 'print_freq')])
def test_a_misspelt_option_is_named_with_the_nearest_valid_one(
        opt: dict[str, Any], place: str, wrong: str, right: str) -> None:
    message = refusal(renamed(opt, place, wrong.rpartition('.')[2]))
    assert len(message.splitlines()) == 1
    assert wrong.rpartition('.')[2] in message
    assert f"did you mean '{right}'?" in message


@pytest.mark.parametrize(('place', 'value', 'message'), [
    ('model_type', 'CFaceModle', "did you mean 'CFaceModel'?"),
    ('network_g.type', 'SRResnet', "did you mean 'SRResNet'?"),
    ('network_d.type', 'EDSR', r"option 'network_d.type': EDSR enlarges images \('upscale'\), and this one judges "
                               'them; take one that does, such as SRGANDiscriminator.'),
    ('network_d.type', 'SRResNet', r"option 'network_d.type': SRResNet enlarges images \('scale'\)"),
    ('network_d.type', 'SphereFace20', "option 'network_d.type': SphereFace20 is not a discriminator; valid here: "
                                       'HiFaceGANDiscriminator, SRGANDiscriminator, StyleGAN2Discriminator, '),
    *(('network_d.type', name, f'{name} is not a discriminator') for name in (
        'OnnxRecognizer', 'ASoftmaxHead', 'VGGFeatureExtractor', 'StyleGAN2Generator')),
    ('train.cface_opt.type', 'CFaceLos', "did you mean 'CFaceLoss'?"),
    ('datasets.train.type', 'CFaceTripletsDataset', "did you mean 'CFaceTripletDataset'?"),
    ('val.metrics.psnr.type', 'calculate_pnsr', "did you mean 'calculate_psnr'?"),
    ('train.optim_g.type', 'Adaam', "option 'train.optim_g.type': input should be 'Adam'"),
    ('train.optim_g.lr', 'fast', "option 'train.optim_g.lr': input should be a valid number.*got 'fast'"),
    ('network_g.num_feat', '64', "option 'network_g.num_feat': input should be a valid integer, got '64'"),
    ('train.cface_opt.gamma1', '5e-2', "option 'train.cface_opt.gamma1': input should be a valid number, got '5e-2'"),
    ('datasets.train.k', 0, "option 'datasets.train.k': input should be greater than or equal to 1, got 0"),
    ('datasets.train.dataroot_gt', 5, "option 'datasets.train.dataroot_gt': input should be a valid string, got 5"),
    ('path.ignore_resume_networks', 5, "'path.ignore_resume_networks': input should be a valid string or input should "
                                       'be a valid list, got 5'),
    ('path', None, "option 'path': input should be a section, got None"),
    ('network_r', 'net_r.pth', "option 'network_r': input should be a section, got 'net_r.pth'"),
    ('train.optim_r.schedule', {'gamma': 1}, "option 'train.optim_r.schedule': a constant schedule has no 'gamma'"),
    ('train.ema_decay', 1.0, "option 'train.ema_decay': input should be less than 1, got 1.0"),
    ('train.total_iter', 0, "option 'train.total_iter': input should be greater than or equal to 1, got 0"),
    ('datasets', None, "option 'datasets': input should be a section, got None"),
    ('datasets.val', None, "option 'datasets.val': input should be a section"),
    ('network_g', 'SRResNet', "option 'network_g': input should be a section, got 'SRResNet'"),
    ('manual_seed', -1, "option 'manual_seed': input should be greater than or equal to 0, got -1"),
    ('num_gpu', 'none', "option 'num_gpu': input should be 'auto' or input should be a valid integer, got 'none'"),
    ('name', 'a/b', "option 'name': expected the name of a folder, without '/', got 'a/b'"),
    ('scale', '4', "option 'scale': input should be a valid integer, got '4'"),
    ('datasets.train.batch_size', '4', "option 'datasets.train.batch_size': input should be a valid integer, got '4'"),
    ('datasets.train.use_hflip', 'no', "option 'datasets.train.use_hflip': input should be a valid boolean, got 'no'"),
    ('datasets.val.prefetch_mode', 'cuda', "'datasets.val.prefetch_mode': 'cuda' needs 'pin_memory: true'"),
    ('logger.print_freq', 0, "option 'logger.print_freq': input should be greater than or equal to 1, got 0"),
    ('logger.save_checkpoint_freq', 10.0, "save_checkpoint_freq': input should be a valid integer, got 10.0"),
    ('train.gan_opt.gan_type', 'vanila', "option 'train.gan_opt.gan_type': input should be 'vanilla', .*got 'vanila'"),
    ('train.gan_opt.loss_weight', '0.1', "option 'train.gan_opt.loss_weight': input should be a valid number"),
    ('train.content_opt.reduction', 'none', "option 'train.content_opt.reduction': input should be 'mean' or 'sum'"),
    ('train.cface_opt.distance', 'euclid', "option 'train.cface_opt.distance': input should be 'normalized', 'l2' or"),
    ('train.optim_g.lr', float('nan'), "option 'train.optim_g.lr': input should be a finite number, got nan"),
    ('train.optim_g.lr', -0.1, "option 'train.optim_g.lr': input should be greater than 0, got -0.1"),
    ('train.optim_g.lr', 0, "option 'train.optim_g.lr': input should be greater than 0, got 0"),
    ('train.optim_g.eps', 0, "option 'train.optim_g.eps': input should be greater than 0, got 0"),
    ('train.optim_g.schedule.gamma', 99, "option 'train.optim_g.schedule.gamma': input should be less than or equal"),
    ('train.content_opt.loss_weight', -2.0, "option 'train.content_opt.loss_weight': input should be greater than or "
                                            'equal to 0, got -2.0'),
    ('train.cface_opt.gamma2', -0.1, "option 'train.cface_opt.gamma2': input should be greater than or equal to 0"),
    ('val.suffix', 'a/b', "option 'val.suffix': expected the name of a folder, without '/', got 'a/b'"),
    ('network_g.scale', 4, "option 'network_g.scale' is 4, but 'scale' is 8."),
    ('network_g', {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3}, "option 'network_g.upscale' is 4, but 'scale' is"),
    ('train.cface_opt', {'type': 'L1Loss'}, "'train.cface_opt.type': L1Loss is a loss of another kind; valid here: "
                                            r'CFaceLoss\.$'),
    ('train.gan_opt', {'type': 'L1Loss'}, 'L1Loss is a loss of another kind; valid here: GANLoss, MultiScaleGANLoss'),
    ('train.recognition_opt', {'type': 'MSELoss'}, r'MSELoss is a loss of another kind; valid here: ASoftmaxLoss\.$'),
    ('train.content_opt', {'type': 'GANLoss', 'gan_type': 'vanilla'}, 'another kind; valid here: CharbonnierLoss, '),
    ('train.pixel_opt', {'type': 'VGGPerceptualLoss'}, 'VGGPerceptualLoss is a loss of another kind'),
    ('train.content_opt', {'type': 'WeightedTVLoss'}, 'WeightedTVLoss is a loss of another kind'),
    ('train.content_opt', {'type': 'CFaceLoss', 'gamma1': 1, 'gamma2': 1}, 'CFaceLoss is a loss of another kind'),
    ('train.optim_g.betas', [0.9, 2], "option 'train.optim_g': Adam refuses this: ValueError: Invalid beta parameter"),
    ('train.optim_g.momentum', 0.9, "option 'train.optim_g.momentum' is unknown"),
    ('train.optim_g.schedule', 'epoch', "option 'train.optim_g.schedule': input should be a section")])
def test_a_wrong_value_is_named(opt: dict[str, Any], place: str, value: Any, message: str) -> None:
    *sections, key = place.split('.')
    section = opt
    for part in sections:
        section = section[part]
    section[key] = value
    with pytest.raises(UserError, match=message.replace('?', r'\?')):
        prepare_training_options(opt)


@pytest.mark.parametrize('place', ['logger.print_freq', 'train.optim_g.lr', 'val.save_img', 'datasets.train.batch_size',
                                   'datasets.train.num_worker_per_gpu', 'network_c.feature_length', 'train.optim_g',
                                   'val.metrics.psnr.crop_border', 'network_g', 'network_d.type',
                                   'train.cface_opt.type', 'datasets.val.type', 'val.val_freq', 'logger', 'train',
                                   'datasets.train'])
def test_a_missing_option_is_named(opt: dict[str, Any], place: str) -> None:
    *sections, key = place.split('.')
    section = opt
    for part in sections:
        section = section[part]
    del section[key]
    assert key in refusal(opt)
    assert 'missing' in refusal(opt)


def test_an_argument_of_a_metric_may_not_be_null(opt: dict[str, Any]) -> None:
    """BasicSR would fail with it at the first validation only."""
    opt['val']['metrics']['psnr']['crop_border'] = None
    assert refusal(opt) == "option 'val.metrics.psnr.crop_border': input should be a valid integer, got None."


@pytest.mark.parametrize('key', ['name', 'model_type', 'num_gpu', 'datasets', 'path'])
def test_a_section_that_basicsrs_parser_needs_is_missed_before_it_does(opt: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"option '{key}_' is unknown; did you mean '{key}'"):
        check_frame(renamed(opt, key, f'{key}_'))
    del opt[key]
    with pytest.raises(UserError, match=f"option '{key}' is missing"):
        check_frame(opt)


def test_a_training_with_a_misspelt_section_ends_in_one_line_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    write_option_file(renamed(stage_options(1, data), 'path', 'pathe'), tmp_path / 'stage.yml')
    done = subprocess.run([sys.executable, '-m', 'basicsr.train', '-opt', 'stage.yml'], cwd=tmp_path, text=True,
                          capture_output=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "cface: option 'pathe' is unknown; did you mean 'path'?"
    assert 'Traceback' not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['stage.yml']


def test_a_training_without_any_loss_for_its_generator_is_refused(opt: dict[str, Any]) -> None:
    for key in ('content_opt', 'gan_opt', 'cface_opt'):
        del opt['train'][key]
    assert refusal(opt) == ("option 'train': no loss: expected one of pixel_opt, content_opt, gan_opt, cface_opt, with "
                            'a weight above 0.')


@pytest.mark.parametrize(('place', 'value', 'message'), [
    ('num_gpu', 2, "option 'num_gpu' is 2, and torch sees no GPU here; take auto or 0, the CPU."),
    ('datasets.train', {'prefetch_mode': 'cuda', 'pin_memory': True},
     "option 'datasets.train.prefetch_mode': torch sees no GPU; take cpu, or leave it out.")])
def test_what_needs_a_gpu_is_refused_where_there_is_none(
        opt: dict[str, Any], place: str, value: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    *sections, key = place.split('.')
    changed = {key: value}
    for part in reversed(sections):
        changed = {part: changed}
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    prepare_training_options(merge(opt, changed))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert refusal(merge(opt, changed)) == message


# ----------------------------------------------------------------------------------------------- parts that go together

@pytest.mark.parametrize(('change', 'message'), [
    ({'network_d': None}, "'train.gan_opt' needs 'network_d'"),
    ({'train': {'optim_d': None}}, "'train.gan_opt' needs 'optim_d'"),
    ({'network_r': None}, "'train.cface_opt' needs 'network_r'"),
    ({'train': {'optim_r': None}}, "'train.recognition_opt' needs 'optim_r'"),
    ({'path': {'pretrain_network_r': None}}, "'path.pretrain_network_r' is missing: 'train.cface_opt' needs a ")])
def test_a_loss_without_its_network_is_refused(opt: dict[str, Any], change: dict[str, Any], message: str) -> None:
    assert message in refusal(merge(opt, change))


def test_a_recognition_training_with_a_validation_section_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match='RecognitionModel has no validation'):
        parsed(stage_options(0, data, {'val': {'val_freq': 5, 'save_img': False}}), tmp_path)


@pytest.mark.parametrize(('without', 'kind', 'message'), [
    (('compare_index', 'compare_mode', 'k', 'use_hflip'), 'FacePairDataset',
     "'datasets.train.type': FacePairDataset has no 'compare_mode', which 'cface_opt' needs; take CFaceTripletDataset"),
    (('compare_index', 'compare_mode', 'k', 'dataroot_lq'), 'LabelledFaceDataset',
     "'datasets.train.type': LabelledFaceDataset has no 'dataroot_lq', which 'network_g' needs; take "
     'CFaceGenerateDataset or CFaceTripletDataset or FacePairDataset')])
def test_a_training_set_without_what_the_model_reads_is_refused_before_the_first_batch(
        opt: dict[str, Any], without: tuple[str, ...], kind: str, message: str) -> None:
    opt['datasets']['train'] = {key: value for key, value in opt['datasets']['train'].items() if key not in without}
    opt['datasets']['train']['type'] = kind
    assert message in refusal(opt)


def test_two_sets_of_one_name_are_refused_since_basicsr_keeps_best_values_by_name(opt: dict[str, Any]) -> None:
    val = opt['datasets']['val']
    opt['datasets'] = {'train': opt['datasets']['train'], 'val': val, 'val_2': dict(val)}
    assert refusal(opt) == (f"option 'datasets.val_2.name': {val['name']!r} is the name of 'val', too; give each its "
                            'own.')


def test_losses_that_all_have_the_weight_0_are_none(opt: dict[str, Any]) -> None:
    for name, weights in (('content_opt', ('loss_weight',)), ('gan_opt', ('loss_weight',)),
                          ('cface_opt', ('gamma1', 'gamma2'))):
        opt['train'][name] |= dict.fromkeys(weights, 0)
    assert refusal(opt).startswith("option 'train': no loss: expected one of ")
    opt['train']['cface_opt']['gamma2'] = 0.1
    prepare_training_options(opt)


@pytest.mark.parametrize(('labels', 'message'), [
    ([1, 1, 2, 2], 'expected the labels 0 to 1, one for each person; none is 0, and the largest is 2.'),
    ([0, 0, 20, 20], 'expected the labels 0 to 1, one for each person; none is 1, and the largest is 20.'),
    ([-1, -1, 0, 0], 'with a whole number from 0 as label'),
    ([0, 0, 0, 10 ** 20], 'with a whole number from 0 as label'),
    ([0, 0, 0, 0], 'all images of the training set are of one person')])
def test_labels_that_are_not_numbered_from_0_are_refused_before_a_classifier_is_built(
        opt: dict[str, Any], tmp_path: Path, labels: list[int], message: str) -> None:
    rows = [f'{label}/{row},{label},x' for row, label in enumerate(labels)]
    (tmp_path / 'identities.csv').write_text('\n'.join(['key,label,original_name', *rows, '']))
    opt['datasets']['train']['identities'] = str(tmp_path)
    with pytest.raises(UserError, match=message):
        prepare_training_options(opt)


def test_the_number_of_classes_is_read_from_the_labels_and_another_one_is_refused(
        opt: dict[str, Any], data: Path) -> None:
    assert count_identities({'identities': str(data / 'train')}) == 4
    filled = copy.deepcopy(opt)
    prepare_training_options(filled)
    assert filled['network_c']['num_classes'] == 4
    opt['network_c']['num_classes'] = 7
    assert "'network_c.num_classes' is 7, but the training set has 4 identities" in refusal(opt)


def test_a_frozen_recognizer_is_read_from_its_own_file_when_a_training_is_resumed(data: Path, tmp_path: Path) -> None:
    assert parsed(stage_options(1, data), tmp_path)['path']['ignore_resume_networks'] == ['network_r']
    assert 'ignore_resume_networks' not in parsed(stage_options(4, data), tmp_path)['path']


@pytest.mark.parametrize(('store', 'command'), [
    ('faces/hr.lmdb', 'cface prepare --layout casia SRC --out faces --scale 2 4 8 --crop center'),
    ('faces/train/hr.lmdb',
     'cface prepare --layout casia SRC --out faces --scale 2 4 8 --crop center --holdout N --seed 0'),
    ('faces/train/sr_x4.lmdb',
     'cface generate faces/train --weights NET_G.pth --out faces/train/sr_x4.lmdb   (stage 2)')])
def test_a_missing_store_is_named_with_the_command_that_makes_it(
        opt: dict[str, Any], store: str, command: str) -> None:
    """The command writes to the place that the option file names."""
    opt['datasets']['train']['dataroot_gt'] = store
    assert refusal(opt).endswith(f"'{store}' is missing or unfinished (no meta_info.txt).\nMake it: {command}")


# -------------------------------------------------------------------------------------------------- batches and epochs

@settings(deadline=None, max_examples=60)
@given(images=st.integers(1, 60), world=st.integers(1, 4), batch=st.integers(1, 9))
def test_iterations_an_epoch_are_those_of_a_literal_loop_over_a_loader(images: int, world: int, batch: int) -> None:
    numbers = TensorDataset(torch.arange(images))
    sampler = DistributedSampler(numbers, num_replicas=world, rank=world - 1, shuffle=False, drop_last=True)
    loop = sum(1 for _ in DataLoader(numbers, batch, sampler=sampler, drop_last=True))
    assert iterations_an_epoch(images, world, batch) == loop


@given(world=st.integers(1, 8), devices=st.integers(0, 4), batch=st.integers(1, 64))
@settings(deadline=None, max_examples=40)
def test_a_global_batch_is_shared_by_all_devices_or_refused(world: int, devices: int, batch: int) -> None:
    from cface_basicsr.options.checks import _fill_batch
    opt = {'dist': world > 1, 'world_size': world, 'num_gpu': devices,
           'datasets': {'train': {'batch_size': batch, 'num_worker_per_gpu': 0}}}
    parts = world if world > 1 else max(devices, 1)
    if batch % parts:
        with pytest.raises(UserError, match=f'{batch} images cannot be shared by {parts} devices'):
            _fill_batch(opt)
    else:
        _fill_batch(opt)
        assert opt['datasets']['train'] == {'batch_size_per_gpu': batch // parts, 'num_worker_per_gpu': 0}


def test_the_global_batch_and_basicsrs_own_exclude_each_other(opt: dict[str, Any]) -> None:
    opt['datasets']['train']['batch_size_per_gpu'] = 4
    assert 'exclude each other' in refusal(opt)


@pytest.mark.parametrize(('ratio', 'iterations'), [(1, 6), (5, 30)])
def test_epochs_become_iterations_of_the_true_data_set(opt: dict[str, Any], ratio: int, iterations: int) -> None:
    opt['train'] = merge(opt['train'], {'total_iter': None, 'total_epoch': 2})
    opt['datasets']['train']['dataset_enlarge_ratio'] = ratio
    prepare_training_options(opt)
    assert opt['train']['total_iter'] == iterations  # 12 images in batches of 4, twice
    assert 'total_epoch' not in opt['train']


def test_epochs_count_both_stores_of_stage_3(data: Path, tmp_path: Path) -> None:
    assert parsed(stage_options(3, data), tmp_path)['train']['iterations_an_epoch'] == 6


@pytest.mark.parametrize('length', [{'total_iter': 5, 'total_epoch': 1}, {}, {'total_iter': None, 'total_epoch': None}])
def test_a_training_has_one_length(opt: dict[str, Any], length: dict[str, int]) -> None:
    del opt['train']['total_iter']
    opt['train'] |= length
    assert f"got {'both; set one of them to ~' if any(length.values()) else 'neither'}" in refusal(opt)


def test_fewer_images_than_a_batch_are_refused_with_both_numbers(opt: dict[str, Any]) -> None:
    opt['datasets']['train']['batch_size'] = 13
    assert 'has 12 images, fewer than one batch of 13' in refusal(opt)


def test_a_decay_by_epochs_needs_to_know_an_epochs_length(opt: dict[str, Any]) -> None:
    opt['datasets']['train'] = {'name': 'pictures', 'type': 'PairedImageDataset', 'dataroot_gt': 'pictures',
                                'dataroot_lq': 'small', 'io_backend': {'type': 'disk'}, 'gt_size': 128,
                                'use_hflip': True, 'use_rot': False, 'batch_size': 4, 'num_worker_per_gpu': 0}
    opt = merge(opt, {'train': dict.fromkeys(('cface_opt', 'recognition_opt'))})
    assert "'epoch' needs LMDB stores" in refusal(opt)


@given(iteration=st.integers(0, 200), length=st.integers(1, 30), gamma=st.floats(0.1, 1))
def test_a_rate_that_falls_each_epoch_is_a_literal_loop(iteration: int, length: int, gamma: float) -> None:
    rate = 1.0
    for done in range(1, iteration + 1):
        if done % length == 0:
            rate *= gamma
    assert Schedule(type='epoch', gamma=gamma).factor(iteration, length) == pytest.approx(rate)


def test_a_cosine_falls_to_its_least_rate_and_stays_there() -> None:
    cosine = Schedule(type='cosine', period=8, gamma=0.1)
    torchs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    literal = torch.optim.lr_scheduler.CosineAnnealingLR(torchs, T_max=8, eta_min=0.1)
    for iteration in range(9):
        assert cosine.factor(iteration, 3) == pytest.approx(torchs.param_groups[0]['lr'])
        torchs.step()
        literal.step()
    assert cosine.factor(100, 3) == pytest.approx(0.1)
    assert Schedule(type='cosine', period=8).factor(8, 3) == 0


@pytest.mark.parametrize(('schedule', 'message'), [
    ({'type': 'cosine'}, "'period' .* goes with the schedule 'cosine'"),
    ({'type': 'steps', 'milestones': [3]}, "'steps' needs 'gamma'"),
    ({'type': 'epoch'}, "'epoch' needs 'gamma'"),
    ({'type': 'steps', 'gamma': 0.5}, "'milestones' .* go with the schedule 'steps'"),
    ({'type': 'epoch', 'gamma': 0.5, 'milestones': [3]}, "'milestones' .* go with the schedule 'steps'"),
    ({'gamma': 0.5}, "a constant schedule has no 'gamma'"),
])
def test_a_schedule_with_a_part_missing_or_without_use_is_refused(schedule: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_section(Optimizer, {'lr': 1e-3, 'schedule': schedule}, 'train.optim_g')


def test_milestones_may_come_in_any_order_and_the_default_rate_stays() -> None:
    steps = Schedule(type='steps', milestones=[6, 3], gamma=0.5)
    assert [steps.factor(i, 1) for i in (0, 2, 3, 5, 6, 90)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert Schedule().factor(1000, 1) == 1


def test_an_optimizer_passes_on_what_the_file_sets_and_nothing_else() -> None:
    schedule = {'type': 'epoch', 'gamma': 1}
    section = open_section(Optimizer, {'type': 'SGD', 'lr': 1, 'momentum': 0.9, 'schedule': schedule}, 'optim')
    assert section.arguments() == {'momentum': 0.9}


# ------------------------------------------------------------------------------------------------------- files, merging

def test_an_option_file_is_read_without_running_its_code(tmp_path: Path) -> None:
    path = tmp_path / 'x.yml'
    path.write_text('plugin: !!python/name:cface_basicsr.register.NAME\nname: a\n')
    assert read_option_file(path) == {'plugin': 'cface_basicsr.register.NAME', 'name': 'a'}
    path.write_text('a: !!python/object/apply:os.mkdir ["made"]\n')
    with pytest.raises(UserError, match=r"x.yml', line 1 is not valid YAML"):
        read_option_file(path)
    assert not Path('made').exists()


@pytest.mark.parametrize(('text', 'message'), [
    ('a: [1', 'line 2 is not valid YAML'), ('', 'holds no settings'), ('- 1', 'holds no settings')])
def test_a_broken_option_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'x.yml').write_text(text + '\n')
    with pytest.raises(UserError, match=message):
        read_option_file(tmp_path / 'x.yml')
    with pytest.raises(UserError, match=r"y.yml' is missing"):
        read_option_file(tmp_path / 'y.yml')


@pytest.mark.parametrize('path', sorted((REPOSITORY / 'options').glob('cface_stage*.yml')), ids=lambda path: path.stem)
def test_a_written_file_reads_as_it_was_by_both_readers(path: Path, tmp_path: Path) -> None:
    from basicsr.utils.options import ordered_yaml
    opt = read_option_file(path)
    write_option_file(opt, tmp_path / 'again.yml')
    assert read_option_file(tmp_path / 'again.yml') == opt | {'plugin': 'cface_basicsr.register.NAME'}
    theirs = yaml.load((tmp_path / 'again.yml').read_text(), Loader=ordered_yaml()[0])
    assert theirs == opt | {'plugin': cface_basicsr.register.NAME}


LEAVES = st.none() | st.integers(0, 3)
INNER = st.dictionaries(st.sampled_from('ab'), LEAVES, max_size=2)
SECTIONS = st.dictionaries(st.sampled_from('ab'), LEAVES | INNER | st.dictionaries(st.just('a'), INNER), max_size=2)


def literal_merge(base: Any, change: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    merged = {key: base[key] for key in base if change.get(key, 0) is not None}
    return merged | {key: literal_merge(base.get(key), value) for key, value in change.items() if value is not None}


@given(base=SECTIONS, change=SECTIONS)
def test_merging_lays_changes_over_section_by_section(base: dict[str, Any], change: dict[str, Any]) -> None:
    before = copy.deepcopy((base, change))
    assert merge(base, change) == literal_merge(base, change)
    assert (base, change) == before  # neither is touched


def test_a_section_of_another_type_replaces_the_old_one() -> None:
    base = {'net': {'type': 'A', 'width': 1}}
    assert merge(base, {'net': {'type': 'B', 'depth': 2}}) == {'net': {'type': 'B', 'depth': 2}}
    assert merge(base, {'net': {'type': 'A', 'depth': 2}}) == {'net': {'type': 'A', 'width': 1, 'depth': 2}}
    assert merge(base, {'net': {'width': None}}, keep_null=True) == {'net': {'type': 'A', 'width': None}}


def test_a_file_without_the_plugin_line_is_left_to_basicsr() -> None:
    opt = {'model_type': 'Whatever'}
    prepare_training_options(opt)
    assert opt == {'model_type': 'Whatever'}


@pytest.mark.parametrize('others', ['CFaceModel', 'SRModel'])
def test_a_file_of_our_classes_without_the_plugin_line_is_told_that_it_lacks_it(
        opt: dict[str, Any], others: str) -> None:
    del opt['plugin']
    assert refusal(opt | {'model_type': others}).startswith("option '")  # SRModel: a key that it does not know
    assert 'plugin' in refusal(opt) and 'missing' in refusal(opt)

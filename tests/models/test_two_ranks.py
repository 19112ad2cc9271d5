"""Two ranks compute what one computes from the same global batch: every loss and number of the log, in float64."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.models.recognition import _spread, check_collapse, recognition_step
from cface_basicsr.options import merge
from tests.small_data import write_small_data
from tests.tiny_stages import batch_of, build, parsed, stage_options, tiny, write_recognizer
from tests.two_ranks import on_both_ranks
from tests.vgg_file import write_seeded_vgg19

SIDE = 16
NAMES = ('stage 0', 'stage 1', 'stage 3', 'stage 4', 'SRGAN', 'SICNN')


def options(name: str, data: Path) -> dict[str, Any]:
    """The options of a training at tiny widths, on images of 16x16."""
    def small(file: str, changes: Mapping[str, Any], handed_over: str = '') -> dict[str, Any]:
        opt = merge(tiny(file, data, handed_over=handed_over), changes)
        sizes = {'network_d': {'input_size': SIDE}, 'network_r': {'input_size': [SIDE, SIDE]}}
        opt = merge(opt, {key: size for key, size in sizes.items() if key in opt})
        if 'r' in handed_over:
            opt['path']['pretrain_network_r'] = str(write_recognizer(data / 'net_r_16.pth', input_size=[SIDE, SIDE]))
        return opt

    match name:
        case 'SRGAN':
            vgg = {'layer': 'relu1_1', 'weights': str(write_seeded_vgg19(data / 'vgg19.pth', layer='relu1_1'))}
            return small('baselines/srgan_x8.yml', {'train': {'perceptual_opt': vgg}})
        case 'SICNN':
            widths = {'num_block': None, 'num_grow_ch': 2, 'num_dense': 1}
            return small('baselines/sicnn_x8.yml', {'network_g': widths}, 'rc')
    changes = {'stage 1': {'ema_decay': 0.9}, 'stage 3': {'head_only_iter': 5}}.get(name, {})
    return small(f'cface_{name.replace(" ", "")}.yml', {'train': changes}, '' if name == 'stage 0' else 'rc')


def faces(iteration: int, side: int, images: int = 8) -> dict[str, Any]:
    """A global batch as the stages' data set makes it, other faces in each iteration; one has no compare face."""
    generator = torch.Generator().manual_seed(iteration)
    lq = torch.rand(images, 3, side // 8, side // 8, generator=generator).double()
    gt = nn.functional.interpolate(lq, scale_factor=8, mode='bilinear')
    return {'lq': lq, 'gt': gt, 'compare': gt.roll(1, 0) / 2, 'label': torch.arange(images) % 4,
            'has_compare': torch.arange(images) < images - 1, 'gt_path': [str(number) for number in range(images)]}


def train(opt: dict[str, Any], folder: str, ranks: int, steps: int, side: int) -> list[dict[str, float]]:
    """What this rank logs in each iteration of a training; `ranks` share the batch as the sampler deals it out."""
    from basicsr.models import build_model
    from basicsr.utils import set_random_seed
    rank = torch.distributed.get_rank() if ranks > 1 else 0
    opt = parsed(opt, Path(folder, str(ranks), str(rank))) | {'dist': ranks > 1, 'rank': rank, 'world_size': ranks}
    torch.set_default_dtype(torch.float64)
    try:
        set_random_seed(opt['manual_seed'] + rank)  # as BasicSR does: DDP sends rank 0's weights to all
        model = build_model(opt)
        logged = []
        for iteration in range(1, steps + 1):
            model.update_learning_rate(iteration)
            model.feed_data({key: values[rank::ranks] for key, values in faces(iteration, side).items()})
            model.optimize_parameters(iteration)
            logged.append(dict(model.get_current_log()))
        return logged
    finally:
        torch.set_default_dtype(torch.float32)


def assert_two_ranks_equal_one(opt: dict[str, Any], folder: Path, steps: int = 50, side: int = SIDE) -> None:
    alone = train(opt, str(folder), 1, steps, side)
    together, _ = on_both_ranks(train, opt, str(folder), 2, steps, side)
    for iteration, (one, two) in enumerate(zip(alone, together, strict=True), start=1):
        assert two == pytest.approx(one, rel=1e-5, abs=1e-5), f'iteration {iteration}'


def reductions_of_a_step(opt: dict[str, Any], folder: str) -> int:
    """How often DDP averages gradients of N_D in a step."""
    from basicsr.models import build_model
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
    rank = torch.distributed.get_rank()
    model = build_model(parsed(opt, Path(folder, str(rank))) | {'dist': True, 'rank': rank, 'world_size': 2})
    counted: list[int] = []
    model.net_d.register_comm_hook(None, lambda _, bucket: (counted.append(1), allreduce_hook(None, bucket))[1])
    model.feed_data({key: values.float() if torch.is_tensor(values) and values.is_floating_point() else values
                     for key, values in faces(1, SIDE).items()})
    model.optimize_parameters(1)
    return len(counted)


@pytest.mark.parametrize('reuse', [False, True])
def test_the_gradients_of_the_discriminator_are_averaged_once_in_a_step(
        data: Path, tmp_path: Path, reuse: bool) -> None:
    opt = merge(options('stage 1', data), {'train': {'net_d_reuse_fake': reuse}})
    assert on_both_ranks(reductions_of_a_step, opt, str(tmp_path)) == [1, 1]


@pytest.mark.parametrize('name', NAMES)
def test_two_ranks_have_the_losses_of_one_over_50_steps(data: Path, tmp_path: Path, name: str) -> None:
    assert_two_ranks_equal_one(options(name, data), tmp_path)


def test_a_relativistic_discriminator_compares_with_the_mean_of_both_ranks(data: Path, tmp_path: Path) -> None:
    changes = {'network_g': {'num_grow_ch': 2}, 'network_d': {'num_dense': None}, 'train': {'perceptual_opt': None}}
    opt = tiny('baselines/esrgan_x8.yml', data, changes)
    assert_two_ranks_equal_one(opt, tmp_path, steps=5, side=128)


def test_without_sync_batchnorm_each_rank_normalizes_by_its_own_part(data: Path, tmp_path: Path) -> None:
    opt = options('stage 1', data) | {'sync_batchnorm': False}
    with pytest.raises(AssertionError, match='iteration 1'):
        assert_two_ranks_equal_one(opt, tmp_path, steps=1)


def validated(opt: dict[str, Any], folder: str, ranks: int) -> tuple[dict[str, float], int]:
    """What a stage's validation logs on this rank, and the faces that it shows in TensorBoard."""
    from basicsr.data import build_dataloader, build_dataset
    from basicsr.models import build_model
    rank = torch.distributed.get_rank() if ranks > 1 else 0
    opt = parsed(opt, Path(folder, str(ranks), str(rank))) | {'dist': ranks > 1, 'rank': rank, 'world_size': ranks}
    torch.manual_seed(0)
    model = build_model(opt)
    loader = build_dataloader(build_dataset(opt['datasets']['val']), opt['datasets']['val'], num_gpu=0)
    shown: list[Any] = []
    log = SimpleNamespace(add_scalar=lambda *given: None, add_image=lambda name, faces, number: shown.append(faces))
    model.validation(loader, 1, None if rank else log, False)
    return getattr(model, 'metric_results', {}), len(shown)


def test_two_ranks_validate_a_stage_with_the_values_of_one(data: Path, tmp_path: Path) -> None:
    write_small_data(tmp_path / 'many', identities=8, images=3, seed=2)
    stores = {'dataroot_gt': str(tmp_path / 'many/hr.lmdb'), 'dataroot_lq': str(tmp_path / 'many/lr_x8.lmdb')}
    judge = {'recognizer': str(write_recognizer(tmp_path / 'judge.pth', seed=4)), 'folds': 3}
    opt = merge(options('stage 1', data), {'datasets': {'val': {**stores, 'num_images': None}},
                                           'val': {'batch_size': 2, 'verification': judge}})
    alone = validated(opt, str(tmp_path), 1)
    assert alone[0].keys() == {'psnr', 'ssim', 'verification'} and 0.5 < alone[0]['verification'] < 1 and alone[1] == 1
    assert on_both_ranks(validated, opt, str(tmp_path), 2) == [alone, ({}, 0)]


class _SharedByTwo(nn.DataParallel):
    """What DataParallel does on two GPUs: each gets half of the batch, and the results are joined along dimension 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.module(half) for half in x.chunk(2)])


def test_a_process_with_two_gpus_trains_the_recognizer_as_with_one(data: Path, tmp_path: Path) -> None:
    losses = []
    for wrap in (nn.Identity, _SharedByTwo):
        model = build(stage_options(0, data), tmp_path)
        model.feed_data(batch_of(model))
        if wrap is _SharedByTwo:
            model.net_r, model.net_c = wrap(model.net_r), wrap(model.net_c)
        losses.append([recognition_step(model, model.gt, model.label)['l_fr'].item() for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def refusal_with_one_face_a_rank(apart: float) -> str:
    """Two ranks whose unit features were at right angles at the first step, and now differ by `apart`."""
    own = torch.eye(2)[torch.distributed.get_rank()][None]
    model = SimpleNamespace(spread_at_start=_spread(own), recognized=(torch.ones(1, 2) + apart * own, None))
    assert model.spread_at_start == 0.5  # of both ranks together; of one face alone it would be 0
    try:
        check_collapse(model, 7)
    except UserError as error:
        return str(error)
    return ''


def test_a_collapse_is_noticed_with_one_face_on_each_rank() -> None:
    assert on_both_ranks(refusal_with_one_face_a_rank, 1.0) == ['', '']
    assert all('collapsed at iteration 7' in text for text in on_both_ranks(refusal_with_one_face_a_rank, 0.01))

"""A validation in batches and by several ranks: the values and pictures of one rank and one image after the other."""

import itertools
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cface_basicsr.compat import stopping
from cface_basicsr.compat.validation import _small_pictures
from cface_basicsr.errors import UserError
from tests.compat.test_distributed import on_ranks_patched_as_here
from tests.compat.test_resume import shared, train_in_double
from tests.compat.tiny_training import (
    assert_equal_weights,
    holds_by_row,
    log_of,
    patched,
    tiny_options,
    train_here,
    weights,
)
from tests.two_ranks import WORLD, on_both_ranks


def model_and_loader(pictures: str, folder: str, batch_size: int, dist: bool = False) -> tuple[Any, Any]:
    """SRModel with a seeded EDSR, and a loader of pairs of pictures."""
    from basicsr.data import build_dataloader, build_dataset
    from basicsr.models.sr_model import SRModel
    options = tiny_options(Path(pictures))
    options |= {'is_train': False, 'dist': dist, 'rank': torch.distributed.get_rank() if dist else 0,
                'path': {'visualization': folder}}
    options['val'] |= {'batch_size': batch_size, 'suffix': 'seen'}
    data = options['datasets']['val'] | {'phase': 'val', 'scale': 4}
    torch.manual_seed(0)
    return SRModel(options), build_dataloader(build_dataset(data), data, num_gpu=0, sampler=None, seed=0)


def validate(pictures: str, folder: str, batch_size: int, dist: bool = False) -> tuple[list[int], dict[str, float]]:
    """The sizes of the batches that the generator was given, and the metrics, empty on a rank that has none."""
    model, loader = model_and_loader(pictures, folder, batch_size, dist)
    sizes: list[int] = []
    model.get_bare_model(model.net_g).register_forward_hook(lambda net, given, result: sizes.append(len(given[0])))
    model.validation(loader, 'tiny', None, save_img=True)
    assert not {'lq', 'gt', 'output'} & vars(model).keys()
    return sizes, getattr(model, 'metric_results', {})


def saved(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / 'test').iterdir()}


def assert_nearly_equal(folder: Path, other: Path) -> None:
    """To one grey level: with more images in a batch, sums in a convolution may be taken in another order."""
    assert saved(folder).keys() == saved(other).keys()
    for name in saved(folder):
        one, two = (cv2.imread(str(each / 'test' / name)).astype(int) for each in (folder, other))
        assert np.abs(one - two).max() <= 1


def as_basicsr_does(pictures: Path, folder: Path) -> dict[str, float]:
    with patched(without=('validation-in-batches', 'validation-by-all-ranks')):
        sizes, values = validate(str(pictures), str(folder), 1)
    assert sizes == [1] * 11 and values['psnr'] > 0 and len(saved(folder)) == 11
    return values


@pytest.mark.parametrize(('batch_size', 'sizes'), [(1, [1] * 11), (4, [4, 4, 3]), (50, [11])])
def test_batches_have_the_values_and_pictures_of_one_image_at_a_time(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, sizes: list[int]) -> None:
    expected = as_basicsr_does(pictures, tmp_path / 'one')
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: pytest.fail('memory is given back for each image'))

    def check() -> None:
        seen, values = validate(str(pictures), str(tmp_path / 'batches'), batch_size)
        assert seen == sizes and values == (expected if batch_size == 1 else pytest.approx(expected, rel=1e-4))
        assert_nearly_equal(tmp_path / 'batches', tmp_path / 'one')
        assert batch_size > 1 or saved(tmp_path / 'batches') == saved(tmp_path / 'one')

    holds_by_row(check, 'validation-in-batches', defect=pytest.fail.Exception)


@pytest.mark.parametrize(('kind', 'border', 'words'), [
    ('psnr', 8, "option 'val.metrics.m.crop_border': 8 pixels off each edge leave nothing of pictures 16 pixels wide"),
    ('ssim', 8, "option 'val.metrics.m.crop_border': 8 pixels"), ('psnr', 99, "'val.metrics.m.crop_border': 99 pixels"),
    ('ssim', 3, "option 'val.metrics.m': calculate_ssim of a picture is not a number")])
def test_a_metric_of_nothing_is_refused_by_the_option_that_leaves_nothing(
        pictures: Path, tmp_path: Path, kind: str, border: int, words: str) -> None:
    model, loader = model_and_loader(str(pictures), str(tmp_path), 4, False)
    model.opt['val']['metrics'] = {'m': {'type': f'calculate_{kind}', 'crop_border': border}}
    with patched(), pytest.raises(UserError, match=re.escape(words)):
        model.validation(loader, 'tiny', None, save_img=False)


def test_a_metric_that_does_not_fit_the_pictures_is_refused_before_the_first_step(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.models.sr_model import SRModel
    monkeypatch.setattr(SRModel, 'optimize_parameters', lambda self, iteration: pytest.fail('a step was done'))

    def check() -> None:
        for kind, border, words in (('psnr', 8, "'val.metrics.m.crop_border': 8 pixels off each edge leave nothing"),
                                    ('ssim', 3, "'val.metrics.m': calculate_ssim of a picture is not a number")):
            metrics = {'m': {'type': f'calculate_{kind}', 'crop_border': border}}
            with pytest.raises(UserError, match=re.escape(words)):
                train_here(tiny_options(pictures, **{'val.metrics': metrics}), tmp_path)

    holds_by_row(check, 'tried-metrics', defect=pytest.fail.Exception)


def test_metrics_are_tried_on_the_smallest_picture() -> None:
    tried = _small_pictures([{'gt': torch.rand(3, *size)} for size in ((24, 20), (16, 40), (30, 30))], 4)
    assert tried['img'].shape == (16, 40, 3) == tried['img2'].shape and (tried['img'] != tried['img2']).any()
    alone = _small_pictures([{'lq': torch.rand(3, 5, 6)}], 4)
    assert alone.keys() == {'img'} and alone['img'].shape == (20, 24, 3)
    assert _small_pictures([], 4) == {} == _small_pictures([{'gt': torch.rand(2, 3, 8, 8)}], 4)  # nothing, and a video


def as_a_metric_gives(values: Callable[[int], float], patch: pytest.MonkeyPatch) -> None:
    """Let every metric give these values, of how often it was asked before; it also draws random numbers."""
    asked = itertools.count()
    patch.setattr('basicsr.metrics.calculate_metric', lambda pictures, section: (
        torch.rand(1), np.random.rand(), values(next(asked)))[-1])


def test_metrics_that_are_tried_change_no_random_number(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    as_a_metric_gives(lambda asked: drawn.append(asked) or 1.0, monkeypatch)
    for without in ((), ('tried-metrics',)):
        with patched(without):
            train_here(tiny_options(pictures, **{'train.total_iter': 2, 'logger.save_checkpoint_freq': 2, 'path': {
                'experiments_root': str(tmp_path / str(len(without)))}}), tmp_path)
    states = [torch.load(tmp_path / name / 'tiny/training_states/2.state', weights_only=True)['random'][0]
              for name in '01']
    assert len(drawn) == 2 * 11 + 1 and torch.equal(states[0]['torch'], states[1]['torch'])
    assert torch.equal(states[0]['numpy'][1], states[1]['numpy'][1]) and states[0]['numpy'][2] == states[1]['numpy'][2]


FAILS_AT_2 = {'val.val_freq': 2, 'logger.save_checkpoint_freq': 3}
FIRST_OF_2 = 1
"""The metric is tried once, and then asked at the second iteration."""


def test_a_training_whose_validation_fails_is_saved_before_it_ends_and_goes_on_with_the_same_weights(
        pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, **FAILS_AT_2)
    with patched():
        train_here(options, tmp_path / 'whole')

    def check() -> None:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as failed:
            as_a_metric_gives(lambda asked: math.nan if asked == FIRST_OF_2 else 1.0, patch)
            train_here(options, folder)
        assert str(failed.value) == (
            "option 'val.metrics.psnr': calculate_psnr of a picture is not a number.\nThe state of iteration 2 is "
            'saved: the same command with --auto_resume continues.')
        train_here(options, folder, '--auto_resume')
        assert 'iter: 2.' in log_of(folder)
        assert_equal_weights(weights(folder), weights(tmp_path / 'whole'))
        assert sorted(path.name for path in folder.glob('experiments/tiny/training_states/*')) == ['3.state', '6.state']

    holds_by_row(check, 'failed-validation')


def test_where_anything_else_fails_it_is_saved_as_well_and_the_error_stays(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_a_metric_gives(lambda asked: 1.0 if asked < FIRST_OF_2 else 1 // 0, monkeypatch)
    with patched(), pytest.raises(ZeroDivisionError):
        train_here(tiny_options(pictures, **FAILS_AT_2), tmp_path)
    assert 'The state of iteration 2 is saved' in log_of(tmp_path)
    assert (tmp_path / 'experiments/tiny/training_states/2.state').is_file()


def rank_1_fails(pictures: str, folder: str) -> str:
    """Train as one of two ranks, whose second one cannot measure; what it says."""
    rank = torch.distributed.get_rank()
    with pytest.MonkeyPatch.context() as patch:
        as_a_metric_gives(lambda asked: math.nan if rank and asked == FIRST_OF_2 else 1.0, patch)
        options = shared(Path(pictures), Path(folder))
        options['val']['val_freq'] = 2
        try:
            train_in_double(options, folder)
        except (UserError, SystemExit) as left:
            return str(left)
        finally:
            stopping._forget()  # this process is asked to end by a signal
    return 'it went on'


def test_ranks_save_and_leave_together_where_one_of_them_fails(pictures: Path, tmp_path: Path) -> None:
    said = on_both_ranks(rank_1_fails, str(pictures), str(tmp_path))
    assert said[0] == '2' and 'is not a number.\nThe state of iteration 2 is saved' in said[1]
    state = torch.load(tmp_path / 'tiny/training_states/2.state', weights_only=True)
    assert state['iter'] == 2 and len(state['random']) == 2


def ranks_validate(pictures: str, folder: str, batch_size: int) -> tuple[list[int], dict[str, float]]:
    return validate(pictures, folder, batch_size, dist=True)


@pytest.mark.parametrize(('batch_size', 'sizes'), [(1, [[1] * 6, [1] * 5]), (4, [[4, 3], [4]]), (9, [[9], [2]])])
def test_ranks_share_the_batches_and_have_the_values_and_pictures_of_one(
        pictures: Path, tmp_path: Path, batch_size: int, sizes: list[list[int]]) -> None:
    with patched():
        _, expected = validate(str(pictures), str(tmp_path / 'one'), batch_size)
    if batch_size == 1:
        assert expected == as_basicsr_does(pictures, tmp_path / 'one')

    def check() -> None:
        seen = on_ranks_patched_as_here(ranks_validate, str(pictures), str(tmp_path / 'ranks'), batch_size)
        assert seen == list(zip(sizes, (expected, {}), strict=True))
        assert saved(tmp_path / 'ranks') == saved(tmp_path / 'one')

    holds_by_row(check, 'validation-by-all-ranks')


def ranks_have_statistics_of_their_own(pictures: str, folder: str) -> dict[str, float]:
    """Rank 1's running statistics are others than rank 0's, as after a step with `sync_batchnorm: false`."""
    model, loader = model_and_loader(pictures, folder, 2)
    model.net_g = nn.Sequential(model.net_g, nn.BatchNorm2d(3))
    if torch.distributed.is_initialized():
        model.opt |= {'dist': True, 'rank': torch.distributed.get_rank()}
        model.net_g[1].running_mean += model.opt['rank']
    model.validation(loader, 'tiny', None, save_img=False)
    return getattr(model, 'metric_results', {})


def test_all_ranks_validate_the_network_that_rank_0_has(pictures: Path, tmp_path: Path) -> None:
    with patched():
        one = ranks_have_statistics_of_their_own(str(pictures), str(tmp_path))
        assert on_both_ranks(ranks_have_statistics_of_their_own, str(pictures), str(tmp_path)) == [one, {}]


def only_rank_0_validates(pictures: str, folder: str) -> bool:
    model, loader = model_and_loader(pictures, folder, 1, dist=True)
    called: list[Any] = []
    kind = type('Own', (type(model),), {'nondist_validation': lambda self, *given: called.append(given)})
    model.__class__ = kind
    model.validation(loader, 'tiny', None, save_img=False)
    return bool(called)


def test_a_model_with_a_validation_of_its_own_is_left_to_rank_0(pictures: Path, tmp_path: Path) -> None:
    with patched():
        assert on_both_ranks(only_rank_0_validates, str(pictures), str(tmp_path)) == [True] + [False] * (WORLD - 1)


def test_pictures_of_other_sizes_are_never_in_one_batch(tmp_path: Path) -> None:
    sides = (4, 4, 6, 6, 6, 4, 4)
    random = np.random.default_rng(0)
    for name, factor in (('gt', 4), ('lq', 1)):
        (tmp_path / name).mkdir()
        for number, side in enumerate(sides):
            cv2.imwrite(str(tmp_path / name / f'{number}.png'),
                        random.integers(0, 256, (factor * side, factor * side, 3), np.uint8))
    with patched():
        one = validate(str(tmp_path), str(tmp_path / 'one'), 1)[1]
        sizes, values = validate(str(tmp_path), str(tmp_path / 'batches'), 4)
        data = model_and_loader(str(tmp_path), '', 4)[1].dataset
    order = [cv2.imread(paths['lq_path']).shape for paths in data.paths]  # BasicSR takes files as the system lists them
    assert sizes == [len(list(alike)) for start in (0, 4) for _, alike in itertools.groupby(order[start:start + 4])]
    assert values == pytest.approx(one, rel=1e-4)
    assert_nearly_equal(tmp_path / 'batches', tmp_path / 'one')

"""A validation in batches and by several ranks: the values and pictures of one rank and one image after the other."""

import itertools
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from tests.compat.test_distributed import on_ranks_patched_as_here
from tests.compat.tiny_training import holds_by_row, patched, tiny_options
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

"""Which images a training sees, in which order, for how many iterations."""

import itertools
import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from cface_basicsr import compat
from cface_basicsr.compat.positioned_sampler import PositionedSampler
from cface_basicsr.compat.seeded_items import SeededItems
from cface_basicsr.data.epoch_index import EpochIndex
from cface_basicsr.errors import UserError
from cface_basicsr.options import iterations_an_epoch
from tests.compat.tiny_training import holds_by_row, patched, tiny_options, train_here
from tests.tiny_stages import parsed, stage_options, write_tiny_data
from tests.two_ranks import on_both_ranks


class Draws(Dataset):
    """Items that are nothing but random numbers."""

    opt = {'name': 'draws'}

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([float(index), random.random(), np.random.rand(), torch.rand(()).item()])


class RowsOfTheWorker(Draws):
    """Items that tell which rows are patched where they are made."""

    def __getitem__(self, index: int) -> list[str]:
        return list(compat.applied())


def items_of_epoch(epoch: int, workers: int) -> torch.Tensor:
    import basicsr.train
    sampler = PositionedSampler(Draws(), num_replicas=1, rank=0)
    sampler.set_epoch(epoch)
    loader = basicsr.train.build_dataloader(
        Draws(), {'phase': 'train', 'batch_size_per_gpu': 2, 'num_worker_per_gpu': workers}, num_gpu=0, sampler=sampler,
        seed=5)
    return torch.cat(list(loader))


def test_crops_and_flips_do_not_depend_on_the_workers_and_change_with_the_epoch() -> None:
    def check() -> None:
        for workers in (1, 2):
            assert torch.equal(items_of_epoch(0, workers), items_of_epoch(0, workers=0))
        first, second = (rows[rows[:, 0].argsort()] for rows in (items_of_epoch(0, 2), items_of_epoch(1, 2)))
        assert (first[:, 1:] != second[:, 1:]).all()
        assert len(first[:, 1:].unique()) == 18  # no two items draw the same

    holds_by_row(check, 'item-seeds')


def test_items_made_in_the_main_process_leave_its_random_numbers_alone() -> None:
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    SeededItems(Draws(), seed=1)[EpochIndex(3, epoch=2)]
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_seeded_items_answer_for_their_data_set() -> None:
    items = SeededItems(Draws(), seed=1)
    assert (len(items), items.opt) == (6, {'name': 'draws'})
    with pytest.raises(AttributeError):
        _ = items.nothing


@pytest.mark.slow
def test_a_spawned_worker_is_patched_too() -> None:
    with patched():
        loader = DataLoader(SeededItems(RowsOfTheWorker(), seed=1), num_workers=1, multiprocessing_context='spawn',
                            sampler=[EpochIndex(0)], batch_size=None)
        assert next(iter(loader)) == list(compat.applied()) != []


# ------------------------------------------------------------------------------------------------------------ the order

sizes = st.integers(1, 40)


@given(images=sizes, ranks=st.integers(1, 4), ratio=st.integers(1, 3), epoch=st.integers(0, 5), seed=sizes)
def test_the_ranks_together_see_each_image_ratio_times_but_for_a_last_few(
        images: int, ranks: int, ratio: int, epoch: int, seed: int) -> None:
    seen = []
    for rank in range(ranks):
        sampler = PositionedSampler(range(images), ranks, rank, ratio)
        sampler.place(seed=seed, batch_size=2)
        sampler.set_epoch(epoch)
        mine = list(sampler)
        assert len(mine) == len(sampler)
        assert all(index.epoch == epoch for index in mine)
        seen += [(index.repeat, int(index)) for index in mine]
    assert len(seen) == len(set(seen))
    assert set(seen) <= {(repeat, index) for repeat in range(ratio) for index in range(images)}
    assert images * ratio - len(seen) < ranks  # a last round that is not full is left out


@given(images=sizes, ranks=st.integers(1, 4), batch=st.integers(1, 3), epoch=st.integers(0, 2))
def test_the_batches_of_all_ranks_in_an_iteration_are_together_the_batch_of_one_rank(
        images: int, ranks: int, batch: int, epoch: int) -> None:
    def batches(sharing: int) -> list[set[int]]:
        """The images of each iteration of the epoch, of all ranks together."""
        shares = []
        for rank in range(sharing):
            sampler = PositionedSampler(range(images), sharing, rank)
            sampler.place(seed=1, batch_size=batch * ranks // sharing)
            sampler.set_epoch(epoch)
            loader = DataLoader(range(images), batch_size=sampler.batch_size, sampler=sampler, drop_last=True)
            shares.append([set(part.tolist()) for part in loader])
        return [set().union(*parts) for parts in zip(*shares, strict=True)]

    assert batches(ranks) == batches(1)
    assert len(batches(1)) == iterations_an_epoch(images, ranks, batch)


@given(images=st.integers(2, 30), batch=st.integers(1, 4), cut=st.integers(0, 60), last=st.integers(1, 60))
def test_a_sampler_put_at_a_position_goes_on_where_the_unbroken_one_would(
        images: int, batch: int, cut: int, last: int) -> None:
    batch = min(batch, images)

    def order(first: int) -> list[tuple[int, int]]:
        sampler = PositionedSampler(range(images), 1, 0)
        sampler.place(seed=1, batch_size=batch)
        sampler.first_iteration, sampler.last_iteration = first, last
        seen = []
        for epoch in range(61):
            sampler.set_epoch(epoch)
            seen += [(epoch, int(index)) for index in sampler]
        return seen

    whole = order(0)
    assert len(whole) == last * batch
    assert order(cut) == whole[cut * batch:]


def order_of_a_rank(options: dict[str, Any]) -> list[list[int]]:
    """The images of three epochs on this rank, where the file names no seed and so each rank has drawn its own."""
    import basicsr.train
    rank = torch.distributed.get_rank()
    train = options['datasets']['train'] | {'phase': 'train', 'scale': 4, 'batch_size_per_gpu': 2}
    opt = options | {'manual_seed': rank, 'rank': rank, 'world_size': 2, 'dist': True, 'datasets': {'train': train}}
    with patched():
        _, sampler, *_ = basicsr.train.create_train_val_dataloader(opt, logging.getLogger('test'))
    sampler.first_iteration = 0  # another training of this process may have been resumed
    return [(sampler.set_epoch(epoch), [int(index) for index in sampler])[1] for epoch in range(3)]


def test_ranks_without_a_seed_in_the_file_share_the_images_of_one_order(pictures: Path) -> None:
    for first, second in zip(*on_both_ranks(order_of_a_rank, tiny_options(pictures)), strict=True):
        assert len(first) == len(second) == 4 and not set(first) & set(second)  # of eleven images, two batches of four


def test_the_seed_decides_the_order(pictures: Path, tmp_path: Path) -> None:
    runs = itertools.count()

    def images_seen(seed: int) -> list[str]:
        from basicsr.models.sr_model import SRModel
        seen: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SRModel, 'feed_data', lambda self, data: seen.extend(data['lq_path']))
            patch.setattr(SRModel, 'optimize_parameters', lambda self, current_iter: setattr(self, 'log_dict', {}))
            train_here(tiny_options(pictures, manual_seed=seed, val=None), tmp_path / f'order{next(runs)}')
        return seen

    def check() -> None:
        assert images_seen(1) == images_seen(1) != images_seen(2)

    holds_by_row(check, 'epoch-order')


def test_our_own_data_sets_draw_by_the_seed_of_the_file_unless_they_have_their_own(tmp_path: Path) -> None:
    import basicsr.train
    data = write_tiny_data(tmp_path / 'data')
    for changes, expected in (({'manual_seed': 7}, 7), ({'manual_seed': 7, 'datasets': {'train': {'seed': 2}}}, 2)):
        opt = parsed(stage_options(1, data, changes), tmp_path / 'run')
        with patched():
            loader, *_ = basicsr.train.create_train_val_dataloader(opt, logging.getLogger('test'))
        assert loader.dataset.dataset.seed == expected


# ----------------------------------------------------------------------------------------------------------- the length


@pytest.mark.parametrize('total', [7, 13])  # BasicSR validates at 8 instead of 7, and stops at 12 instead of 13
def test_a_training_has_exactly_total_iter_iterations(pictures: Path, tmp_path: Path, total: int) -> None:
    options = tiny_options(pictures, **{'train.total_iter': total})

    def check() -> None:
        from basicsr.models.sr_model import SRModel
        trained, validated, batches = [], [], []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SRModel, 'optimize_parameters',
                          lambda self, i: (trained.append(i), setattr(self, 'log_dict', {})))
            patch.setattr(SRModel, 'validation', lambda self, loader, i, *rest: validated.append(i))
            patch.setattr(SRModel, 'feed_data', lambda self, data: batches.append(data))
            train_here(options, tmp_path / 'length')
        assert trained == list(range(1, total + 1))
        assert validated == [total]

    holds_by_row(check, 'exact-iterations')


def test_fewer_images_than_a_batch_are_refused_with_both_numbers(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, **{'datasets.train.batch_size_per_gpu': 12})

    def check() -> None:
        with pytest.raises(UserError, match="option 'datasets.train': of 'faces' .* 11 images, fewer than one bat"):
            train_here(options, tmp_path / 'small')

    holds_by_row(check, 'small-data-set', defect=pytest.fail.Exception)


def test_repeating_a_small_data_set_makes_it_large_enough(pictures: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {'datasets.train.batch_size_per_gpu': 12, 'datasets.train.dataset_enlarge_ratio': 2,
                               'train.total_iter': 2}
    with patched():
        train_here(tiny_options(pictures, **changes), tmp_path / 'repeated')
    assert (tmp_path / 'repeated/experiments/tiny/models/net_g_latest.pth').is_file()

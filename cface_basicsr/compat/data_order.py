"""Which images a training sees, in which order and for how many iterations."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch

from cface_basicsr.compat.positioned_sampler import PositionedSampler
from cface_basicsr.compat.row import Mending, Row, in_pipelines
from cface_basicsr.compat.seeded_items import SeededItems
from cface_basicsr.errors import UserError

Loaders = tuple[Any, Any, list, int, int]
"""What BasicSR's create_train_val_dataloader returns: loader, sampler, validation loaders, epochs, iterations."""


def _place_sampler(create: Callable[..., Loaders]) -> Callable[..., Loaders]:
    @functools.wraps(create)
    def wrapper(opt: dict[str, Any], logger: Any) -> Loaders:
        loaders = create(opt, logger)
        loaders[1].place(seed=opt['manual_seed'], batch_size=loaders[0].batch_size)
        return loaders
    return wrapper


def _mend_sampler(mending: Mending) -> None:
    mending.wrap_in_pipelines('EnlargedSampler', lambda stock: PositionedSampler)
    mending.wrap_in_pipelines('create_train_val_dataloader', _place_sampler)


def _sampler_knows_no_seed() -> bool:
    from basicsr.data.data_sampler import EnlargedSampler

    from cface_basicsr.compat.row import source
    return 'g.manual_seed(self.epoch)' in source(EnlargedSampler)


def _seed_items(build: Callable) -> Callable:
    @functools.wraps(build)
    def wrapper(dataset: Any, dataset_opt: dict[str, Any], *args: Any, seed: int | None = None, **kwargs: Any) -> Any:
        if dataset_opt['phase'] == 'train' and seed is not None:
            dataset = SeededItems(dataset, seed)
        return build(dataset, dataset_opt, *args, seed=seed, **kwargs)
    return wrapper


def _mend_items(mending: Mending) -> None:
    mending.wrap_in_pipelines('build_dataloader', _seed_items)


def _workers_know_no_epoch() -> bool:
    from basicsr.data import worker_init_fn

    from cface_basicsr.compat.row import source
    return 'num_workers * rank + worker_id + seed' in source(worker_init_fn)


def _refuse_less_than_a_batch(create: Callable[..., Loaders]) -> Callable[..., Loaders]:
    @functools.wraps(create)
    def wrapper(opt: dict[str, Any], logger: Any) -> Loaders:
        loaders = create(opt, logger)
        loader = loaders[0]
        if len(loader) == 0:
            raise UserError(
                f"data set '{opt['datasets']['train']['name']}': each of {opt['world_size']} process(es) gets "
                f'{len(loader.sampler)} images, fewer than one batch of {loader.batch_size}.\n'
                "Lower 'datasets.train.batch_size_per_gpu', train on more images, or set 'dataset_enlarge_ratio'.")
        return loaders
    return wrapper


def _mend_small(mending: Mending) -> None:
    mending.wrap_in_pipelines('create_train_val_dataloader', _refuse_less_than_a_batch)


def _end_exactly(create: Callable[..., Loaders]) -> Callable[..., Loaders]:
    @functools.wraps(create)
    def wrapper(opt: dict[str, Any], logger: Any) -> Loaders:
        loader, sampler, validation, epochs, iterations = create(opt, logger)
        if len(loader):
            sampler.last_iteration = iterations
            epochs = math.ceil(iterations / len(loader)) - 1  # BasicSR runs the epochs 0 .. epochs, both included
            logger.info(f'Full batches in an epoch: {len(loader)}; the last epoch ends at iteration {iterations}.')
        return loader, sampler, validation, epochs, iterations
    return wrapper


def _mend_length(mending: Mending) -> None:
    mending.wrap_in_pipelines('create_train_val_dataloader', _end_exactly)


def _counts_cut_batches() -> bool:
    return in_pipelines('create_train_val_dataloader', 'math.ceil(')


def generator_of(seed: int) -> torch.Generator:
    """A loader's own generator: starting its workers then leaves the training's random numbers alone."""
    return torch.Generator().manual_seed(seed)


ROWS = (
    Row(name='epoch-order', where='data/data_sampler.py EnlargedSampler', upstream='not reported',
        symptom='every seed gives the same order of images, and no data set is told the epoch',
        present=_sampler_knows_no_seed, apply=_mend_sampler),
    Row(name='item-seeds', where='data/__init__.py worker_init_fn', upstream='not reported',
        symptom='each epoch draws the same crops and flips, and other ones with another number of workers',
        present=_workers_know_no_epoch, apply=_mend_items, requires=('epoch-order',)),
    Row(name='small-data-set', where='train.py create_train_val_dataloader', upstream='not reported',
        symptom='fewer images than a batch: nothing is trained, "End of training", exit code 0',
        present=_counts_cut_batches, apply=_mend_small),
    Row(name='exact-iterations', where='train.py create_train_val_dataloader', upstream='not reported',
        symptom='a run ends before or behind total_iter, and its last validation is logged at a wrong iteration',
        present=_counts_cut_batches, apply=_mend_length, requires=('epoch-order',)),
)

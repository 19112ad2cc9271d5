"""Which images a training sees, in which order and for how many iterations."""

import math
from collections.abc import Callable
from typing import Any

import torch

from cface_basicsr.compat.defect import row
from cface_basicsr.compat.positioned_sampler import PositionedSampler
from cface_basicsr.compat.seeded_items import SeededItems
from cface_basicsr.errors import UserError
from cface_basicsr.ops.ranks import of_all_ranks

Loaders = tuple[Any, Any, list, int, int]
"""What BasicSR's create_train_val_dataloader returns: loader, sampler, validation loaders, epochs, iterations."""


_CREATE = 'basicsr.train:create_train_val_dataloader'


@row('epoch-order', 'basicsr.data.data_sampler:EnlargedSampler', _CREATE, has='g.manual_seed(self.epoch)',
     replace={'basicsr.train:EnlargedSampler': PositionedSampler})
def _place_sampler(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    """Without it: every seed gives the same order of images, and no data set is told the epoch or the seed."""
    opt['manual_seed'] = of_all_ranks(opt['manual_seed'])[0]  # without one in the file, each rank has drawn its own
    opt['datasets']['train']['manual_seed'] = opt['manual_seed']  # by which our own data sets draw
    loaders = create(opt, logger)
    loaders[1].place(seed=opt['manual_seed'], batch_size=loaders[0].batch_size)
    return loaders


@row('item-seeds', 'basicsr.data:worker_init_fn', 'basicsr.train:build_dataloader', requires=('epoch-order',),
     has='num_workers * rank + worker_id + seed')
def _seed_items(build: Callable, dataset: Any, dataset_opt: dict[str, Any], *args: Any, seed: int | None = None,
                **kwargs: Any) -> Any:
    """Without it: each epoch draws the same crops and flips, and other ones with another number of workers."""
    if dataset_opt['phase'] == 'train' and seed is not None:
        dataset = SeededItems(dataset, seed)
    return build(dataset, dataset_opt, *args, seed=seed, **kwargs)


@row('small-data-set', _CREATE, has='math.ceil(')
def _check_for_a_batch(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    """Without it: fewer images than a batch: nothing is trained, "End of training", exit code 0."""
    loaders = create(opt, logger)
    loader = loaders[0]
    if len(loader) == 0:
        raise UserError(
            f"option 'datasets.train': of '{opt['datasets']['train']['name']}' each of {opt['world_size']} process(es) "
            f'gets {len(loader.sampler)} images, fewer than one batch of {loader.batch_size}.\n'
            "Lower 'datasets.train.batch_size_per_gpu', train on more images, or set 'dataset_enlarge_ratio'.")
    return loaders


@row('exact-iterations', _CREATE, has='math.ceil(', requires=('epoch-order',))
def _end_exactly(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    """Without it: a run ends before or after total_iter, and its last validation is logged at a wrong iteration."""
    loader, sampler, validation, epochs, iterations = create(opt, logger)
    if len(loader):
        sampler.last_iteration = iterations
        epochs = math.ceil(iterations / len(loader)) - 1  # BasicSR runs the epochs 0 .. epochs, both included
        logger.info(f'Full batches in an epoch: {len(loader)}; the last epoch ends at iteration {iterations}.')
    return loader, sampler, validation, epochs, iterations


def generator_of(seed: int) -> torch.Generator:
    """A loader's own generator, so that starting its workers does not touch the training's random numbers."""
    return torch.Generator().manual_seed(seed)

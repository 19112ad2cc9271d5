"""Which images a training sees, in which order and for how many iterations."""

import math
from collections.abc import Callable
from typing import Any

import torch

from cface_basicsr.compat.defect import Defect
from cface_basicsr.compat.distributed import of_all_ranks
from cface_basicsr.compat.positioned_sampler import PositionedSampler
from cface_basicsr.compat.seeded_items import SeededItems
from cface_basicsr.errors import UserError

Loaders = tuple[Any, Any, list, int, int]
"""What BasicSR's create_train_val_dataloader returns: loader, sampler, validation loaders, epochs, iterations."""


def _place_sampler(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    opt['manual_seed'] = of_all_ranks(opt['manual_seed'])[0]  # without one in the file, each rank has drawn its own
    opt['datasets']['train']['manual_seed'] = opt['manual_seed']  # by which our own data sets draw
    loaders = create(opt, logger)
    loaders[1].place(seed=opt['manual_seed'], batch_size=loaders[0].batch_size)
    return loaders


def _seed_items(build: Callable, dataset: Any, dataset_opt: dict[str, Any], *args: Any, seed: int | None = None,
                **kwargs: Any) -> Any:
    if dataset_opt['phase'] == 'train' and seed is not None:
        dataset = SeededItems(dataset, seed)
    return build(dataset, dataset_opt, *args, seed=seed, **kwargs)


def _check_for_a_batch(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    loaders = create(opt, logger)
    loader = loaders[0]
    if len(loader) == 0:
        raise UserError(
            f"option 'datasets.train': of '{opt['datasets']['train']['name']}' each of {opt['world_size']} process(es) "
            f'gets {len(loader.sampler)} images, fewer than one batch of {loader.batch_size}.\n'
            "Lower 'datasets.train.batch_size_per_gpu', train on more images, or set 'dataset_enlarge_ratio'.")
    return loaders


def _end_exactly(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    loader, sampler, validation, epochs, iterations = create(opt, logger)
    if len(loader):
        sampler.last_iteration = iterations
        epochs = math.ceil(iterations / len(loader)) - 1  # BasicSR runs the epochs 0 .. epochs, both included
        logger.info(f'Full batches in an epoch: {len(loader)}; the last epoch ends at iteration {iterations}.')
    return loader, sampler, validation, epochs, iterations


def generator_of(seed: int) -> torch.Generator:
    """A loader's own generator, so that starting its workers does not touch the training's random numbers."""
    return torch.Generator().manual_seed(seed)


DATA_ORDER_ROWS = (
    Defect(name='epoch-order', upstream='not reported',
           symptom='every seed gives the same order of images, and no data set is told the epoch or the seed',
           target='basicsr.data.data_sampler:EnlargedSampler', has='g.manual_seed(self.epoch)',
           replace={'basicsr.train:EnlargedSampler': PositionedSampler},
           wrap={'basicsr.train:create_train_val_dataloader': _place_sampler}),
    Defect(name='item-seeds', upstream='not reported',
           symptom='each epoch draws the same crops and flips, and other ones with another number of workers',
           target='basicsr.data:worker_init_fn', has='num_workers * rank + worker_id + seed',
           wrap={'basicsr.train:build_dataloader': _seed_items}, requires=('epoch-order',)),
    Defect(name='small-data-set', upstream='not reported',
           symptom='fewer images than a batch: nothing is trained, "End of training", exit code 0',
           target='basicsr.train:create_train_val_dataloader', has='math.ceil(', wrap=_check_for_a_batch),
    Defect(name='exact-iterations', upstream='not reported',
           symptom='a run ends before or after total_iter, and its last validation is logged at a wrong iteration',
           target='basicsr.train:create_train_val_dataloader', has='math.ceil(', wrap=_end_exactly,
           requires=('epoch-order',)),
)

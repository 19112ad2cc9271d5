"""A data set whose items do not depend on who draws them: which worker, which rank, before or after a resume."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from cface_basicsr.compat.before_import import patch_functional_tensor
from cface_basicsr.data.epoch_index import draw

# A spawned worker reads this module's name before the data set's own classes, which import BasicSR.
patch_functional_tensor()


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Python's, NumPy's and torch's generators are restored at the end."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would also start CUDA in a worker


class SeededItems(Dataset):
    """Any data set, with the global generators seeded by (seed, epoch, repeat, index) before each item is made.

    Stock BasicSR data sets crop and flip by Python's `random`; BasicSR seeds it once per worker, the same in every
    epoch, so that each epoch draws the same crops, and other ones with another number of workers.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        _, bits = draw(self.seed, index)
        if get_worker_info() is not None:
            _seed_all(bits)
            return self.dataset[index]
        with kept_random_state():  # no workers: the training's own random numbers must not be touched
            _seed_all(bits)
            return self.dataset[index]

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':  # 'dataset' is missing only while a copy is being made
            raise AttributeError(name)
        return getattr(self.dataset, name)

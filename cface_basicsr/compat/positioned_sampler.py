"""The order of the training images, from any position and up to any position."""

from collections.abc import Iterator, Sized

import numpy as np
import torch
from torch.utils.data import Sampler

from cface_basicsr.data.epoch_index import EpochIndex


class PositionedSampler(Sampler):
    """Replaces BasicSR's EnlargedSampler, with the same arguments; each index carries its epoch and repeat.

    Order: a permutation by (seed, epoch) of all images, each `ratio` times, dealt out to the ranks in turn as long as
    there is one for each, so that their batches of an iteration are together what one rank's batch would be. `place`
    says where in the training the sampler is; it then leaves out the batches of an epoch that were already seen, and
    those after the last iteration.
    """

    def __init__(self, dataset: Sized, num_replicas: int, rank: int, ratio: int = 1) -> None:
        self.images, self.ranks, self.rank, self.ratio = len(dataset), num_replicas, rank, ratio
        self.epoch = 0
        self.num_samples = self.images * ratio // num_replicas
        self.seed, self.batch_size = 0, 1
        self.first_iteration, self.last_iteration = 0, None

    def place(self, *, seed: int, batch_size: int) -> None:
        """Set the seed of the order and the batch of one rank; without a call: 0 and 1."""
        self.seed, self.batch_size = seed, batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration over the sampler runs through."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Indices of one whole epoch on this rank."""
        return self.num_samples

    def __iter__(self) -> Iterator[EpochIndex]:
        generator = torch.Generator().manual_seed(_mix(self.seed, self.epoch))
        order = torch.randperm(self.images * self.ratio, generator=generator)
        mine = order[self.rank::self.ranks][:self.num_samples].numpy()
        for number in mine[self._left()]:  # one at a time: a list of millions would need 36 bytes for each
            repeat, index = divmod(int(number), self.images)
            yield EpochIndex(index, epoch=self.epoch, repeat=repeat)

    def _left(self) -> slice:
        """The part of this epoch that lies between the first and the last iteration."""
        batches = self.num_samples // self.batch_size
        before = self.epoch * batches
        first = min(max(self.first_iteration - before, 0), batches)
        if self.last_iteration is None:
            return slice(first * self.batch_size, None)
        last = min(max(self.last_iteration - before, 0), batches)
        return slice(first * self.batch_size, last * self.batch_size)


def _mix(seed: int, epoch: int) -> int:
    """One 64-bit seed of the two, so that neighbours have nothing in common."""
    low, high = np.random.SeedSequence((seed, epoch)).generate_state(2, np.uint32).tolist()
    return high << 32 | low

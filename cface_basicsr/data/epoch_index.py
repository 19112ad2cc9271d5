"""An index that knows its epoch, and the random choices that belong to it.

BasicSR never tells a dataset which epoch it is in, and persistent workers hold copies of the dataset. So the sampler
sends epoch and repeat along with each index. Every draw is a function of (seed, epoch, repeat, index) and of nothing
else, so any number of workers or ranks gives the same epoch.
"""

import hashlib
import struct


class EpochIndex(int):
    """A row number that carries its epoch and repeat; any code that accepts an int accepts it too.

    Attributes:
        epoch: which pass over the data, from 0.
        repeat: which occurrence of the same row within one epoch (`dataset_enlarge_ratio` > 1), from 0.

    >>> EpochIndex(7, epoch=2) + 0, EpochIndex(7, epoch=2).epoch
    (7, 2)
    """

    epoch: int
    repeat: int

    def __new__(cls, index: int, epoch: int = 0, repeat: int = 0) -> 'EpochIndex':
        self = super().__new__(cls, index)
        self.epoch, self.repeat = epoch, repeat
        return self

    def __reduce__(self) -> tuple[type, tuple[int, int, int]]:
        return EpochIndex, (int(self), self.epoch, self.repeat)

    def __repr__(self) -> str:
        return f'EpochIndex({int(self)}, epoch={self.epoch}, repeat={self.repeat})'


def draw(seed: int, index: int) -> tuple[bool, int]:
    """The random choices of one item: a fair coin, and a number in [0, 2**56) for 'one of n' by modulo.

    Args:
        seed: any int that fits 64 bits.
        index: an `EpochIndex`; a plain int counts as epoch 0, repeat 0.
    """
    where = struct.pack('<4q', seed, getattr(index, 'epoch', 0), getattr(index, 'repeat', 0), index)
    bits = int.from_bytes(hashlib.blake2b(where, digest_size=8).digest(), 'little')
    return bool(bits & 1), bits >> 8

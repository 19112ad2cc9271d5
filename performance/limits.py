"""What this machine can do at most: the rate of a bare matrix product, and that of a bare copy."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from performance.sides import Job, Runner, Side

SIZE = 1536
"""Of the matrices: 9.4 MB each, and larger ones were no faster."""
COPIED = 2 ** 28
"""Bytes: more than any cache holds."""


@dataclass(frozen=True)
class Limit:
    """The least time that some work must take.

    Attributes:
        operations: floating-point additions and multiplications, at the rate of a float32 matrix product.
        moved: bytes that must be read or written, at the rate of a copy.
        threads: that may work on it.
    """

    operations: float = 0.0
    moved: float = 0.0
    threads: int = 1

    @property
    def seconds(self) -> float:
        """The longer of the two."""
        products, copies = rates(self.threads)
        return max(self.operations / products, self.moved / copies)

    def words(self) -> str:
        """'90 GFLOP: 0.52 s' or '27 MB: 0.004 s', whichever takes longer."""
        products, copies = rates(self.threads)
        if self.operations / products >= self.moved / copies:
            return f'{_short(self.operations)}FLOP: {self.seconds:.3g} s'
        return f'{_short(self.moved)}B: {self.seconds:.3g} s'


@cache
def rates(threads: int) -> tuple[float, float]:
    """(operations, bytes) a second of a float32 matrix product and of a copy, the best of some tries.

    A copy reads and writes: both count.
    """
    found = []
    for name, amount in (('product', 2 * SIZE ** 3), ('copy', 2 * COPIED)):
        with Runner(Side('performance.limits:make', {'name': name}, threads)) as runner:
            runner.ready()
            found.append(amount / min(runner.run()['seconds'] for _ in range(7)))
    return found[0], found[1]


def make(name: str) -> Job:
    """One product, or one copy."""
    import torch
    kind: dict[str, Any] = {'product': (SIZE, SIZE), 'copy': (COPIED // 4,)}
    source = torch.rand(kind[name])
    target = torch.empty_like(source)
    if name == 'product':
        return lambda: torch.matmul(source, source, out=target) is None
    return lambda: target.copy_(source) is None


def _short(number: float) -> str:
    for power, letter in ((12, 'T'), (9, 'G'), (6, 'M')):
        if number >= 10 ** power:
            return f'{number / 10 ** power:.3g} {letter}'
    return f'{number:.3g} '

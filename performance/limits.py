"""What this machine can do at most: the rate of a bare matrix product, and that of a bare copy."""

from dataclasses import dataclass
from functools import cache

from performance.sides import Job, Runner, Side

SIZE = 1536
"""Of the matrices: 9.4 MB each, and larger ones were no faster on a CPU; a GPU takes eight times the side."""
COPIED = 2 ** 28
"""Bytes: more than any cache holds."""


@dataclass(frozen=True)
class Limit:
    """The least time that some work must take.

    Attributes:
        operations: floating-point additions and multiplications, at the rate of a matrix product.
        moved: bytes that must be read or written, at the rate of a copy.
        threads: that may work on it.
        kind: of the product's numbers: float32, tf32, bfloat16 or float16.
    """

    operations: float = 0.0
    moved: float = 0.0
    threads: int = 1
    kind: str = 'float32'

    @property
    def seconds(self) -> float:
        """The longer of the two."""
        products, copies = rates(self.threads, self.kind)
        return max(self.operations / products, self.moved / copies)

    def words(self) -> str:
        """'90 GFLOP: 0.52 s' or '27 MB: 0.004 s', whichever takes longer."""
        products, copies = rates(self.threads, self.kind)
        if self.operations / products >= self.moved / copies:
            return f'{_short(self.operations)}FLOP: {self.seconds:.3g} s'
        return f'{_short(self.moved)}B: {self.seconds:.3g} s'


@cache
def rates(threads: int, kind: str = 'float32') -> tuple[float, float]:
    """(operations, bytes) a second of a matrix product and of a copy, on the GPU if there is one; the best of tries.

    A copy reads and writes: both count.
    """
    found = []
    for name in ('product', 'copy'):
        with Runner(Side('performance.limits:make', {'name': name, 'kind': kind}, threads)) as runner:
            runner.ready()
            found.append(max(seen['result'] / seen['seconds'] for seen in (runner.run() for _ in range(7))))
    return found[0], found[1]


def make(name: str, kind: str) -> Job:
    """One product, or one copy; it returns its operations, or the bytes that it moves."""
    import torch
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.backends.cuda.matmul.allow_tf32 = kind == 'tf32'
    numbers = torch.float32 if kind == 'tf32' or name == 'copy' else getattr(torch, kind)
    side = SIZE if device == 'cpu' else 8 * SIZE
    source = torch.rand((COPIED // 4,) if name == 'copy' else (side, side), device=device).to(numbers)
    target = torch.empty_like(source)

    def job() -> int:
        if name == 'copy':
            target.copy_(source)
        else:
            torch.matmul(source, source, out=target)
        if device == 'cuda':
            torch.cuda.synchronize()
        return 2 * (COPIED if name == 'copy' else side ** 3)
    return job


def _short(number: float) -> str:
    for power, letter in ((12, 'T'), (9, 'G'), (6, 'M')):
        if number >= 10 ** power:
            return f'{number / 10 ** power:.3g} {letter}'
    return f'{number:.3g} '

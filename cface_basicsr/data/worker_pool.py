"""A function applied to many chunks of work by several processes: results in order, memory bounded."""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

from cface_basicsr.errors import UserError
from cface_basicsr.runtime import start_worker

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


def map_chunks(function: Callable[[Sequence[_Item]], _Result], items: Sequence[_Item], size: int, workers: int
               ) -> Iterator[tuple[Sequence[_Item], _Result]]:
    """Each chunk of the items with what a function makes of it, in order, computed by processes that end with this one.

    At most four chunks per process are in progress, so memory stays small however slowly the results are consumed.

    Args:
        function: something that a new process can import (not a lambda); its arguments are pickled with each chunk.
        items: the work.
        size: items in a chunk.
        workers: number of processes, at most one per chunk; 1: this process does the work.

    Raises:
        UserError: a process was killed (usually for lack of memory).
    """
    chunks = [items[start:start + size] for start in range(0, len(items), size)]
    workers = min(workers, len(chunks))
    yield from zip(chunks, _in_processes(function, chunks, workers) if workers > 1 else map(function, chunks),
                   strict=True)


def _in_processes(function: Callable[[Sequence[_Item]], _Result], chunks: Sequence[Sequence[_Item]], workers: int
                  ) -> Iterator[_Result]:
    context = multiprocessing.get_context('spawn')  # a fork would copy torch's threads in an undefined state
    waiting = iter(chunks)
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        try:
            running = deque(pool.submit(function, chunk) for chunk in itertools.islice(waiting, 4 * workers))
            while running:
                yield running.popleft().result()
                running.extend(pool.submit(function, chunk) for chunk in itertools.islice(waiting, 1))
        except BrokenProcessPool as error:
            raise UserError('a worker process was killed, perhaps for lack of memory.\n'
                            'Run the same command again with fewer --workers.') from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    start_worker()

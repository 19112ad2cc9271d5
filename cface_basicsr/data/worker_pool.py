"""A function over many chunks of work, by several processes: results in order, memory bounded."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

import cv2
import torch

from cface_basicsr.errors import UserError

_Work = TypeVar('_Work')
_Result = TypeVar('_Result')


def map_in_order(function: Callable[[_Work], _Result], chunks: Iterable[_Work], workers: int) -> Iterator[_Result]:
    """`map` by processes that end with this one.

    At most four chunks a process are under way, so memory stays small however slowly the results are taken.

    Args:
        function: what a new process can import (no lambda); what it carries is pickled with each chunk.
        workers: processes; 1 works in this one.

    Raises:
        UserError: a process was killed (out of memory, as a rule).
    """
    if workers <= 1:
        yield from map(function, chunks)
        return
    context = multiprocessing.get_context('spawn')  # a fork would copy torch's threads in an unknown state
    waiting = iter(chunks)
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        try:
            running = deque(pool.submit(function, chunk) for chunk in itertools.islice(waiting, 4 * workers))
            while running:
                yield running.popleft().result()
                running.extend(pool.submit(function, chunk) for chunk in itertools.islice(waiting, 1))
        except BrokenProcessPool as error:
            raise UserError('a working process was killed, perhaps for lack of memory.\n'
                            'Start the same command again with fewer --workers.') from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent alone answers
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A parent that was killed cannot end its pool; without this its processes would wait for work for ever."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)

"""How batches come from the loader: workers started once, and an error in the prefetch thread not swallowed."""

import functools
import sys
from collections.abc import Callable
from typing import Any

from cface_basicsr.compat.row import Mending, Row, source


def _start_later(init: Callable) -> Callable:
    @functools.wraps(init)
    def wrapper(self: Any, loader: Any, *args: Any) -> None:
        init(self, (), *args)  # BasicSR would start the workers here, and again in reset()
        self.ori_loader, self.waits = loader, True
    return wrapper


def _start_now(reset: Callable) -> Callable:
    @functools.wraps(reset)
    def wrapper(self: Any) -> None:
        self.waits = False
        reset(self)
    return wrapper


def _start_if_not_started(following: Callable) -> Callable:
    @functools.wraps(following)
    def wrapper(self: Any) -> Any:
        if self.waits:
            self.reset()
        return following(self)
    return wrapper


def _mend_double_start(mending: Mending) -> None:
    from basicsr.data.prefetch_dataloader import CPUPrefetcher, CUDAPrefetcher
    for prefetcher in (CPUPrefetcher, CUDAPrefetcher):
        mending.wrap(prefetcher, '__init__', _start_later)
        mending.wrap(prefetcher, 'reset', _start_now)
        mending.wrap(prefetcher, 'next', _start_if_not_started)


def _starts_at_once() -> bool:
    from basicsr.data.prefetch_dataloader import CPUPrefetcher, CUDAPrefetcher
    return all('iter(loader)' in source(each.__init__) for each in (CPUPrefetcher, CUDAPrefetcher))


def _run_to_the_error(run: Callable) -> Callable:
    @functools.wraps(run)
    def wrapper(self: Any) -> None:
        try:
            for item in self.generator:
                self.queue.put(item)
            self.queue.put(None)
        except BaseException:
            self.queue.put(_Failure(sys.exc_info()[1]))
    return wrapper


class _Failure:
    """An error on its way from the prefetch thread to the training loop."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _raise_the_error(following: Callable) -> Callable:
    @functools.wraps(following)
    def wrapper(self: Any) -> Any:
        item = following(self)
        if isinstance(item, _Failure):
            raise item.error
        return item
    return wrapper


def _mend_thread(mending: Mending) -> None:
    from basicsr.data.prefetch_dataloader import PrefetchGenerator
    mending.wrap(PrefetchGenerator, 'run', _run_to_the_error)
    mending.wrap(PrefetchGenerator, '__next__', _raise_the_error)


def _thread_dies_alone() -> bool:
    from basicsr.data.prefetch_dataloader import PrefetchGenerator
    return 'except' not in source(PrefetchGenerator.run)


ROWS = (
    Row(name='workers-once', where='data/prefetch_dataloader.py CPUPrefetcher, CUDAPrefetcher', upstream='not reported',
        symptom='all workers are started, thrown away and started again before the first step',
        present=_starts_at_once, apply=_mend_double_start),
    Row(name='prefetch-errors', where='data/prefetch_dataloader.py PrefetchGenerator', upstream='not reported',
        symptom='with prefetch_mode: cpu an unreadable image makes the training wait for ever',
        present=_thread_dies_alone, apply=_mend_thread),
)

"""How batches come from the loader: workers started once, and an error in the prefetch thread not swallowed."""

import functools
import sys
from collections.abc import Callable
from typing import Any

from cface_basicsr.compat.row import Mending, Row, source


def _cpu_prefetcher_init(init: Callable) -> Callable:
    @functools.wraps(init)
    def wrapper(self: Any, loader: Any) -> None:
        self.ori_loader, self.loader = loader, None  # train_pipeline calls reset() before the first batch
    return wrapper


def _cpu_prefetcher_next(following: Callable) -> Callable:
    @functools.wraps(following)
    def wrapper(self: Any) -> Any:
        if self.loader is None:
            self.reset()
        return following(self)
    return wrapper


def _mend_double_start(mending: Mending) -> None:
    from basicsr.data.prefetch_dataloader import CPUPrefetcher
    mending.wrap(CPUPrefetcher, '__init__', _cpu_prefetcher_init)
    mending.wrap(CPUPrefetcher, 'next', _cpu_prefetcher_next)


def _starts_at_once() -> bool:
    from basicsr.data.prefetch_dataloader import CPUPrefetcher
    return 'iter(loader)' in source(CPUPrefetcher.__init__)


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
    Row(name='workers-once', where='data/prefetch_dataloader.py CPUPrefetcher', upstream='not reported',
        symptom='all workers are started, thrown away and started again before the first step',
        present=_starts_at_once, apply=_mend_double_start),
    Row(name='prefetch-errors', where='data/prefetch_dataloader.py PrefetchGenerator', upstream='not reported',
        symptom='with prefetch_mode: cpu an unreadable image makes the training wait for ever',
        present=_thread_dies_alone, apply=_mend_thread),
)

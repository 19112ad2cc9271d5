"""Loaders: workers started once; an error under `prefetch_mode: cpu` reaches the training."""

import threading
from collections.abc import Iterator

import pytest

from tests.compat.tiny_training import holds_by_row, mended


class CountingLoader:
    """A loader that knows how often it was started."""

    def __init__(self) -> None:
        self.starts = 0

    def __iter__(self) -> Iterator[int]:
        self.starts += 1
        return iter((1, 2))


def test_the_workers_start_once_an_epoch() -> None:
    def check() -> None:
        from basicsr.data.prefetch_dataloader import CPUPrefetcher
        loader = CountingLoader()
        prefetcher = CPUPrefetcher(loader)
        for _epoch in range(2):
            prefetcher.reset()
            assert [prefetcher.next() for _ in range(3)] == [1, 2, None]
        assert loader.starts == 2

    holds_by_row(check, 'workers-once')


def test_a_prefetcher_that_was_never_reset_starts_at_its_first_batch() -> None:
    with mended():
        from basicsr.data.prefetch_dataloader import CPUPrefetcher
        assert CPUPrefetcher(CountingLoader()).next() == 1


def broken_batches() -> Iterator[int]:
    yield 1
    raise OSError('image cannot be read')


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')  # of BasicSR's own thread
def test_an_unreadable_image_ends_a_training_with_prefetching() -> None:
    def check() -> None:
        from basicsr.data.prefetch_dataloader import PrefetchGenerator
        generator, seen = PrefetchGenerator(broken_batches(), 1), []

        def train() -> None:
            try:
                seen.extend(generator)
            except OSError as error:
                seen.append(str(error))

        training = threading.Thread(target=train, daemon=True)
        training.start()
        training.join(timeout=1)
        assert seen == [1, 'image cannot be read'] and not training.is_alive()

    holds_by_row(check, 'prefetch-errors')

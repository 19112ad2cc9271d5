"""Loaders: workers started once; an error under `prefetch_mode: cpu` reaches the training."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from cface_basicsr.compat.loading import _refuse_by_name
from cface_basicsr.errors import UserError
from tests.compat.tiny_training import holds_by_row, patched, tiny_options, train_here


class CountingLoader:
    """A loader that knows how often it was started."""

    def __init__(self) -> None:
        self.starts = 0

    def __iter__(self) -> Iterator[dict[str, int]]:
        self.starts += 1
        return iter(({'n': 1}, {'n': 2}))


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDAPrefetcher copies on a stream of its own; here there need not be a device."""
    monkeypatch.setattr(torch.cuda, 'Stream', mock.MagicMock)
    monkeypatch.setattr(torch.cuda, 'stream', lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'current_stream', mock.MagicMock)


def make_prefetcher(kind: str, loader: CountingLoader) -> Any:
    from basicsr.data import prefetch_dataloader
    options = ({'num_gpu': 0},) if kind == 'CUDAPrefetcher' else ()
    return getattr(prefetch_dataloader, kind)(loader, *options)


KINDS = pytest.mark.parametrize('kind', ['CPUPrefetcher', 'CUDAPrefetcher'])


@KINDS
def test_the_workers_start_once_an_epoch(kind: str, stream: None) -> None:
    def check() -> None:
        loader = CountingLoader()
        prefetcher = make_prefetcher(kind, loader)
        for _epoch in range(2):
            prefetcher.reset()
            assert [prefetcher.next() for _ in range(3)] == [{'n': 1}, {'n': 2}, None]
        assert loader.starts == 2

    holds_by_row(check, 'workers-once')


@KINDS
def test_a_prefetcher_that_was_never_reset_starts_at_its_first_batch(kind: str, stream: None) -> None:
    with patched():
        assert make_prefetcher(kind, CountingLoader()).next() == {'n': 1}


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


@pytest.mark.parametrize(('phase', 'workers'), [('train', 0), ('val', 3)])
def test_workers_that_are_kept_need_not_be_there(phase: str, workers: int) -> None:
    """The shipped files keep their workers; a validation has none, and who looks for a mistake takes none."""
    def check() -> None:
        import basicsr.train
        section = {'phase': phase, 'num_worker_per_gpu': workers, 'batch_size_per_gpu': 1, 'persistent_workers': True}
        loader = basicsr.train.build_dataloader(torch.arange(2), section, num_gpu=0, seed=0)
        assert [batch.tolist() for batch in loader] in ([[0], [1]], [[1], [0]])

    holds_by_row(check, 'no-workers', defect=ValueError)


def test_workers_that_are_there_are_kept() -> None:
    with patched():
        import basicsr.train
        section = {'phase': 'train', 'num_worker_per_gpu': 1, 'batch_size_per_gpu': 1, 'persistent_workers': True}
        assert basicsr.train.build_dataloader(torch.arange(2), section, num_gpu=0, seed=0).persistent_workers


def test_a_damaged_picture_ends_a_stock_training_in_one_line_that_names_it(pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / 'pictures')

    def check() -> None:
        for content in (b'no picture', b''):
            for path in (tmp_path / 'pictures/lq').iterdir():
                path.write_bytes(content)
            with pytest.raises(UserError, match=r"lq/\d\d.png' cannot be read as an image: it is damaged"):
                train_here(tiny_options(tmp_path / 'pictures'), tmp_path / 'run')

    holds_by_row(check, 'damaged-pictures', defect=AttributeError)


def test_the_line_about_a_damaged_picture_keeps_the_error_that_it_replaces() -> None:
    def decode(content: bytes) -> None:
        raise ValueError(f'{len(content)} bytes')

    with pytest.raises(UserError, match='cannot be read as an image') as caught:
        _refuse_by_name(decode, b'abc')
    assert isinstance(caught.value.__cause__, ValueError) and str(caught.value.__cause__) == '3 bytes'
    with pytest.raises(UserError, match='cannot be read as an image') as caught:
        _refuse_by_name(lambda content: None, b'abc')
    assert caught.value.__cause__ is None

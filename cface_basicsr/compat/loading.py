"""How batches come from the loader: workers started once, an error in the prefetch thread not swallowed, and a
damaged picture named.
"""

from collections.abc import Callable
from typing import Any

from cface_basicsr.compat.defect import Defect, row
from cface_basicsr.errors import UserError

_PREFETCH = 'basicsr.data.prefetch_dataloader'


@row('no-workers', 'basicsr.data:build_dataloader', 'basicsr.train:build_dataloader', has="['persistent_workers']")
def _keep_what_there_is(build: Callable, dataset: Any, dataset_opt: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Without it: "persistent_workers option needs num_workers > 0": a loader without workers has none to keep."""
    workers = dataset_opt['phase'] == 'train' and dataset_opt['num_worker_per_gpu']  # a validation has none
    return build(dataset, dataset_opt if workers else {**dataset_opt, 'persistent_workers': False}, *args, **kwargs)


def _start_later(init: Callable, self: Any, loader: Any, *args: Any) -> None:
    init(self, (), *args)  # BasicSR would start the workers here, and again in reset()
    self.ori_loader, self.waits = loader, True


def _start_now(reset: Callable, self: Any) -> None:
    self.waits = False
    reset(self)


def _start_if_not_started(following: Callable, self: Any) -> Any:
    if self.waits:
        self.reset()
    return following(self)


WORKERS_ONCE = Defect(
    'workers-once', f'{_PREFETCH}:CPUPrefetcher.__init__',
    'all workers are started, thrown away and started again before the first step', has='iter(loader)',
    wrap={f'{_PREFETCH}:{prefetcher}.{name}': wrapper for prefetcher in ('CPUPrefetcher', 'CUDAPrefetcher')
          for name, wrapper in (('__init__', _start_later), ('reset', _start_now), ('next', _start_if_not_started))})


def _run_to_the_error(run: Callable, self: Any) -> None:
    try:
        for item in self.generator:
            self.queue.put(item)
        self.queue.put(None)
    except BaseException as error:
        self.queue.put(error)


def _raise_the_error(following: Callable, self: Any) -> Any:
    item = following(self)
    if isinstance(item, BaseException):
        raise item
    return item


PREFETCH_ERRORS = Defect(
    'prefetch-errors', f'{_PREFETCH}:PrefetchGenerator.run',
    'with prefetch_mode: cpu an unreadable image makes the training wait for ever', unless='except',
    wrap={f'{_PREFETCH}:PrefetchGenerator.run': _run_to_the_error,
          f'{_PREFETCH}:PrefetchGenerator.__next__': _raise_the_error})


class _Asked:
    """For what picture one of BasicSR's data sets has asked last."""

    name = ''


def _remember_its_name(get: Callable, self: Any, filepath: Any, *args: Any, **kwargs: Any) -> Any:
    _Asked.name = str(filepath)
    return get(self, filepath, *args, **kwargs)


def _refuse_by_name(decode: Callable, content: Any, *args: Any, **kwargs: Any) -> Any:
    cause = None
    try:
        image = decode(content, *args, **kwargs)
    except Exception as error:  # of None, which OpenCV gives; of OpenCV itself, where there are no bytes; or no key
        image, cause = None, error
    if image is None:
        raise UserError(f"'{_Asked.name}' cannot be read as an image: it is damaged, empty, or not in its store.") \
            from cause
    return image


DAMAGED_PICTURES = Defect(
    'damaged-pictures', 'basicsr.utils.img_util:imfrombytes',
    "a damaged picture of one of BasicSR's data sets ends in a traceback that does not name it", unless='is None',
    wrap={'basicsr.utils.file_client:FileClient.get': _remember_its_name, **{
        f'basicsr.data.{name}_dataset:imfrombytes': _refuse_by_name
        for name in ('paired_image', 'single_image', 'realesrgan', 'realesrgan_paired', 'ffhq', 'reds', 'vimeo90k')}})

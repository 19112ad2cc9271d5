"""LMDB: one environment a path and process, and a map that does not fill."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from cface_basicsr.compat.row import Mending, Row, source, swapped


def _shared(init: Callable) -> Callable:
    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        import lmdb

        from cface_basicsr.files.face_store import open_environment
        opened = lmdb.open

        def open_once(path: str, readonly: bool = False, lock: bool = True, **options: Any) -> Any:
            with swapped(lmdb, 'open', opened):
                if readonly and not lock:
                    return open_environment(path)
                return opened(path, readonly=readonly, lock=lock, **options)

        with swapped(lmdb, 'open', open_once):
            init(self, *args, **kwargs)
    return wrapper


def _mend_backend(mending: Mending) -> None:
    from basicsr.utils.file_client import LmdbBackend
    mending.wrap(LmdbBackend, '__init__', _shared)


def _opens_each_time() -> bool:
    from basicsr.utils.file_client import LmdbBackend
    return 'lmdb.open(' in source(LmdbBackend.__init__)


def _with_room(make: Callable) -> Callable:
    signature = inspect.signature(make)

    @functools.wraps(make)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        from cface_basicsr.files.face_store import MAP_SIZE
        given = signature.bind(*args, **kwargs)
        if given.arguments.get('map_size') is None:
            given.arguments['map_size'] = MAP_SIZE  # as BasicSR's own LmdbMaker; the file is sparse
        make(*given.args, **given.kwargs)
    return wrapper


def _mend_map_size(mending: Mending) -> None:
    from basicsr.utils import lmdb_util
    mending.wrap(lmdb_util, 'make_lmdb_from_imgs', _with_room)


def _guesses_size() -> bool:
    from basicsr.utils import lmdb_util
    return 'data_size * 10' in source(lmdb_util.make_lmdb_from_imgs)


ROWS = (
    Row(name='lmdb-shared', where='utils/file_client.py LmdbBackend', upstream='py-lmdb #230, #129',
        symptom='lmdb.Error: already open in this process, when two data sets share an LMDB (x4 and x8, one HR)',
        present=_opens_each_time, apply=_mend_backend),
    Row(name='lmdb-map-size', where='utils/lmdb_util.py make_lmdb_from_imgs', upstream='BasicSR #239, #243',
        symptom='lmdb.MapFullError when the first image is small (128 -> 16 pixels)',
        present=_guesses_size, apply=_mend_map_size),
)

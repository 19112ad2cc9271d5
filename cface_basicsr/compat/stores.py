"""LMDB: one environment per path and process, and a map that does not fill."""

import inspect
from collections.abc import Callable
from typing import Any

from cface_basicsr.compat.defect import row, swapped


@row('lmdb-shared', 'basicsr.utils.file_client:LmdbBackend.__init__', upstream='py-lmdb #230, #129', has='lmdb.open(')
def _share(init: Callable, *args: Any, **kwargs: Any) -> None:
    """Without it: lmdb.Error: already open in this process, when two data sets share an LMDB (x4 and x8, one HR)."""
    import lmdb

    from cface_basicsr.files.face_store import open_environment
    opened = lmdb.open

    def open_once(path: str, readonly: bool = False, lock: bool = True, **options: Any) -> Any:
        with swapped(lmdb, 'open', opened):
            if readonly and not lock:
                return open_environment(path)
            return opened(path, readonly=readonly, lock=lock, **options)

    with swapped(lmdb, 'open', open_once):
        init(*args, **kwargs)


@row('lmdb-map-size', 'basicsr.utils.lmdb_util:make_lmdb_from_imgs', upstream='BasicSR #239, #243',
     has='data_size * 10')
def _make_with_room(make: Callable, *args: Any, **kwargs: Any) -> None:
    """Without it: lmdb.MapFullError when the first image is small (128 -> 16 pixels)."""
    from cface_basicsr.files.face_store import MAP_SIZE
    given = inspect.signature(make).bind(*args, **kwargs)
    if given.arguments.get('map_size') is None:
        given.arguments['map_size'] = MAP_SIZE  # as BasicSR's own LmdbMaker; the file is sparse
    make(*given.args, **given.kwargs)

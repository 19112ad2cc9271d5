"""Bad input ends a run of basicsr/train.py with one to three lines and exit code 2, as it ends `cface`."""

import os
import sys
from collections.abc import Callable
from types import TracebackType

import lmdb

from cface_basicsr.compat.defect import row
from cface_basicsr.errors import UserError, refused, shown


def short_message(error: UserError) -> str:
    """The message itself: what a loader's worker adds (its whole traceback) is cut off again."""
    text = str(error)
    if text.startswith(f'Caught {UserError.__name__} in '):
        return text.rpartition(f'{UserError.__name__}: ')[2].strip()
    return text


@row('short-errors', 'sys:excepthook')
def _show(others: Callable, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Without it: a misspelt option or a missing file ends in a traceback of thirty lines."""
    by_system = isinstance(error, (MemoryError, lmdb.Error)) or isinstance(
        error, OSError) and error.errno is not None and error.filename is not None
    if not by_system and not isinstance(error, UserError):
        return others(kind, error, trace)
    rank, message = os.environ.get('RANK', '0'), refused(error) if by_system else shown(short_message(error))
    print(f"cface: {'' if rank == '0' else f'[rank {rank}] '}{message}", file=sys.stderr, flush=True)
    raise SystemExit(2)

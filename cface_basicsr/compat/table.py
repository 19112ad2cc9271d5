"""The table itself, and its application. Order matters: a later row wraps an earlier one and so runs before it."""

import os
from collections.abc import Iterable

from cface_basicsr.compat import (
    data_order,
    distributed,
    files,
    loading,
    metrics,
    outputs,
    resume,
    short_errors,
    stores,
    training,
)
from cface_basicsr.compat.row import Mending, Row
from cface_basicsr.errors import UserError, nearest

ROWS: tuple[Row, ...] = (*short_errors.ROWS, *distributed.ROWS, *training.ROWS, *metrics.ROWS, *stores.ROWS,
                         *files.ROWS, *loading.ROWS, *data_order.ROWS, *resume.ROWS, *outputs.ROWS)

_mending = Mending()
_applied: list[str] = []


def applied() -> tuple[str, ...]:
    """Names of the rows that are mended in this process."""
    return tuple(_applied)


def left_out() -> tuple[str, ...]:
    """The rows that CFACE_COMPAT_WITHOUT names.

    Raises:
        UserError: it names a row that does not exist.
    """
    names = tuple(name.strip() for name in os.environ.get('CFACE_COMPAT_WITHOUT', '').split(',') if name.strip())
    valid = [row.name for row in ROWS]
    for name in names:
        if name not in valid:
            raise UserError(f"CFACE_COMPAT_WITHOUT: no row is called '{name}'; {nearest(name, valid)}")
    return names


def apply(without: Iterable[str] = ()) -> None:
    """Mend BasicSR in this process: each row whose defect is there. A second call changes nothing."""
    out = {*without, *left_out()}
    for row in ROWS:
        if row.name in out or out.intersection(row.requires):
            out.add(row.name)
        elif row.name not in _applied and row.present():
            row.apply(_mending)
            _applied.append(row.name)


def undo() -> None:
    """Take every row back: BasicSR as it was installed. For tests and for measuring."""
    _mending.undo()
    _applied.clear()

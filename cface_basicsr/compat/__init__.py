"""What BasicSR 1.4.2 and its git HEAD do wrong on today's libraries, patched at run time. No file of it is edited.

`ROWS` is the table, one row per `Defect`. `apply()` patches each row whose defect is there; `cface doctor` prints the
table. The environment variable CFACE_COMPAT_WITHOUT=row1,row2 leaves rows out, to see a defect or to find which row
causes a difference.

Two defects strike before an option file is read, so that no row can reach them: see `before_import.py`. That module
and `installed.py` must not wait for torch, so the table itself is imported when it is first asked for.
"""

from typing import Any

__all__ = ['ROWS', 'applied', 'apply', 'undo']


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from cface_basicsr.compat import table
    return getattr(table, name)

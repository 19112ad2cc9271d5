"""What BasicSR 1.4.2 and its git HEAD do wrong on today's libraries, mended at run time. Nothing in BasicSR is edited.

`ROWS` is the table: one `Row` a defect. `apply()` mends each row whose defect is there; `cface doctor` prints the
table. The environment variable CFACE_COMPAT_WITHOUT=row1,row2 leaves rows out, to see a defect or to find which row
is behind a difference.

Two defects strike before an option file is read, so that no row can reach them: see `before_import.py`.
"""

from cface_basicsr.compat.row import Row
from cface_basicsr.compat.table import ROWS, applied, apply, undo

__all__ = ['ROWS', 'Row', 'applied', 'apply', 'undo']

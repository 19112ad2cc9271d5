"""The table itself, and its application. Order matters: a later row wraps an earlier one and so runs before it."""

import copyreg
import importlib
import os
from collections.abc import Iterable
from typing import Any

from cface_basicsr.compat.defect import Defect, Patches
from cface_basicsr.compat.seeded_items import SeededItems
from cface_basicsr.errors import check_known

_MODULES = ('short_errors', 'reading', 'distributed', 'training', 'metrics', 'stores', 'files', 'loading', 'data_order',
            'resume', 'outputs', 'validation', 'stopping')
ROWS: tuple[Defect, ...] = tuple(each for name in _MODULES for each in vars(
    importlib.import_module(f'cface_basicsr.compat.{name}')).values() if isinstance(each, Defect))

_patches = Patches()
_applied: list[str] = []


def applied() -> tuple[str, ...]:
    """Names of the rows that are patched in this process."""
    return tuple(_applied)


def left_out() -> tuple[str, ...]:
    """The rows that CFACE_COMPAT_WITHOUT names.

    Raises:
        UserError: it names a row that does not exist.
    """
    names = tuple(name.strip() for name in os.environ.get('CFACE_COMPAT_WITHOUT', '').split(',') if name.strip())
    valid = [row.name for row in ROWS]
    for name in names:
        check_known('CFACE_COMPAT_WITHOUT: row', name, valid)
    return names


def apply(without: Iterable[str] = ()) -> None:
    """Patch BasicSR in this process: each row whose defect is there. A second call changes nothing."""
    out = {*without, *left_out()}
    for row in ROWS:
        if row.name in out or out.intersection(row.requires):
            out.add(row.name)
        elif row.name not in _applied and row.present():
            row.apply(_patches)
            _applied.append(row.name)


def undo() -> None:
    """Take every row back: BasicSR as it was installed. For tests and for measuring."""
    _patches.undo()
    _applied.clear()


def _seeded_items_in_a_worker(*arguments: Any) -> SeededItems:
    """In a spawned worker this is the first call of the plugin: patch BasicSR there too."""
    apply()
    return SeededItems(*arguments)


copyreg.pickle(SeededItems, lambda items: (_seeded_items_in_a_worker, (items.dataset, items.seed)))

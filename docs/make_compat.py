"""Writes docs/compat.md from the table of defects itself: `python docs/make_compat.py`. A test compares them."""

from pathlib import Path

PAGE = Path(__file__).with_name('compat.md')
HEAD = """# The defects of BasicSR that are patched

Printed from the table in `cface_basicsr/compat/` by `python docs/make_compat.py`; do not edit it here.

Each row is applied in memory when the plugin is loaded, and only where the installed BasicSR has the defect. No file of
BasicSR changes. What is called `basicsr.train:NAME` is patched in `basicsr.test` and in a running `basicsr/train.py`
as well. `cface doctor` shows which rows apply on your machine. To see a defect, or to find which row causes a
difference, leave rows out: `CFACE_COMPAT_WITHOUT=mid-epoch,item-seeds`.

| row | in BasicSR | what you would see | reported as |
|---|---|---|---|
"""

FILES = """
## Two that need a repair of files

These strike before an option file is read. `cface` and `python -m cface_basicsr.train` patch them in memory; for
BasicSR's own programs `cface doctor --repair` edits one line in each file, keeps a copy next to it, and says what it
changed. `cface doctor --undo` puts the files back, byte for byte.

| repair | in BasicSR | what you would see | reported as |
|---|---|---|---|
"""


def page() -> str:
    """The text of docs/compat.md."""
    from cface_basicsr.compat.before_import import patch_functional_tensor
    patch_functional_tensor()
    from cface_basicsr import compat
    from cface_basicsr.compat.installed import REPAIRS
    rows = [(row.name, f'`{row.target}`', row.symptom, row.upstream) for row in compat.ROWS]
    files = [(each.name, each.file, each.symptom, each.upstream) for each in REPAIRS]
    return HEAD + _lines(rows) + FILES + _lines(files)


def _lines(rows: list[tuple[str, str, str, str]]) -> str:
    return ''.join(f'| `{name}` | {where} | {symptom} | {upstream} |\n'.replace('<', '&lt;')
                   for name, where, symptom, upstream in rows)


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')

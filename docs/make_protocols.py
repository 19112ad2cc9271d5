"""Prints the table of protocols into docs/evaluate.md, as they declare themselves: `python docs/make_protocols.py`."""

import re
from pathlib import Path

from cface_basicsr.measuring.protocols import PROTOCOLS

PAGE = Path(__file__).with_name('evaluate.md')
HEAD = '| protocol | what is compared | what you get | unit of ± and of comparisons |\n|---|---|---|---|\n'


def page() -> str:
    """The text of docs/evaluate.md with its table printed again: one line per protocol."""
    lines = [f'| `{name}` | {kind.help} | {kind.gives} | {kind.unit} |\n' for name, kind in PROTOCOLS.items()]
    table = HEAD + ''.join(lines)
    return re.sub(r'^\| protocol \|(?:.*\n\|)+.*\n', lambda _: table, PAGE.read_text(encoding='utf-8'), flags=re.M)


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')

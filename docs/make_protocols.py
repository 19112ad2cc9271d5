"""Prints the table of protocols into docs/protocols.md: `python docs/make_protocols.py`."""

import re
from pathlib import Path

from cface_basicsr.measuring.protocols import PROTOCOLS

PAGE = Path(__file__).parent / 'protocols.md'


def table() -> str:
    """One line per protocol, as it declares itself."""
    lines = ['| protocol | what is compared | what comes of it | unit of ± and of comparisons |', '|---|---|---|---|']
    lines += [f'| `{name}` | {kind.help} | {kind.gives} | {kind.unit} |' for name, kind in PROTOCOLS.items()]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    text = PAGE.read_text(encoding='utf-8')
    PAGE.write_text(re.sub(r'\| protocol \|(?:.*\n\|)+.*\n', lambda _: table(), text, count=1), encoding='utf-8')

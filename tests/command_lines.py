"""Runs command lines of `cface` in one process as far as their options are checked: `python -I command_lines.py FILE`.

FILE is a JSON list of command lines; printed is JSON that says how each ended. A command that would begin to draw
faces, to answer a browser, or to edit BasicSR, ends here: its options are checked by then. All other work begins with
files of the user's.
"""

import contextlib
import importlib
import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError

DOORS = {'cface_basicsr.data.generated_faces.tree': ('write_synthetic_faces',),
         'cface_basicsr.serving.app': ('listen',), 'cface_basicsr.compat.installed': ('repair', 'restore')}
"""Module -> its functions at which work begins that needs nothing of the user."""


class WorkBegins(Exception):
    """All options of the command are checked."""


def refuse(*arguments: Any, **more: Any) -> None:
    raise WorkBegins


def ended(line: str) -> str:
    """'done', 'work begins', the message of a refusal, or the traceback's last line after 'traceback: '."""
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    if isinstance(result.exception, UserError):
        return f'refused: {result.exception}'
    if isinstance(result.exception, WorkBegins) or result.exit_code == 0:
        return 'work begins' if result.exception else 'done'
    if isinstance(result.exception, SystemExit):
        return f'exit code {result.exit_code}: {result.output}'
    return f'traceback: {type(result.exception).__name__}: {result.exception}'


if __name__ == '__main__':
    for name, functions in DOORS.items():
        for function in functions:
            setattr(importlib.import_module(name), function, refuse)
    lines = json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))
    with contextlib.redirect_stdout(io.StringIO()):
        endings = [ended(line) for line in lines]
    import cface_basicsr
    print(json.dumps({'package': cface_basicsr.__file__, 'endings': endings}))

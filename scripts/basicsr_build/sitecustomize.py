"""On the path of one command only: `pip install basicsr` under Python 3.13 (see ../install.sh).

BasicSR's setup.py calls `exec` inside a function and reads the result from `locals()`. Since Python 3.13 (PEP 667)
`exec` then writes to a copy, and the build ends in KeyError: '__version__' (BasicSR #749). Here `exec` without
namespaces writes into the caller's frame again, as it did before.
"""

import builtins
import sys
from typing import Any

_exec = builtins.exec


def _exec_into_the_frame(source: Any, globals: Any = None, locals: Any = None, /, **kwargs: Any) -> None:
    if globals is None:
        frame = sys._getframe(1)
        globals, locals = frame.f_globals, frame.f_locals
    _exec(source, globals, locals, **kwargs)


if sys.version_info >= (3, 13):
    builtins.exec = _exec_into_the_frame

"""Counts the moments of each process of a command, and kills the command at one of them; for tests/soak.py.

Python imports this module by its name where its folder is on the path. A moment is just before a file is opened for
writing, renamed or removed, a folder is made, or a part of a batch comes from a loader's worker: on any machine the
n-th is at the same place in the program.
"""

import os
import signal
import sys

_MOMENTS = {'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.truncate', 'socket.connect'}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_KILL_AT, _COUNTS = int(os.environ.get('SOAK_KILL_AT', 0)), os.environ.get('SOAK_COUNTS')
_count = {'process': 0, 'moments': 0}


def _pass(event: str, arguments: tuple) -> None:
    written = event == 'open' and arguments[2] & _WRITING
    if event not in _MOMENTS and not written or written and _COUNTS and str(arguments[0]).startswith(_COUNTS):
        return
    if _count['process'] != os.getpid():  # a forked process begins anew
        _count.update(process=os.getpid(), moments=0)
    _count['moments'] += 1
    if _count['moments'] == _KILL_AT:
        os.kill(int(os.environ['SOAK_MAIN']), signal.SIGKILL)
    if _COUNTS:
        with open(f'{_COUNTS}/{os.getpid()}', 'w') as file:
            file.write(str(_count['moments']))


if str(os.getppid()) == os.environ.get('SOAK_PARENT'):
    os.environ['SOAK_MAIN'] = str(os.getpid())
if 'SOAK_MAIN' in os.environ:
    sys.addaudithook(_pass)

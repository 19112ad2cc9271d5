"""Runs command lines one after the other, each in a process of its own, forked where torch and BasicSR are imported.

    python -m tests.options.real_commands jobs.json      [[module, argument, …], …] -> 0.out, 0.code, …
"""

import json
import os
import runpy
import sys
from pathlib import Path

from cface_basicsr.compat.before_import import prepare_import


def run(module: str, arguments: list[str]) -> int:
    """`python -m MODULE ARGUMENTS`; returns its exit code."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name='__main__', alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        try:
            sys.excepthook(*sys.exc_info())
        except SystemExit as end:  # raised by the hook: of a UserError
            return int(end.code)
        return 1
    return 0


def main(jobs: Path) -> None:
    """Run all jobs, in their folder."""
    prepare_import()
    import basicsr.train  # noqa: F401
    for number, (module, *arguments) in enumerate(json.loads(jobs.read_text())):
        child = os.fork()
        if child == 0:
            with open(f'{number}.out', 'w') as out:
                for stream in (1, 2):
                    os.dup2(out.fileno(), stream)
            code = run(module, arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        Path(f'{number}.code').write_text(str(os.waitstatus_to_exitcode(status)))


if __name__ == '__main__':
    main(Path(sys.argv[1]))

"""Hostile inputs for a reader, each read in a forked child under limits of time and memory."""

import ctypes
import faulthandler
import os
import random
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.errors import LONGEST_LINE, UserError, shown

Mutator = Callable[[bytes, random.Random], bytes]
MOST_SECONDS = 10.0
"""Of the processor, for one input. A child without work for six times as long hangs as well."""
MOST_MEMORY = 1 << 30
"""Bytes that one input may take, besides what the process has."""
_BATCH = 20
"""Inputs of one child, if none ends it."""


class Reader(NamedTuple):
    """What reads one kind of file.

    Attributes:
        write: writes a valid file, and what belongs to it, into an empty folder; returns the path of the file.
        read: reads the file; everything that users could come to see of it.
        mutate: makes a hostile file of a valid one.
        share: how many of the inputs it gets, compared with others.
        named: whether a refusal names the file, as it does where a reader is given a path.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    mutate: Mutator
    share: float = 1.0
    named: bool = True


class Found(NamedTuple):
    """What one input came to: read, refused, or a failure ('traceback', 'crash', 'hang', 'memory', 'message')."""

    number: int
    outcome: str
    detail: str = ''

    @property
    def failed(self) -> bool:
        """Whether it must not be so."""
        return self.outcome not in ('read', 'refused')


def inputs(reader: Reader, valid: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Hostile contents: the same for the same seed, whatever came before."""
    for number in range(count):
        yield hostile(reader, valid, seed, number)


def hostile(reader: Reader, valid: bytes, seed: int, number: int) -> bytes:
    """One of them: a valid file that was changed once, or several times."""
    chance = random.Random(f'{seed} {number}')
    content = reader.mutate(valid, chance)
    while chance.random() < 0.3:
        content = reader.mutate(content, chance)
    return content


def try_inputs(reader: Reader, folder: Path, contents: Sequence[bytes]) -> list[Found]:
    """What a reader makes of each of these contents in the place of its valid file, which is in the folder already."""
    import cface_basicsr.register  # noqa: F401  a child that imported it first would take longer than one input may
    found: list[Found] = []
    while len(found) < len(contents):
        found += _try_batch(reader, folder, contents, len(found))
    return found


def _try_batch(reader: Reader, path: Path, contents: Sequence[bytes], first: int) -> list[Found]:
    end = min(first + _BATCH, len(contents))
    from_child, to_parent = os.pipe()
    child = os.fork()
    if not child:
        _work(reader, path, contents[first:end], first, to_parent)
    os.close(to_parent)
    told, idle = _listen(from_child, child)
    _, status = os.waitpid(child, 0)
    found = [Found(int(number), outcome, detail) for number, outcome, detail in
             (line.split('\t', 2) for line in told.splitlines())]
    if len(found) < end - first:
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f'exit {os.WEXITSTATUS(status)}'
        found.append(Found(first + len(found), 'hang' if idle or name == 'SIGPROF' else 'crash', name))
    return found


def _listen(pipe: int, child: int) -> tuple[str, bool]:
    """All that the child says; whether it was ended because it said nothing for long."""
    told, idle = b'', False
    with open(pipe, 'rb', buffering=0) as stream:
        while True:
            if not select.select([stream], [], [], 6 * MOST_SECONDS)[0]:
                os.killpg(child, signal.SIGKILL)  # a process that it has started may hold the pipe
                idle = True
            piece = stream.read(1 << 16)
            if not piece:
                return told.decode(), idle
            told += piece


def _work(reader: Reader, path: Path, contents: Sequence[bytes], first: int, pipe: int) -> None:
    """The life of the child."""
    try:
        os.setpgid(0, 0)
        faulthandler.disable()
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        ctypes.CDLL(None).malloc_trim(0)  # what the parent had freed would hide what an input takes
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (_status('VmData') + 2 * MOST_MEMORY,) * 2)
        for number, content in enumerate(contents, first):
            outcome, detail = _try(reader, path, content)
            os.write(pipe, f'{number}\t{outcome}\t{" ".join(detail.split())[:600]}\n'.encode('utf-8', 'replace'))
    finally:
        os._exit(0)


def _try(reader: Reader, path: Path, content: bytes) -> tuple[str, str]:
    path.unlink()  # what has mapped the one before keeps it
    path.write_bytes(content)
    Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
    before = _status('VmRSS')
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    outcome, detail = 'read', ''
    try:
        reader.read(path)
    except (UserError, Rejected) as error:
        outcome, detail = _judged(str(error), path, reader.named)
    except BaseException as error:
        outcome, detail = 'traceback', f'{type(error).__name__}: {str(error)[:200]} at {_place(error)}'
    signal.setitimer(signal.ITIMER_PROF, 0)
    grown = _status('VmHWM') - before
    return ('memory', f'{grown >> 20} MB') if grown > MOST_MEMORY else (outcome, detail)


def _judged(message: str, path: Path, named: bool) -> tuple[str, str]:
    """Whether a refusal is one that a person can read, as the commands print it."""
    short = shown(message.replace(str(path.parent), '@FOLDER@'))
    if named and '@FOLDER@' not in short:
        return 'message', f'does not name the file: {message}'
    if len(short) > 300 or message.count('\n') > 2 or max(map(len, message.split('\n'))) > LONGEST_LINE:
        return 'message', f'{len(message)} characters in {message.count(chr(10)) + 1} lines: {message}'
    if not all(each.isprintable() or each == '\n' for each in message):
        return 'message', f'characters that control a terminal: {message!a}'
    return 'refused', message


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if 'cface_basicsr' in frame.filename] or frames
    return f'{Path(ours[-1].filename).name}:{ours[-1].lineno}'


def _status(entry: str) -> int:
    """Bytes that /proc/self/status gives."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{entry}:'):
            return int(line.split()[1]) << 10
    raise LookupError(entry)


def main() -> None:
    """`python -m tests.fuzz.harness COUNT [SEED [READER …]]`: try that many inputs; failures are kept in a folder."""
    import tempfile
    from collections import Counter

    from tests.fuzz.readers import READERS
    count, seed, *names = [*sys.argv[1:], '1', '0'][:max(2, len(sys.argv) - 1)]
    readers = {name: reader for name, reader in READERS.items() if not names or name in names}
    kept = Path(tempfile.mkdtemp(prefix='fuzz_'))
    began, failed = time.process_time(), 0
    for name, reader in readers.items():
        path = reader.write(Path(tempfile.mkdtemp(prefix=f'fuzz_{name}_')))
        valid, part = path.read_bytes(), part_of(name, readers, int(count))
        contents = list(inputs(reader, valid, int(seed), part))
        found = try_inputs(reader, path, contents)
        wrong = [each for each in found if each.failed]
        print(f'{name:20} {part:6} {dict(Counter(each.outcome for each in found))}', flush=True)
        kinds: dict[str, Found] = {}
        for each in wrong:
            kinds.setdefault(f'{each.outcome} {each.detail.rpartition(" at ")[2][:60]}', each)
        for each in kinds.values():
            (kept / f'{name}.{each.number}').write_bytes(contents[each.number])
            print(f'    {each.number}: {each.outcome}: {each.detail[:300]}', flush=True)
        failed += len(wrong)
    print(f'{failed} failures; {time.process_time() - began + sum(os.times()[2:4]):.0f} s; kept in {kept}')
    sys.exit(bool(failed))


def part_of(name: str, readers: dict[str, Reader], count: int) -> int:
    """How many of the inputs a reader gets."""
    return max(1, round(count * readers[name].share / sum(each.share for each in readers.values())))


if __name__ == '__main__':
    main()

"""Files and folders that are complete or absent: written aside, then renamed; and locks on what is being made."""

import errno
import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Inside, an error of the operating system that names no file, as that of a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.errno:  # without a number, as PyTorch raises some, the message would not be shown any more
            with suppress(AttributeError):  # PyAV's errors have names that cannot be set
                error.filename = error.filename or str(path)
        raise


def reserve(path: str | Path, size: int, name: str | Path | None = None) -> None:
    """Have the disk keep room for the first `size` bytes of a file that will be written.

    Without room, the first write to a memory map kills the process (SIGBUS).

    Args:
        name: what the error calls the file; None: its path.

    Raises:
        OSError: the disk is full.
    """
    if not hasattr(os, 'posix_fallocate'):  # macOS
        return
    with naming(name or path), open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), 'rb') as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # not every file system can
                raise


def flush(path: str | Path) -> None:
    """Have the disk keep what a file holds, or the names in a folder, so that they outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems flush no folder
            raise
    finally:
        os.close(descriptor)


def publish(aside: Path, path: Path) -> None:
    """Rename a file or folder that was built aside to its name; it outlives a power cut."""
    flush(aside)
    os.replace(aside, path)
    flush(path.parent)


@contextmanager
def replacing(path: str | Path, *, shared: bool = False, flushed: bool = False) -> Iterator[Path]:
    """A hidden file next to `path` to write to; it becomes `path` when the block ends, and is removed if that fails.

    The folder is made where it is missing.
    Its name is always the same, so that the next run replaces what a kill has left of it; with `shared` each has a name
    of its own, since several processes may write at the same time, and the last one stays. `flushed`: it outlives a
    power cut, too, which costs milliseconds.

    >>> with replacing('faces.png') as aside:                 # doctest: +SKIP
    ...     image.save(aside, format='PNG')
    """
    path = Path(path)
    aside = path.with_name(f'.{path.name}{uuid.uuid4().hex if shared else ""}.tmp')
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path):
            yield aside
            (publish if flushed else os.replace)(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file aside, flush it to disk, then rename it."""
    with (replacing(path, flushed=True) as aside,
          open(aside, 'w', encoding='utf-8', errors='surrogateescape', newline='') as file):
        file.write(text)


def write_json(path: str | Path, content: Any) -> None:
    """Write a value as JSON, as `write_text` does.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False))


def unfinished(path: Path) -> Path:
    """The folder in which a product is built, in one run or several, before it is renamed to `path`."""
    return path.with_name(f'.{path.name}.unfinished')


_passed_on: set[int] = set()


def locks_to_pass_on() -> tuple[int, ...]:
    """For `pass_fds` of a program that is started: the locks that are to outlive this process with it."""
    return tuple(_passed_on)


@contextmanager
def lock(folder: str | Path, busy: str = "another process is writing '{}'. Wait for it, or end it, then start again.",
         *, inherited: bool = False) -> Iterator[None]:
    """Claim a folder for this process until the end of the block, or a kill.

    Args:
        folder: an existing one.
        busy: the message if another process holds it; {} becomes the folder.
        inherited: programs that are started inside the block with `locks_to_pass_on` hold the lock too, so that it
            outlives a killed parent.

    Raises:
        UserError: another process holds it, or the file system has no locks, so that nobody can know.
    """
    try:
        try:
            descriptor = _locked(os.open(folder, os.O_RDONLY))
        except BlockingIOError:
            raise
        except OSError:  # NFS locks only what is open for writing, which a folder never is
            descriptor = _locked_file(Path(folder, '.lock'))
    except BlockingIOError as error:
        raise UserError(busy.format(folder)) from error
    if inherited:
        _passed_on.add(descriptor)
    try:
        yield
    finally:
        _passed_on.discard(descriptor)
        os.close(descriptor)


def _locked(descriptor: int) -> int:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _locked_file(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        return _locked(descriptor)
    except BlockingIOError:
        raise
    except OSError as error:
        raise UserError(f"'{path.parent}' is on a file system without locks ({error.strerror}), so two processes could "
                        'write it.\nUse another disk, or have it mounted with locks (Lustre: -o flock).') from error
